"""The Data API's view of wallets: statistics, gains, rankings and approvals."""

from collections.abc import Callable
from typing import Final, cast

from infra.paper.exchange import Exchange
from infra.paper.holdings import Holding, holdings, wallet_of, wallets
from infra.paper.pages import data_page
from infra.paper.routes import Paths
from infra.paper.wire import MICRO, Answer, Json, RefusedError, Request, answered, micro_of
from infra.paper.wire import text_of as text

_HOUR: Final = 3_600
_STEPS: Final = {"1h": _HOUR, "3h": 3 * _HOUR, "12h": 12 * _HOUR, "18h": 18 * _HOUR}
_SPANS: Final = {"6h": 6, "12h": 12, "1d": 24, "1w": 7 * 24, "1m": 30 * 24}
_PERIODS: Final = {"day": 24, "week": 7 * 24, "month": 30 * 24}


def _volume(
    exchange: Exchange, wallet: str, start: int = 0, end: int | None = None
) -> tuple[int, int, int]:
    """Return shares, dollars and number of a wallet's fills between two moments."""
    row = exchange.ledger.rows(
        "SELECT COALESCE(SUM(legs.size), 0) AS size, COALESCE(SUM(legs.cash), 0) AS cash, "
        "COUNT(*) AS count FROM legs JOIN trades ON trades.trade_id = legs.trade_id "
        "WHERE legs.wallet = ? AND trades.status != 'FAILED' AND legs.matched_at BETWEEN ? AND ?",
        (wallet, start, exchange.now() if end is None else end),
    )[0]
    return cast("int", row["size"]), cast("int", row["cash"]), cast("int", row["count"])


def _user_volume(exchange: Exchange, request: Request) -> Answer:
    start = micro_of(request.one("start", "0"), "invalid start")
    end = micro_of(request.one("end", "0"), "invalid end") or None
    size, cash, count = _volume(exchange, wallet_of(request), start, end)
    data = {"volume": text(size), "volume_usdc": text(cash), "trade_count": count}
    return answered({"data": data})


def _gained(held: list[Holding]) -> tuple[int, int]:
    return sum(row.realized for row in held), sum(row.gain for row in held)


def _traded(held: list[Holding]) -> list[Holding]:
    return [row for row in held if row.last_at]


def _user_stats(exchange: Exchange, request: Request) -> Answer:
    wallet = wallet_of(request)
    mine = _traded(holdings(exchange, wallet))
    if not mine:
        return answered({"data": None})
    point = _pnl_point(exchange, wallet, exchange.now(), mine)
    return answered(
        {
            "data": {
                "proxy_wallet": wallet,
                "trades": len({row.market.condition_id for row in mine}),
                "biggest_win": text(max(0, *(row.realized for row in mine))),
                "views": 0,
                "join_date": min(row.first_at for row in mine) // MICRO,
                "all_time_pnl": point,
            }
        }
    )


def _pnl_point(exchange: Exchange, wallet: str, at: int, held: list[Holding]) -> Json:
    size, cash, count = _volume(exchange, wallet, 0, at)
    realized, unrealized = _gained(held)
    return {
        "timestamp": at // MICRO,
        "source_block": 0,
        "trade_count": count,
        "realized_market_pnl": text(realized),
        "realized_lp_pnl": "0",
        "realized_combo_pnl": "0",
        "realized_pnl": text(realized),
        "unrealized_pnl": text(unrealized),
        "volume": text(size),
        "volume_usdc": text(cash),
        "fees": text(sum(row.fees for row in held)),
    }


def _user_pnl(exchange: Exchange, request: Request) -> Answer:
    """Answer with one point, now: this exchange keeps no series of past gains."""
    wallet = wallet_of(request)
    interval, fidelity = request.one("interval", "max"), request.one("fidelity", "1d")
    if interval not in {"max", "all", *_SPANS} or fidelity not in {"1d", *_STEPS}:
        raise RefusedError(400, "invalid interval or fidelity")
    mine = _traded(holdings(exchange, wallet))
    points = [_pnl_point(exchange, wallet, exchange.now(), mine)] if mine else []
    return answered(
        {
            "data": {
                "proxy_wallet": wallet,
                "interval": interval,
                "fidelity": fidelity,
                "source_fidelity": fidelity,
                "points": points,
            }
        }
    )


