"""A trader as the tests know one: signs with the reference library and speaks HTTP to a door."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from eth_account import Account
from eth_account.signers.local import LocalAccount

from infra.paper.door import Door
from infra.paper.wire import Request

EXCHANGE = "0xE111180000d2663C0091e4f400237545B87B996B"
NEG_RISK_EXCHANGE = "0xe2222d279d744050d28e00520010520000310F59"
ZERO = "0x" + "00" * 32
ORDER_FIELDS = [
    {"name": name, "type": kind}
    for name, kind in (
        ("salt", "uint256"),
        ("maker", "address"),
        ("signer", "address"),
        ("tokenId", "uint256"),
        ("makerAmount", "uint256"),
        ("takerAmount", "uint256"),
        ("side", "uint8"),
        ("signatureType", "uint8"),
        ("timestamp", "uint256"),
        ("metadata", "bytes32"),
        ("builder", "bytes32"),
    )
]
DOMAIN_FIELDS = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


def typed_order(order: dict[str, Any], exchange: str = EXCHANGE) -> dict[str, Any]:
    """Return the EIP-712 document of an order's JSON."""
    return {
        "types": {"EIP712Domain": DOMAIN_FIELDS, "Order": ORDER_FIELDS},
        "primaryType": "Order",
        "domain": {
            "name": "Polymarket CTF Exchange",
            "version": "2",
            "chainId": 137,
            "verifyingContract": exchange,
        },
        "message": {
            **{
                name: int(order[name])
                for name in ("salt", "tokenId", "makerAmount", "takerAmount", "timestamp")
            },
            "maker": order["maker"],
            "signer": order["signer"],
            "side": 0 if order["side"] == "BUY" else 1,
            "signatureType": order["signatureType"],
            "metadata": bytes.fromhex(order["metadata"][2:]),
            "builder": bytes.fromhex(order["builder"][2:]),
        },
    }


def micro(value: str | int) -> int:
    return int(Decimal(value) * 1_000_000)


@dataclass
class Reply:
    """An HTTP answer, parsed."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict[str, str])


def ask(
    door: Door,
    method: str,
    target: str,
    body: object = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    """Send one request to a door; `target` is service, path and query."""
    path, _, query = target.partition("?")
    _, service, rest = path.split("/", 2)
    pairs = [pair.split("=", 1) for pair in query.split("&") if pair]
    parsed: dict[str, list[str]] = {}
    for name, value in pairs:
        parsed.setdefault(name, []).append(value)
    raw = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    answer = door.process(Request(method, service, "/" + rest, parsed, headers or {}, raw))
    return Reply(answer.status, json.loads(answer.body), answer.headers)


@dataclass
class Trader:
    """One EOA with a funded account and an API key."""

    door: Door
    private_key: str
    collateral: str = "10000"
    wallet: str = ""
    signature_type: int = 0
    salts: int = 0
    api_key: str = ""
    secret: str = ""
    passphrase: str = ""

    def __post_init__(self) -> None:
        self.account = cast("LocalAccount", Account.from_key(self.private_key))
        self.address = str(self.account.address)
        self.wallet = self.wallet or self.address
        funded = ask(
            self.door,
            "POST",
            "/_paper/accounts",
            {
                "wallet": self.wallet,
                "signer": self.address,
                "signature_type": self.signature_type,
                "collateral": self.collateral,
            },
        ).body
        self.api_key, self.secret = funded["api_key"], funded["secret"]
        self.passphrase = funded["passphrase"]

    def headers(self, method: str, path: str, raw: bytes) -> dict[str, str]:
        key = base64.urlsafe_b64decode(self.secret)
        message = f"1795224517{method}{path}".encode() + raw
        signature = base64.urlsafe_b64encode(hmac.new(key, message, hashlib.sha256).digest())
        return {
            "poly_address": self.address,
            "poly_api_key": self.api_key,
            "poly_passphrase": self.passphrase,
            "poly_timestamp": "1795224517",
            "poly_signature": signature.decode(),
        }

    def ask(self, method: str, target: str, body: object = None) -> Reply:
        """Send a signed CLOB request; `target` is path and query."""
        raw = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = self.headers(method, target.partition("?")[0], raw)
        return ask(self.door, method, "/clob" + target, body, headers)

    def order(self, token_id: str, side: str, price: str, size: str, **changes: Any) -> Any:
        """Return a signed order's JSON; `changes` are applied before signing."""
        self.salts += 1
        cash, shares = micro(price) * micro(size) // 1_000_000, micro(size)
        exchange = changes.pop("exchange", EXCHANGE)
        order: dict[str, Any] = {
            "salt": self.salts,
            "maker": self.wallet,
            "signer": self.address,
            "tokenId": token_id,
            "makerAmount": str(cash if side == "BUY" else shares),
            "takerAmount": str(shares if side == "BUY" else cash),
            "side": side,
            "signatureType": self.signature_type,
            "timestamp": "1795224517867",
            "metadata": ZERO,
            "builder": ZERO,
            "expiration": "0",
            **changes,
        }
        signed = self.account.sign_typed_data(full_message=typed_order(order, exchange))
        return {**order, "signature": "0x" + signed.signature.hex().removeprefix("0x")}

    def post(self, order: Any, order_type: str = "GTC", **changes: Any) -> Reply:
        return self.ask("POST", "/order", self.posted(order, order_type, **changes))

    def posted(self, order: Any, order_type: str = "GTC", **changes: Any) -> dict[str, Any]:
        return {"order": order, "orderType": order_type, "owner": self.api_key, **changes}

    def limit(self, token_id: str, side: str, price: str, size: str, **changes: Any) -> Any:
        """Post a GTC order that must be accepted, and return the answer's body."""
        reply = self.post(self.order(token_id, side, price, size), **changes)
        assert reply.status == 200, reply.body
        return reply.body

    def balance(self, token_id: str = "") -> int:
        kind = f"CONDITIONAL&token_id={token_id}" if token_id else "COLLATERAL"
        target = f"/balance-allowance?asset_type={kind}&signature_type={self.signature_type}"
        return int(self.ask("GET", target).body["balance"])

    def trades(self, query: str = "") -> list[Any]:
        return self.ask("GET", "/data/trades" + query).body["data"]

    def open_orders(self) -> list[Any]:
        return self.ask("GET", "/data/orders").body["data"]
