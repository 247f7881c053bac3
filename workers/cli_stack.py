"""The running stack as the command sees it: what `endpoints.json` of its folder says.

Read without the settings and their models, whose import costs each verb half a second.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from workers.cli_client import Api, CommandError

DATA_DIR_VARIABLE: Final = "HOLDFAST_DATA_DIR"
FILE: Final = "endpoints.json"
PARTS: Final = ("api", "webhooks", "temporal", "exchange", "accounts", "processes")


@dataclass(frozen=True)
class Stack:
    """Where the running stack is reached.

    Attributes:
        told: the document as it was written.
    """

    folder: Path
    told: dict[str, Any]
    api: Api

    @property
    def ui_url(self) -> str | None:
        """Temporal's web interface, without a slash at its end; None where there is none."""
        url = self.told["temporal"].get("ui_url")
        return str(url).rstrip("/") if url else None

    @property
    def namespace(self) -> str:
        """Temporal's namespace."""
        return str(self.told["temporal"]["namespace"])

    def workflow_link(self, workflow_id: str) -> str | None:
        """Return the page of a workflow in Temporal's web interface."""
        if self.ui_url is None:
            return None
        return f"{self.ui_url}/namespaces/{self.namespace}/workflows/{workflow_id}"

    def __enter__(self) -> Self:
        """Nothing is opened before it is needed."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the connection."""
        self.api.close()


def found_stack() -> Stack:
    """Return the stack that HOLDFAST_DATA_DIR names, else that of the last `up`.

    Raises:
        CommandError: no stack is known, it is not running, or its file is damaged.
    """
    folder = stack_folder()
    path = folder / FILE
    try:
        told: Any = json.loads(path.read_bytes())
        missing = [part for part in PARTS if part not in told]
        if missing:
            raise CommandError(f"{path} lacks {', '.join(missing)}: start `holdfast up` again")
        return Stack(folder, told, Api(told["api"]["url"], told["api"]["key"]))
    except FileNotFoundError:
        words = f"no stack runs in {folder}: start it with `holdfast up --data-dir {folder}`"
        raise CommandError(words) from None
    except PermissionError:
        raise CommandError(f"{path} belongs to somebody else: run as its owner") from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        words = f"{path} cannot be read ({error}): start `holdfast up` again"
        raise CommandError(words) from None


def stack_folder() -> Path:
    """Return the folder of the stack that is meant."""
    named = os.environ.get(DATA_DIR_VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    state = os.environ.get("XDG_STATE_HOME")
    last = (Path(state) if state else Path.home() / ".local" / "state") / "holdfast" / "last"
    try:
        return Path(last.read_text().strip())
    except OSError:
        words = f"no stack is known: start `holdfast up`, or set {DATA_DIR_VARIABLE}"
        raise CommandError(words) from None
