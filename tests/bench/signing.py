"""Signing: as the product does it, and as the SDK does it as it is installed by default.

`python -m tests.bench.signing` prints milliseconds for each order. With ECC_BACKEND_CLASS the
signing library is told which backend to use; `--sdk` leaves out the product's own encoder.
"""

import asyncio
import sys
from collections.abc import Mapping
from decimal import Decimal
from statistics import median
from typing import Final

from domain.order import Side, TimeInForce
from domain.sizing import Terms
from infra.clock import monotonic_seconds
from infra.exchanges.polymarket.sdk import SdkClient
from tests.bench.market import account_on_bench, market
from tests.bench.stage import ROOT, plain_environment

PURE: Final = {"ECC_BACKEND_CLASS": "eth_keys.backends.NativeECCBackend"}
ORDERS: Final = 100


async def compared() -> dict[str, float]:
    """Return the product's milliseconds for a signature and those of the SDK's default install."""
    return {
        "product": await _in_process_of_its_own({}),
        "sdk": await _in_process_of_its_own(PURE, "--sdk"),
    }


async def _in_process_of_its_own(known: Mapping[str, str], *arguments: str) -> float:
    """Return what this module prints: the backend is chosen when it is first imported."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.signing", *arguments),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=plain_environment() | dict(known),
    )
    output, _ = await process.communicate()
    return float(output)


async def measured(*, by_sdk: bool) -> float:
    """Return the median milliseconds of a signature."""
    terms = Terms(
        side=Side.BUY, time_in_force=TimeInForce.FAK, price=Decimal("0.57"), size=Decimal(100)
    )
    traded = market(0)
    token_id = traded.tokens[0].token_id
    times = list[float]()
    if by_sdk:
        delattr(SdkClient, "_sign_order")  # what it inherits is the SDK's own way
    async with account_on_bench("http://127.0.0.1:1") as account:
        for _ in range(ORDERS):
            began = monotonic_seconds()
            await account.sign(terms, traded, token_id, None)
            times.append((monotonic_seconds() - began) * 1000)
    return median(times)


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(measured(by_sdk="--sdk" in sys.argv))))
