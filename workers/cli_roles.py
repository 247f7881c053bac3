"""The verbs that run for long, and those that look after configuration and schema."""

import asyncio
import os
import pkgutil
import sys
from argparse import Namespace
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, cast

from infra.exporting import configure_tracing
from infra.settings import (
    CONFIG_VARIABLE,
    DATA_DIR_VARIABLE,
    NOT_SETTINGS,
    PREFIX,
    SECRETS_VARIABLE,
    Settings,
    SettingsError,
    demand_confirmed,
    load_settings,
    redacted,
)
from infra.telemetry import configure_logging
from workers.cli_client import CommandError
from workers.cli_output import write_document
from workers.cli_stack import stack_folder

DEFAULT_FOLDER: Final = "~/.holdfast"
# By name: each role's libraries are imported in its own process only.
API: Final = "api.serve:serve"
TRADING: Final = "workers.trading:run_trading"
STREAMS: Final = "workers.streams:run_streams"
DEMO: Final = "workers.demo:run_demo"
PAPER: Final = "infra.paper.server:serve"


def up(args: Namespace) -> int:
    """Run everything on this machine until Ctrl-C."""
    from workers.up import UpOptions, run_up  # noqa: PLC0415  # no other verb pays for it

    configure_logging("console", "up")
    given = args.data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_FOLDER
    options = UpOptions(
        data_dir=Path(given),
        fresh=args.fresh,
        port_base=args.port_base,
        exchange=not args.no_exchange,
    )
    return asyncio.run(run_up(options))


def demo(args: Namespace) -> int:
    """Tell the story of README on a throw-away stack; 0 only if every claim held."""
    run_demo = cast("Callable[..., Coroutine[Any, Any, int]]", pkgutil.resolve_name(DEMO))
    return asyncio.run(run_demo(fast=args.fast))


def paper_serve(args: Namespace) -> int:
    """Serve the paper exchange."""
    configure_logging("console", "paper")
    serve = cast("Callable[..., None]", pkgutil.resolve_name(PAPER))
    serve(port=args.port, data_dir=Path(args.data_dir).expanduser().resolve())
    return 0


def api(_: Namespace) -> int:
    """Serve the HTTP API."""
    cast("Callable[[Settings], None]", pkgutil.resolve_name(API))(own_settings(with_secrets=False))
    return 0


def trading(_: Namespace) -> int:
    """Work orders, positions and guardians."""
    return _work(TRADING, "worker-trading", with_secrets=True)


def streams(_: Namespace) -> int:
    """Listen to prices and fills."""
    return _work(STREAMS, "worker-streams", with_secrets=False)


def config_check(args: Namespace) -> int:
    """Say whether the configuration is complete, free of unknown keys, and its limits confirmed."""
    try:
        demand_confirmed(own_settings(with_secrets=True))
    except SettingsError as error:
        if args.json:
            write_document({"status": "failed", "detail": str(error)})
        raise
    words = "complete, no unknown key"
    if args.json:
        write_document({"status": "ok", "detail": words})
    else:
        sys.stdout.write(f"the configuration is {words}\n")
    return 0


def config_show(args: Namespace) -> int:
    """Show what holds, secrets masked."""
    shown = redacted(own_settings(with_secrets=True))
    if args.json:
        write_document(shown)
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(shown, "")))
    return 0


def migrate(args: Namespace) -> int:
    """Bring the database's schema up to date."""
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415  # no other verb pays for it

    from infra.store.migrate import migrate as upgrade  # noqa: PLC0415

    settings = own_settings(with_secrets=False)
    try:
        upgrade(settings.database_url.get_secret_value())
    except OperationalError as error:
        words = str(error.orig).strip().splitlines()[0]
        raise CommandError(f"the database does not answer: {words}") from None
    if args.json:
        write_document({"workflow_id": None, "status": "done", "detail": "schema up to date"})
    else:
        sys.stdout.write("the schema is up to date\n")
    return 0


def _work(entry: str, role: str, *, with_secrets: bool) -> int:
    """Run a worker until it is told to stop."""
    settings = own_settings(with_secrets=with_secrets)
    configure_logging(settings.log_format, role)
    configure_tracing(os.environ, role)
    run = cast("Callable[[Settings], Coroutine[Any, Any, None]]", pkgutil.resolve_name(entry))
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(run(settings))
    return 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the fastest event loop there is on this machine."""
    try:
        import uvloop  # noqa: PLC0415  # it does not exist everywhere
    except ImportError:
        return None
    return uvloop.new_event_loop


def own_settings(*, with_secrets: bool) -> Settings:
    """Return the configuration; where the environment is silent, the running stack's own."""
    known = {CONFIG_VARIABLE, SECRETS_VARIABLE}
    told = [one for one in os.environ if one.startswith(PREFIX)]
    if not any(one in known or one not in NOT_SETTINGS for one in told):
        _adopt_stack(with_secrets=with_secrets)
    return load_settings()


def _adopt_stack(*, with_secrets: bool) -> None:
    """Name the files of the running stack in the environment, where they exist."""
    try:
        folder = stack_folder()
    except CommandError:
        return
    files = {CONFIG_VARIABLE: folder / "config.toml"}
    if with_secrets:
        files[SECRETS_VARIABLE] = folder / "secrets.toml"
    os.environ.update({name: str(path) for name, path in files.items() if path.is_file()})


def _lines(value: Any, name: str) -> list[str]:
    """Return the configuration as `section.key = value` lines."""
    if isinstance(value, dict) and value:
        pairs = cast("dict[str, Any]", value).items()
        return [
            line for key, one in pairs for line in _lines(one, f"{name}.{key}".removeprefix("."))
        ]
    return [f"{name} = {value}"]
