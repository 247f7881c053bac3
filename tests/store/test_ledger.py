"""Whatever happens to fills, the tables hold exactly what the rules of the domain say."""

from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.fill import FeeAsset, Fill, FillStatus, SeenBy, is_news
from domain.order import Side
from domain.position import Holding, Lot, Position, empty, rebuilt
from infra.store.fills import Fills
from infra.store.rows import read
from tests.store.making import CONDITION, NOW, a_fill, an_order, rows

pytestmark = pytest.mark.services

F = FillStatus
MICRO = Decimal(1).scaleb(-6)
sizes = st.integers(1, 3_000_000_000).map(lambda n: n * MICRO)
prices = st.integers(1, 9_999).map(lambda n: Decimal(n).scaleb(-4))
fees = st.sampled_from([Decimal(0), Decimal("0.00001"), Decimal("1.23457")])


@dataclass(frozen=True)
class News:
    """The n-th trade, at a status."""

    trade: int
    status: FillStatus


legs = st.tuples(st.sampled_from(list(Side)), sizes, prices, fees)
told = st.builds(News, st.integers(0, 5), st.sampled_from(list(F)))


def _fill(account: str, trade: int, leg: tuple[Side, Decimal, Decimal, Decimal]) -> Fill:
    side, size, price, fee = leg
    order = an_order(f"{account}-{trade}", side=side)
    fill = a_fill(f"{account}-{trade}", order, account_id=account, size=size, price=price)
    in_shares = side is Side.BUY and fee < size and trade % 2 == 1
    asset = FeeAsset.SHARES if in_shares else FeeAsset.COLLATERAL
    return replace(fill, fee=fee, fee_asset=asset)


@dataclass
class Model:
    """What ought to be in the tables: the domain's own fold, fill by fill."""

    holding: Holding
    ledger: dict[str, Fill]

    def hear(self, fill: Fill) -> bool:
        known = self.ledger.get(fill.trade_id)
        if known is not None and not is_news(known.status, fill.status):
            return False
        self.ledger[fill.trade_id] = fill
        if fill.status is F.FAILED and known is not None:
            self.holding = rebuilt(self.holding, self.ledger.values())
        elif known is None and fill.status is not F.FAILED:
            self.holding = self.holding.after(fill)
        return True


async def _stored(fills: Fills, account: str) -> Holding:
    mine = f"WHERE account_id = '{account}'"
    (row,) = await rows(fills.engine, f"SELECT * FROM positions {mine}")  # noqa: S608
    position = read(Position, row)
    query = f"SELECT * FROM lots WHERE position_id = '{position.id}' ORDER BY number"  # noqa: S608
    lots = tuple(read(Lot, lot) for lot in await rows(fills.engine, query))
    return Holding(position=position, lots=lots)


runs = iter(range(1_000_000))


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
@given(trades=st.lists(legs, min_size=6, max_size=6), news=st.lists(told, max_size=14))
async def test_tables_and_domain_agree_after_any_news(
    fills: Fills, trades: list[tuple[Side, Decimal, Decimal, Decimal]], news: list[News]
) -> None:
    account = f"run-{next(runs)}"  # each example in a position of its own
    token = an_order().token_id
    model = Model(empty(account, token, CONDITION), {})
    for each in news:
        fill = replace(_fill(account, each.trade, trades[each.trade]), status=each.status)
        recorded = await fills.record(fill, SeenBy.STREAM, NOW)
        assert recorded.is_new == model.hear(fill)
    if not news:
        return
    stored = await _stored(fills, account)
    assert stored == model.holding
    held = stored.position
    assert held.cash_usd + held.cost_usd + held.fees_usd - held.realised_pnl_average == 0
    alive = [fill for fill in model.ledger.values() if fill.status is not F.FAILED]
    assert held.size == sum((fill.shares for fill in alive), Decimal(0))
    assert held.size == sum((lot.size for lot in stored.lots), Decimal(0))
