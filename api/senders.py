"""Whether a webhook's sender is who it says, and where it calls from."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.datastructures import Headers

from api.keys import caller
from domain.ids import digest
from infra.settings import Settings, WebhookSettings

TOKEN_HEADER: Final = "X-Holdfast-Token"  # noqa: S105  # a header's name
FORWARDED_HEADER: Final = "X-Forwarded-For"
UNPROVEN: Final = "its sender did not prove itself"
SIGNED_ID: Final = "signed-"
IPV6_SENDER: Final = 64  # bits of an address that one household or server has for itself

_UNIX_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)

Networks = Iterable[IPv4Network | IPv6Network]


class Proof(StrEnum):
    """How a sender proved itself."""

    HMAC = "hmac"
    TOKEN = "token"  # noqa: S105  # a word
    BODY = "body"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a request offers as proof.

    Attributes:
        body: what came, whole: signatures are of it.
        secret: what the body itself gives as its secret.
    """

    headers: Headers
    in_path: str | None
    body: bytes
    secret: str | None
    received_at: datetime

    @property
    def tokens(self) -> list[str]:
        """What it offers beside its body."""
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        bearer = credentials.strip() if scheme.lower() == "bearer" else ""
        return [one for one in (self.in_path, bearer, self.headers.get(TOKEN_HEADER)) if one]


def proof_of(settings: Settings, source: str, offer: Offer) -> Proof | None:
    """Return how the sender proved itself, None where it did not.

    A source without a secret is closed. Every secret is compared, whichever fits.
    """
    known = settings.webhooks.get(source)
    secrets = known.secrets if known is not None else []
    tokens = [_fits(secrets, one) or _may_send(settings, one) for one in offer.tokens]
    fits = {
        Proof.HMAC: known is not None and _is_signed(known, offer),
        Proof.TOKEN: any(tokens),
        Proof.BODY: offer.secret is not None and _fits(secrets, offer.secret),
    }
    if known is None or not secrets:
        return None
    return next((way for way, fit in fits.items() if fit and way in known.proofs), None)


def signed_id(known: WebhookSettings, offer: Offer) -> str:
    """Return what stands for a signed message: sent again with its signature, it is the same."""
    stamp = offer.headers.get(known.hmac.timestamp_header, "")
    return f"{SIGNED_ID}{digest(stamp, offer.body)}"


def address_of(peer: str, headers: Headers, trusted: Networks) -> str:
    """Return where a request comes from: the nearest address that is not a trusted proxy's.

    What a stranger writes into the header is to the left of what our proxies add, and is not read.
    """
    hops = [hop.strip() for line in headers.getlist(FORWARDED_HEADER) for hop in line.split(",")]
    nearest = peer
    while hops and _is_in(nearest, trusted):
        hop = _address(hops.pop())
        if hop is None:
            break
        nearest = str(hop)
    return nearest


def sender_at(address: str) -> str:
    """Return what addresses of one sender share: IPv6 gives each a whole network."""
    known = _address(address)
    if isinstance(known, IPv6Address):
        return str(ip_network((known, IPV6_SENDER), strict=False))
    return address


def _is_signed(known: WebhookSettings, offer: Offer) -> bool:
    """Tell whether the body is signed with one of the secrets, now."""
    stamp = offer.headers.get(known.hmac.timestamp_header, "").strip()
    given = offer.headers.get(known.hmac.signature_header, "").strip().lower()
    if not given or not _UNIX_SECONDS.fullmatch(stamp):
        return False
    message = stamp.encode() + b"." + offer.body
    wanted = [
        hmac.new(_bytes(secret), message, hashlib.sha256).hexdigest() for secret in known.secrets
    ]
    is_ours = _fits(wanted, given.removeprefix("sha256="))
    away_seconds = abs(offer.received_at.timestamp() - int(stamp))
    return is_ours and away_seconds <= known.hmac.window_seconds


def _may_send(settings: Settings, token: str) -> bool:
    key = caller(token, settings.api.keys)
    return key is not None and "signal" in key.scopes


def _fits(known: Sequence[str], given: str) -> bool:
    """Compare in a time that tells nothing of the secrets."""
    return any([hmac.compare_digest(_bytes(one), _bytes(given)) for one in known])  # noqa: C419


def _is_in(address: str, networks: Networks) -> bool:
    known = _address(address)
    return known is not None and any(known in network for network in networks)


def _address(written: str) -> IPv4Address | IPv6Address | None:
    """Return the address, in its plain form: proxies may map IPv4 into IPv6."""
    try:
        known = ip_address(written.strip("[]"))
    except ValueError:
        return None
    mapped = known.ipv4_mapped if isinstance(known, IPv6Address) else None
    return mapped or known


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
