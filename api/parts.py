"""What every request of one process shares, made once when the process begins."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, FastAPI, Request
from sqlalchemy.ext.asyncio import AsyncEngine
from temporalio.client import Client

from api.strangers import Strangers
from api.turns import Turns
from domain.ports import Failpoint
from domain.signal import SignalStatus
from infra.settings import Settings
from infra.store.reads import Reads
from infra.store.signals import Signals


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The process's ways to the outside.

    Attributes:
        answered: how many webhooks got which HTTP status.
        strangers: what senders who prove nothing may still have stored.
        turns: the line of webhooks before the database.
        begun: starts of workflows that outlast their request's answer.
    """

    settings: Settings
    database: AsyncEngine
    signals: Signals
    reads: Reads
    temporal: Client
    failpoint: Failpoint
    answered: Counter[int] = field(default_factory=Counter[int])
    strangers: Strangers = field(default_factory=Strangers)
    turns: Turns = field(default_factory=Turns)
    begun: set[asyncio.Task[SignalStatus]] = field(default_factory=set[asyncio.Task[SignalStatus]])

    @property
    def secrets(self) -> list[str]:
        """Everything a sender may prove itself with: never to be shown."""
        return [one.secret.get_secret_value() for one in self.settings.webhooks.values()]

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
