"""One machine's stack: its configuration, its roles as children, and how they come up."""

import asyncio
import hashlib
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from infra.embedded.endpoints import (
    AccountEndpoint,
    ApiEndpoint,
    DatabaseEndpoint,
    Endpoints,
    WebhookEndpoint,
)
from infra.embedded.folder import Folder, FolderError, write_private
from infra.embedded.keys import Keys
from infra.embedded.loopback import HOST, answers
from infra.embedded.paper import Paper
from infra.embedded.ports import Ports
from infra.embedded.postgres import Postgres
from infra.embedded.supervisor import Child, Supervisor, clean_environment
from infra.embedded.temporal import NAMESPACE, Temporal
from infra.embedded.toml import Table, merged, toml_text
from infra.embedded.wallet import signing_address
from infra.settings import (
    CONFIG_VARIABLE,
    SECRETS_VARIABLE,
    ExchangeSettings,
    TemporalSettings,
)

SOURCE: Final = "tradingview"
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "api": ("api",),
    "worker-trading": ("worker", "trading"),
    "worker-streams": ("worker", "streams"),
}
TASK_QUEUES: Final = {"worker-trading": "trading", "worker-streams": "streams"}
COMMAND: Final = (sys.executable, "-m", "workers.standby")
SCOPES: Final = ("signal", "read", "operate")

# Whoever plays with kill -9 wants to see the alert survive it, not expire.
PAPER_MAX_AGE_SECONDS: Final = 300

