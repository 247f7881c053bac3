"""`endpoints.json`: where the running stack is reached, and how its folder is found."""

import os
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.embedded.folder import FolderError, write_private
from infra.settings import DATA_DIR_VARIABLE, ExchangeSettings, TemporalSettings

FILE: Final = "endpoints.json"
STATE_VARIABLE: Final = "XDG_STATE_HOME"


class Part(BaseModel):
    """A part of the document; its secrets are not shown by `repr`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ApiEndpoint(Part):
    """The API's origin, without `/api/v1`, and a key with every scope."""

    url: str
    key: str = Field(repr=False)


class WebhookEndpoint(Part):
    """Where a source of signals posts, and what it proves itself with."""

    url: str
    secret: str = Field(repr=False)


class DatabaseEndpoint(Part):
    """The database, password included."""

    url: str = Field(repr=False)


class AccountEndpoint(Part):
    """An account of the paper exchange with all its keys; never a real exchange's."""

    id: str
    wallet: str
    signature_type: int
    private_key: str = Field(repr=False)
    api_key: str = Field(repr=False)
    secret: str = Field(repr=False)
    passphrase: str = Field(repr=False)


class Endpoints(Part):
    """The whole document.

    Attributes:
        processes: pid of the process that does the work, by child.
    """

    api: ApiEndpoint
    webhooks: dict[str, WebhookEndpoint]
    temporal: TemporalSettings
    database: DatabaseEndpoint
    exchange: ExchangeSettings
    accounts: tuple[AccountEndpoint, ...]
    processes: dict[str, int]


def write_endpoints(path: Path, endpoints: Endpoints) -> None:
    """Replace the document at once and whole; how fast an account may trade is no address."""
    write_private(path, endpoints.model_dump_json(indent=2, exclude={"exchange": {"rate_tier"}}))


def read_endpoints(folder: Path) -> Endpoints:
    """Return what the stack of `folder` wrote when it became ready.

    Raises:
        FolderError: there is no such document, or it is damaged.
    """
    path = folder / FILE
    try:
        return Endpoints.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise FolderError(f"{path} is missing: nothing runs there; start `holdfast up`") from None
    except (OSError, ValidationError) as error:
        raise FolderError(f"{path} cannot be read: {error}") from None


def running_folder() -> Path:
    """Return the folder of the running stack: the one named, else that of the last `up`.

    Raises:
        FolderError: neither is known.
    """
    named = os.environ.get(DATA_DIR_VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    try:
        return Path(_last_file().read_text().strip())
    except OSError:
        words = f"no stack is known: start `holdfast up`, or set {DATA_DIR_VARIABLE}"
        raise FolderError(words) from None


def remember_folder(folder: Path) -> None:
    """Note `folder` as that of the last `up`; a home that cannot be written is no obstacle."""
    path = _last_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{folder}\n")
    except OSError:
        return


def _last_file() -> Path:
    state = os.environ.get(STATE_VARIABLE)
    return (Path(state) if state else Path.home() / ".local" / "state") / "holdfast" / "last"
