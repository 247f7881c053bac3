"""What a broken connection proves: before the bytes left, nothing was sent; after, nobody knows."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from domain.answer import Answer, Submission
from infra.exchanges.polymarket import connection
from infra.exchanges.polymarket.client import PolymarketAccount
from infra.exchanges.polymarket.connection import pooled_client
from tests.exchanges.scripted import MARKET, YES, account_on, scripted_server, terms
from tests.paper.conftest import free_port

LOCAL = "127.0.0.1"


async def sent(account: PolymarketAccount) -> Submission:
    signed = await account.sign(terms(), MARKET, YES, None)
    return await account.submit(signed.payload)


@pytest.mark.parametrize("address", ["https://exchange.invalid", f"http://{LOCAL}:9"])
async def test_x17_without_a_name_or_a_connection_nothing_was_sent(address: str) -> None:
    async with account_on(address) as account:
        submission = await sent(account)
    assert submission.answer is Answer.BUSY, submission
    assert "ConnectError" in submission.words


async def test_x17_without_a_trusted_line_nothing_was_sent(tmp_path: Path) -> None:
    async with (
        scripted_server() as plain,
        account_on(plain.address.replace("http:", "https:")) as account,
    ):
        assert (await sent(account)).answer is Answer.BUSY
        assert plain.requests == []
    async with Http2Server(tmp_path) as stranger, account_on(stranger.address) as account:
        assert (await sent(account)).answer is Answer.BUSY  # its certificate is nobody's
        assert stranger.paths == []


async def test_x17_a_line_cut_after_the_order_left_is_unknown() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        linger = struct.pack("ii", 1, 0)  # close by a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    port = free_port()
    server = await asyncio.start_server(cut, LOCAL, port)
    async with server, account_on(f"http://{LOCAL}:{port}") as account:
        assert (await sent(account)).answer is Answer.UNKNOWN


class Http2Server:
    """Speaks HTTP/2 over TLS to whoever asks for it; answers 400, or goes away in the middle."""

    def __init__(self, folder: Path, *, goes_away: object = False) -> None:
        self.folder = folder
        self.goes_away = goes_away
        self.paths: list[str] = []
        self.connections = 0
        self.port = free_port()
        self.address = f"https://{LOCAL}:{self.port}"

    async def __aenter__(self) -> "Http2Server":
        certificate(self.folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")
        context.set_alpn_protocols(["h2"])
        self.server = await asyncio.start_server(self.serve, LOCAL, self.port, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "cert.pem"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        line = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        line.initiate_connection()
        writer.write(line.data_to_send())
        try:
            while data := await reader.read(65_536):
                for event in line.receive_data(data):
                    self.answer(line, event)
                writer.write(line.data_to_send())
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    def answer(self, line: h2.connection.H2Connection, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.paths.append(dict(event.headers)[b":path"].decode())
        if not isinstance(event, h2.events.StreamEnded):
            return
        if self.goes_away:
            line.close_connection(last_stream_id=event.stream_id)
            return
        body = b'{"error":"invalid nonce"}'
        headers = [(":status", "400"), ("content-type", "application/json")]
        line.send_headers(event.stream_id, headers)
        line.send_data(event.stream_id, body, end_stream=True)


@asynccontextmanager
async def account_at(
    server: Http2Server, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[PolymarketAccount]:
    """An account that trusts the server's own certificate."""
    trusted = server.trusted()
    opened = httpx.AsyncClient

    def trusting(**options: object) -> httpx.AsyncClient:
        return opened(**options, verify=trusted)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(connection.httpx, "AsyncClient", trusting)
    async with account_on(server.address) as account:
        yield account


async def test_http_2_is_spoken_where_it_is_offered_and_one_connection_serves_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Http2Server(tmp_path) as server, account_at(server, monkeypatch) as account:
        for _ in range(3):
            submission = await sent(account)
            assert (submission.answer, submission.words) == (Answer.REJECTED, "invalid nonce")
    assert server.paths == ["/order"] * 3
    assert server.connections == 1


async def test_x17_an_exchange_that_goes_away_in_the_middle_leaves_the_order_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Http2Server(tmp_path, goes_away=True)
    async with gone as server, account_at(server, monkeypatch) as account:
        assert (await sent(account)).answer is Answer.UNKNOWN
    assert server.paths == ["/order"]


async def test_every_part_of_a_call_has_a_limit_in_time() -> None:
    async with pooled_client(f"http://{LOCAL}:9") as client:
        limits = client.timeout
    assert None not in {limits.connect, limits.read, limits.write, limits.pool}


def certificate(folder: Path) -> None:
    """Write a certificate for this machine, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOCAL)])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOCAL))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36_500))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
