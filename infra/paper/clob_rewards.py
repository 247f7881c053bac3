"""The CLOB's rewards and rebates: this exchange pays none, so its answers are whole and empty."""

import re
from typing import Final

from infra.paper.authentication import authenticate
from infra.paper.exchange import Exchange
from infra.paper.pages import cursor_page, cursor_start
from infra.paper.prices import market_of_path
from infra.paper.routes import Paths
from infra.paper.wire import Answer, RefusedError, Request, answered

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _none(_: Exchange, request: Request) -> Answer:
    return answered(cursor_page([], cursor_start(request)))


def _of_market(exchange: Exchange, request: Request) -> Answer:
    market_of_path(exchange, request)
    return _none(exchange, request)


def _dated(exchange: Exchange, request: Request) -> None:
    authenticate(request, exchange.engine.accounts)
    if _DATE.fullmatch(request.one("date")) is None:
        raise RefusedError(400, "invalid date")


def _earnings(exchange: Exchange, request: Request) -> Answer:
    _dated(exchange, request)
    return answered({**cursor_page([], cursor_start(request)), "total_count": 0})


def _total(exchange: Exchange, request: Request) -> Answer:
    _dated(exchange, request)
    return answered([])


def _percentages(exchange: Exchange, request: Request) -> Answer:
    authenticate(request, exchange.engine.accounts)
    return answered({})


def _rebates(_: Exchange, request: Request) -> Answer:
    if _DATE.fullmatch(request.one("date")) is None:
        raise RefusedError(400, "invalid date")
    return answered([])


PATHS: Final[Paths] = {
    ("GET", "/rewards/markets/current"): _none,
    ("GET", "/rewards/markets/multi"): _none,
    ("GET", "/rewards/markets/{}"): _of_market,
    ("GET", "/rewards/user"): _earnings,
    ("GET", "/rewards/user/total"): _total,
    ("GET", "/rewards/user/percentages"): _percentages,
    ("GET", "/rewards/user/markets"): _earnings,
    ("GET", "/rebates/current"): _rebates,
}
