"""The product's trading worker with the SDK's own defaults where recovery depends on them.

A cached workflow is given away after ten seconds, and a send is missed only at its deadline.
"""

import asyncio
from datetime import timedelta
from typing import Any, cast

from infra.settings import load_settings
from infra.telemetry import configure_logging
from workers import process, trading
from workflows import options

SDK_STICKY = timedelta(seconds=10)


def main() -> None:
    """Run the worker until it is told to stop."""
    process.__dict__["STICKY"] = SDK_STICKY
    cast("dict[str, Any]", options.SEND)["heartbeat_timeout"] = None
    settings = load_settings()
    configure_logging(settings.log_format, "default-worker")
    asyncio.run(trading.run_trading(settings))


if __name__ == "__main__":
    main()
