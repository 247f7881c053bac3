"""API keys beside the trading ones: builders' keys, and keys that can only read."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Final, cast

from infra.paper.ledger import Ledger

BUILDER: Final = "builder"
READONLY: Final = "readonly"
_COLUMNS: Final = "api_key, kind, address, secret, passphrase, created_at, revoked_at"


@dataclass(frozen=True, slots=True)
class SideKey:
    """One such key; a builder's has a secret and may have been revoked (microseconds)."""

    api_key: str
    kind: str
    address: str
    secret: str
    passphrase: str
    created_at: int
    revoked_at: int | None = None


def create(ledger: Ledger, kind: str, address: str, now: int) -> SideKey:
    """Write a fresh key of an EOA."""
    seed = f"holdfast-paper/{kind}/{address}/{len(keys_of(ledger, kind, address))}/{now}".encode()
    digest = hashlib.sha512(seed).digest()
    shown = digest[:16].hex()
    key = SideKey(
        api_key=f"{shown[:8]}-{shown[8:12]}-{shown[12:16]}-{shown[16:20]}-{shown[20:]}",
        kind=kind,
        address=address,
        secret=base64.urlsafe_b64encode(digest[16:48]).decode(),
        passphrase=hashlib.sha256(seed).hexdigest(),
        created_at=now,
    )
    values = (key.api_key, kind, address, key.secret, key.passphrase, now, None)
    sql = f"INSERT INTO side_keys({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - constants
    ledger.write(sql, values)
    return key


def keys_of(ledger: Ledger, kind: str, address: str) -> list[SideKey]:
    """Return an EOA's keys of one kind, oldest first, revoked ones included."""
    sql = f"SELECT {_COLUMNS} FROM side_keys WHERE kind = ? AND address = ? ORDER BY created_at"  # noqa: S608 - constants
    return [SideKey(**cast("dict[str, Any]", row)) for row in ledger.rows(sql, (kind, address))]


def find(ledger: Ledger, kind: str, api_key: str) -> SideKey | None:
    """Return a key that is in force, or None."""
    sql = (
        f"SELECT {_COLUMNS} FROM side_keys "  # noqa: S608 - constants
        "WHERE kind = ? AND api_key = ? AND revoked_at IS NULL"
    )
    rows = ledger.rows(sql, (kind, api_key))
    return SideKey(**cast("dict[str, Any]", rows[0])) if rows else None


def revoke(ledger: Ledger, key: SideKey, now: int) -> None:
    """Put a key out of force."""
    ledger.write("UPDATE side_keys SET revoked_at = ? WHERE api_key = ?", (now, key.api_key))