# Above what a load test of 200 open orders and $5,000 in one market needs.
PAPER_LIMITS: Final = {
    "max_order_notional_usd": "6000",
    "max_market_exposure_usd": "6000",
    "max_event_exposure_usd": "12000",
    "max_account_exposure_usd": "60000",
    "max_open_orders": 500,
    "max_daily_loss_fraction": "0.5",  # $5,000 in one market may go to nothing
    "max_consecutive_failures": 200,  # faults are there to be played with
    "cooldown_seconds": 0,  # whoever tries the kill switch wants to go on afterwards
}


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What runs in one folder.

    Attributes:
        has_paper: with a paper exchange; else the caller's own files name the exchange.
        command: how a role is started, before its arguments; it waits for the word to begin.
    """

    folder: Folder
    ports: Ports
    keys: Keys
    has_paper: bool = True
    command: tuple[str, ...] = COMMAND

    @property
    def origin(self) -> str:
        """The API's origin."""
        return f"http://{HOST}:{self.ports.api}"

    @property
    def postgres(self) -> Postgres:
        """The database server."""
        return Postgres(
            cluster=self.folder.postgres,
            port=self.ports.postgres,
            password=self.keys.database_password,
        )

    @property
    def temporal(self) -> Temporal:
        """The Temporal server."""
        return Temporal(self.folder.temporal, self.ports)

    @property
    def paper(self) -> Paper:
        """The paper exchange."""
        return Paper(self.folder.paper, self.ports.paper)

    async def come_up(self, supervisor: Supervisor) -> Endpoints:
        """Start every child, what can be at the same time, and return where all is reached.

        Raises:
            HoldfastError: one of them does not come up.
        """
        roles = [self._role(name) for name in ROLES]
        account, _, _, *_ = await together(
            self._exchange_up(supervisor),
            self._database_up(supervisor),
            supervisor.start(self.temporal.child()),
            *(supervisor.load(role) for role in roles),
        )
        config = self._write_config(account)
        await together(*(supervisor.start(role) for role in roles))
        return self._endpoints(config, account, supervisor.pids)

    async def _exchange_up(self, supervisor: Supervisor) -> AccountEndpoint | None:
        """Start the paper exchange and return the account on it; None where there is none."""
        if not self.has_paper:
            return None
        await supervisor.start(self.paper.child())
        return await self.paper.account(self.keys.private_key)

    async def _database_up(self, supervisor: Supervisor) -> None:
        """Start PostgreSQL and bring its tables up to date."""
        variables = {"HOLDFAST_DATABASE_URL": self.postgres.url}
        migration = self._command_child("migrate", ("migrate",), variables)
        await supervisor.load(migration)
        await self.postgres.prepare()
        await supervisor.start(self.postgres.child())
        await supervisor.run_once(migration)

    def _role(self, name: str) -> Child:
        """Return a role as a child that is ready once it does its work."""
        variables = {CONFIG_VARIABLE: str(self.folder.config)}
        if name == "worker-trading":
            variables |= self._signing_variables()
        if name in TASK_QUEUES:
            is_ready = partial(self.temporal.has_poller, TASK_QUEUES[name])
        else:
            is_ready = partial(answers, self.ports.api, "/readyz")
        return self._command_child(name, ROLES[name], variables, is_ready=is_ready)

    def _command_child(
        self, name: str, arguments: tuple[str, ...], variables: Mapping[str, str], **more: Any
    ) -> Child:
        """Return one of our own commands as a child."""
        environment = clean_environment() | dict(variables)
        argv = (*self.command, *arguments)
        return Child(name=name, argv=argv, env=environment, waits=True, **more)

    def _signing_variables(self) -> dict[str, str]:
        """Return what leads the trading worker, and no other role, to the signing keys."""
        if self.has_paper:
            return {SECRETS_VARIABLE: str(self.folder.secrets)}
        named = os.environ.get(SECRETS_VARIABLE)
        own = {SECRETS_VARIABLE: str(Path(named).resolve())} if named else {}
        if "storage_key" in _tables(SECRETS_VARIABLE):
            return own
        return own | {"HOLDFAST_STORAGE_KEY": self.keys.storage_key}

    def _write_config(self, account: AccountEndpoint | None) -> Table:
        """Write the files the roles read and return the one that is not secret."""
        if account is not None:
            config = merged(self._paper_config(account), self._local_config([]))
            write_private(self.folder.secrets, toml_text(self._paper_secrets(account)))
        else:
            theirs = _tables(CONFIG_VARIABLE)
            keys = theirs.get("api", {}).get("keys", [])
            config = merged(theirs, self._local_config(keys))
        write_private(self.folder.config, toml_text(config))
        return config

    def _local_config(self, api_keys: list[Table]) -> Table:
        """Return what is ours to say whatever the exchange is."""
        digest = hashlib.sha256(self.keys.api_key.encode()).hexdigest()
        own_key = {"name": "up", "sha256": digest, "scopes": SCOPES}
        temporal = {"address": self.temporal.address, "namespace": NAMESPACE}
        return {
            "database_url": self.postgres.url,
            "log_format": "json",
            "temporal": temporal | {"ui_url": self.temporal.ui_url},
            "api": {"host": HOST, "port": self.ports.api, "keys": [*api_keys, own_key]},
        }

    def _paper_config(self, account: AccountEndpoint) -> Table:
        """Return the exchange, the account and the source of signals of a paper stack."""
        keys = account.model_dump(exclude={"id", "private_key"})
        keys["signer"] = signing_address(account.private_key)
        return {
            "exchange": self.paper.addresses.model_dump(),
            "accounts": {account.id: keys | {"limits": PAPER_LIMITS}},
            "webhooks": {
                SOURCE: {
                    "secret": self.keys.webhook_secret,
                    "account": account.id,
                    "max_age_seconds": PAPER_MAX_AGE_SECONDS,
                }
            },
        }

    def _paper_secrets(self, account: AccountEndpoint) -> Table:
        """Return what only the trading worker is given."""
        return {
            "storage_key": self.keys.storage_key,
            "accounts": {account.id: {"private_key": account.private_key}},
        }

    def _endpoints(
        self, config: Any, account: AccountEndpoint | None, pids: Mapping[str, int]
    ) -> Endpoints:
        """Return where clients reach the running stack."""
        sources = config.get("webhooks", {})
        path = f"{self.origin}/api/v1/webhooks"
        return Endpoints(
            api=ApiEndpoint(url=self.origin, key=self.keys.api_key),
            webhooks={
                name: WebhookEndpoint(url=f"{path}/{name}", secret=source["secret"])
                for name, source in sources.items()
            },
            temporal=TemporalSettings.model_validate(config["temporal"]),
            database=DatabaseEndpoint(url=self.postgres.url),
            exchange=ExchangeSettings.model_validate(config.get("exchange", {})),
            accounts=() if account is None else (account,),
            processes=dict(pids),
        )


async def together(*parts: Any) -> list[Any]:
    """Await all; the first failure cancels the others and is raised as it was."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


def _tables(variable: str) -> dict[str, Any]:
    """Return the TOML file of the caller that `variable` names, nothing if it names none.

    Raises:
        FolderError: the file is missing or is not TOML.
    """
    named = os.environ.get(variable)
    if not named:
        return {}
    try:
        return tomllib.loads(Path(named).read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise FolderError(f"{variable} names {named}, which cannot be read: {error}") from None
