"""What every request of one process shares, made once when the process begins."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Request
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from api.pace import Pace
from api.starts import Starts
from api.strangers import Strangers
from domain.ports import Failpoint
from infra.settings import Settings
from infra.store.inbox import Inbox
from infra.store.reads import Reads
from infra.store.signals import Signals


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The process's ways to the outside.

    Attributes:
        answered: how many webhooks got which HTTP status.
        strangers: what senders who prove nothing may still have stored.
        pace: how crowded the door is, and so how fast workflows are begun.
        starts: the line of workflows about to be begun.
    """

    settings: Settings
    database: AsyncEngine
    inbox: Inbox
    signals: Signals
    reads: Reads
    temporal: Client
    failpoint: Failpoint
    pace: Pace
    starts: Starts
    answered: Counter[int] = field(default_factory=Counter[int])
    strangers: Strangers = field(default_factory=Strangers)

    @property
    def secrets(self) -> list[str]:
        """Everything a sender may prove itself with: never to be shown."""
        return [one for source in self.settings.webhooks.values() for one in source.secrets]

    def workflow_url(self, workflow_id: str) -> str | None:
        """Return the page of a workflow in Temporal's own interface, if there is one."""
        temporal = self.settings.temporal
        if temporal.ui_url is None:
            return None
        root = temporal.ui_url.rstrip("/")
        return f"{root}/namespaces/{temporal.namespace}/workflows/{workflow_id}"


def install(app: FastAPI, parts: Parts) -> None:
    """Give `parts` to the requests of `app`."""
    app.state.parts = parts


def of_request(request: Request) -> Parts:
    """Return the parts of the process that serves `request`."""
    state: Any = request.app.state
    return cast("Parts", state.parts)


Shared = Annotated[Parts, Depends(of_request)]
