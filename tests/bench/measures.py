"""The figures of the two paths that matter: the webhook's answer, and from signal to POST."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.exchange import slug
from tests.bench.loader import Answered, Loader
from tests.bench.stage import SECRET, Stage
from tests.bench.tables import ORDER_HASHES

PATIENCE_SECONDS: Final = 60.0
PRODUCT_HASHES: Final = (
    "SELECT signal_id, order_hash FROM holdfast.orders WHERE signal_id = ANY(%s)"
)
TAKEN: Final = frozenset({200, 202})


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Times in milliseconds.

    Attributes:
        count: measured, none of them left out.
        failed: asked for and never come.
    """

    p50: float
    p99: float
    worst: float
    count: int
    failed: int


def spread(milliseconds: list[float], asked: int) -> Spread:
    """Return how `milliseconds` are spread; what never came counts as endless."""
    ordered = sorted(milliseconds) + [float("inf")] * (asked - len(milliseconds))
    return Spread(
        p50=quantile(ordered, 0.5),
        p99=quantile(ordered, 0.99),
        worst=ordered[-1],
        count=len(milliseconds),
        failed=asked - len(milliseconds),
    )


def quantile(ordered: list[float], share: float) -> float:
    """Return the smallest value that `share` of all do not exceed."""
    rank = -(-len(ordered) * round(share * 100) // 100)
    return ordered[max(rank, 1) - 1]


def wish(tag: str, action: str = "BuyMarket") -> Callable[[int], dict[str, Any]]:
    """Return what makes the body of an alert from its number."""

    def body(number: int) -> dict[str, Any]:
        return {
            "secret": SECRET,
            "action": action,
            "market": slug(number),
            "outcome": "Yes",
            "size": "20",
            "price": "0.50",
            "id": f"{tag}-{number}",
        }

    return body


def ping(tag: str) -> Callable[[int], dict[str, Any]]:
    """Return what makes an alert that asks for nothing."""
    return lambda number: {"secret": SECRET, "action": "PING", "id": f"{tag}-{number}"}


async def answers(
    url: str, rate: tuple[float, float], body: Callable[[int], dict[str, Any]]
) -> list[Answered]:
    """Send at `rate`, so many a second for so many seconds, and return every answer."""
    loader = Loader(url)
    await loader.open()
    try:
        return await loader.at_rate(*rate, body)
    finally:
        loader.close()


def waits(answered: list[Answered]) -> Spread:
    """Return how long senders waited; an answer that takes nothing is none."""
    taken = [one.milliseconds for one in answered if one.status in TAKEN]
    return spread(taken, len(answered))


def statuses(answered: list[Answered]) -> dict[str, int]:
    """Return how many answers had which status."""
    return {str(status): count for status, count in Counter(a.status for a in answered).items()}


async def signal_to_post(stage: Stage, tag: str, rate: tuple[float, float]) -> Spread:
    """Return the times from the webhook's sending to its POST at the exchange."""
    is_floor = tag.startswith("floor")
    await stage.posts()
    url, query = (stage.floor, ORDER_HASHES) if is_floor else (stage.webhook, PRODUCT_HASHES)
    answered = await answers(url, rate, wish(tag))
    ids = [str(one.document["signal_id"]) for one in answered if "signal_id" in one.document]
    posts, hashes = dict[str, float](), dict[str, str]()
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(hashes) < len(ids) or not posts.keys() >= set(hashes.values()):
                await asyncio.sleep(0.2)
                for post in await stage.posts():
                    posts.setdefault(post.order_hash, post.came_at)  # the first of each counts
                hashes = {str(key): str(value) for key, value in await stage.rows(query, ids)}
    times = [
        (posts[hashes[one.document["signal_id"]]] - one.due_at) * 1000
        for one in answered
        if hashes.get(one.document.get("signal_id", "")) in posts
    ]
    return spread(times, len(answered))
