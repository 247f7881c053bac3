"""What is drawn by lot once for a folder and kept: passwords, keys and secrets."""

import base64
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.embedded.folder import FolderError, write_private


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The secrets of one stack.

    Attributes:
        api_key: opens the API with every scope.
        webhook_secret: of the source `tradingview`.
        storage_key: 32 bytes in urlsafe base64; encrypts signed orders at rest.
        private_key: of the paper account.
    """

    database_password: str = field(repr=False)
    api_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    storage_key: str = field(repr=False)
    private_key: str = field(repr=False)


def kept_keys(path: Path) -> Keys:
    """Return the keys of a folder, drawn and stored if there are none.

    Raises:
        FolderError: the file is damaged; new keys would not open what the old ones closed.
    """
    try:
        return Keys(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        keys = _drawn()
        write_private(path, json.dumps(asdict(keys), indent=1))
        return keys
    except (ValueError, TypeError):
        raise FolderError(f"{path} is damaged: restore it, or begin again with --fresh") from None


def _drawn() -> Keys:
    """Return new keys from the system's generator."""
    return Keys(
        database_password=secrets.token_urlsafe(24),
        api_key=secrets.token_urlsafe(32),
        webhook_secret=secrets.token_urlsafe(24),
        storage_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        private_key=f"0x{secrets.token_hex(32)}",
    )