def _ranked(exchange: Exchange, request: Request, by: str) -> list[tuple[str, int, int]]:
    """Return (wallet, gain, shares traded) of all who traded, the highest `by` first."""
    period = _PERIODS.get(request.one("time_period", "day"))
    start = 0 if period is None else exchange.now() - period * _HOUR * MICRO
    rows: list[tuple[str, int, int]] = []
    for wallet in wallets(exchange):
        size, _, count = _volume(exchange, wallet, start)
        if count:
            rows.append((wallet, sum(_gained(holdings(exchange, wallet))), size))
    by_volume = by == "VOLUME"
    return sorted(rows, key=lambda row: (-row[2] if by_volume else -row[1], row[0]))


def _leaderboard(exchange: Exchange, request: Request) -> Answer:
    if request.one("user"):
        return _standing(exchange, request)
    rows = _ranked(exchange, request, request.one("sort_by", "PNL").upper())
    ranked = list(enumerate(rows, start=1))
    return data_page(request, ranked, lambda row: {"rank": row[0], **_trader(row[1])})


def _standing(exchange: Exchange, request: Request) -> Answer:
    wallet = wallet_of(request)
    ranks: dict[str, int] = {}
    found: tuple[str, int, int] | None = None
    for by in ("PNL", "VOLUME"):
        for rank, row in enumerate(_ranked(exchange, request, by), start=1):
            if row[0] == wallet:
                ranks[by], found = rank, row
    if found is None:
        return answered({"data": None})
    standing = {**_trader(found), "rank_pnl": ranks["PNL"], "rank_volume": ranks["VOLUME"]}
    return answered({"data": standing})


def _trader(row: tuple[str, int, int]) -> Json:
    wallet, gain, size = row
    return {
        "user_id": wallet,
        "pnl": text(gain),
        "volume": text(size),
        "user_name": "",
        "profile_image": "",
        "x_username": "",
        "verified": False,
    }


def _winners(exchange: Exchange, request: Request) -> Answer:
    found = [
        held
        for wallet in wallets(exchange)
        for held in holdings(exchange, wallet)
        if held.market.payouts is not None and held.last_at and held.realized + held.gain > 0
    ]
    ranked = sorted(found, key=lambda held: -(held.realized + held.gain))
    return data_page(request, list(enumerate(ranked, start=1)), _winner)


def _winner(row: tuple[int, Holding]) -> Json:
    rank, held = row
    return {
        "kind": "market",
        "win_rank": rank,
        "user_id": held.wallet,
        "pnl": text(held.realized + held.gain),
        "initial_value": text(held.paid),
        "final_value": text(held.paid + held.realized + held.gain),
        "resolved_at": held.market.closed_time.replace("+00", "+00:00"),
        "user_name": "",
        "profile_image": "",
        "event_title": held.market.event_title,
        "condition_id": held.market.condition_id,
        "position_id": held.token_id,
        "event_id": held.market.event_id,
        "event_slug": held.market.event_slug,
    }


def _old_traded(exchange: Exchange, request: Request) -> Answer:
    wallet = wallet_of(request)
    mine = _traded(holdings(exchange, wallet))
    return answered({"user": wallet, "traded": len({row.market.condition_id for row in mine})})


def _none_of(*, is_page: bool, needs_user: bool = False) -> Callable[[Exchange, Request], Answer]:
    """Return the responder of lists that are always empty here: combos, and builders' volumes."""

    def respond(_: Exchange, request: Request) -> Answer:
        wallet_of(request, is_needed=needs_user)
        if not is_page:
            return answered({"data": []})
        empty: list[Json] = []
        return data_page(request, empty, lambda row: row)

    return respond


PATHS: Final[Paths] = {
    ("GET", "/v2/user-volume"): _user_volume,
    ("GET", "/v2/user-stats"): _user_stats,
    ("GET", "/v2/user-pnl"): _user_pnl,
    ("GET", "/v2/leaderboard"): _leaderboard,
    ("GET", "/v2/biggest-winners"): _winners,
    ("GET", "/v2/activity/combos"): _none_of(is_page=True, needs_user=True),
    ("GET", "/v2/positions/combos"): _none_of(is_page=True, needs_user=True),
    ("GET", "/v2/builders/leaderboard"): _none_of(is_page=True),
    ("GET", "/v2/builders/volume"): _none_of(is_page=False),
    ("GET", "/traded"): _old_traded,
}
