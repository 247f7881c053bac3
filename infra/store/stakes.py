"""What an account has at stake, read in one statement so that no fill falls between two reads."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.order import Order
from domain.risk import AccountState, Exposure, Limits, Today, day_of
from infra.store.rows import read
from infra.store.tables import AT_STAKE, OPEN_STATES

# What an order may still take: all that is unfilled while it may match, and once it is over the
# shares matched whose fills are on their way.
OPEN: Final = ", ".join(f"'{state}'" for state in OPEN_STATES)
PROMISED: Final = f"""
    greatest(CASE WHEN state IN ({OPEN}) THEN size ELSE matched_size END - filled_size, 0)
"""
# What an account earned in all its time, fees off: what came in and went out, and what is held at
# its last known price. What nobody has priced yet is worth what it cost.
EARNED: Final = """
    (SELECT coalesce(sum(cash_usd), 0) FROM holdfast.positions
        WHERE account_id = {account} AND size = 0)
    + (SELECT coalesce(sum(cash_usd + coalesce(size * current_price, cost_usd)), 0)
        FROM holdfast.positions WHERE account_id = {account} AND size <> 0)
"""
# Orders that failed since the last one that did not, as they were made, since the account began to
# run: those before its last halt have had their say.
FAILED_IN_ROW: Final = """
    (SELECT coalesce(min(place) FILTER (WHERE NOT has_failed) - 1, count(*)) FROM (
        SELECT state IN ('REJECTED', 'ABANDONED') AS has_failed,
            row_number() OVER (ORDER BY created_at DESC, order_hash) AS place
        FROM holdfast.orders
        WHERE account_id = {account} AND state NOT IN ('NEW', 'SENT', 'UNKNOWN', 'DELAYED')
            AND created_at > {since}
        ORDER BY created_at DESC, order_hash LIMIT {most}
    ) AS latest)
"""
_SUMS: Final = f"""
    WITH promises AS (
        SELECT side, condition_id, token_id, price, state IN ({OPEN}) AS is_open,
            {PROMISED} AS promised
        FROM holdfast.orders WHERE account_id = :account AND ({AT_STAKE})
    ), unsettled AS (
        SELECT token_id,
            size - CASE WHEN fee_asset = 'shares' THEN fee ELSE 0 END AS shares,
            size * price + CASE WHEN fee_asset = 'collateral' THEN fee ELSE 0 END AS usd
        FROM holdfast.fills
        WHERE account_id = :account AND side = 'BUY' AND status IN ('MATCHED', 'RETRYING')
    ), doubtful AS (
        SELECT sum(share_fee) AS shares FROM holdfast.fills
        WHERE account_id = :account AND token_id = :token AND side = 'BUY'
            AND status IN ('MINED', 'CONFIRMED') AND NOT EXISTS (
                SELECT 1 FROM holdfast.charges
                WHERE charges.condition_id = fills.condition_id
            )
    )
"""  # noqa: S608  # only our own constants are put in
_FUNDS: Final = """
    SELECT
        (SELECT coalesce(sum(price * promised), 0) FROM promises WHERE side = 'BUY')
            + (SELECT coalesce(sum(usd), 0) FROM unsettled) AS promised_usd,
        (SELECT coalesce(sum(size), 0) FROM holdfast.positions
            WHERE account_id = :account AND token_id = :token) AS held_shares,
        (SELECT coalesce(sum(shares), 0) FROM unsettled WHERE token_id = :token)
            + (SELECT coalesce(shares, 0) FROM doubtful) AS unsettled_shares,
        (SELECT coalesce(sum(promised), 0) FROM promises
            WHERE side = 'SELL' AND token_id = :token) AS promised_shares
"""
# A market whose event is not known is a group of its own.
_LIMITED: Final = f"""
    , spent AS (
        SELECT condition_id, price * promised AS usd FROM promises WHERE side = 'BUY'
        UNION ALL
        SELECT condition_id, greatest(cost_usd, 0) FROM holdfast.positions
        WHERE account_id = :account AND size <> 0
    ), alike AS (
        SELECT condition_id FROM holdfast.markets WHERE event_id = (
            SELECT event_id FROM holdfast.markets WHERE condition_id = :condition
        )
        UNION
        SELECT CAST(:condition AS text)
    ), exposed AS (
        SELECT coalesce(sum(usd), 0) AS account_usd,
            coalesce(sum(usd) FILTER (WHERE alike.condition_id IS NOT NULL), 0) AS event_usd,
            coalesce(sum(usd) FILTER (WHERE spent.condition_id = :condition), 0) AS market_usd
        FROM spent LEFT JOIN alike ON alike.condition_id = spent.condition_id
    )
    {_FUNDS},
        (SELECT count(*) FROM promises WHERE is_open) AS open_orders,
        exposed.market_usd, exposed.event_usd, exposed.account_usd,
        today.starting_equity_usd, today.pnl_usd AS starting_pnl_usd, today.forgiven_usd,
        {EARNED.format(account=":account")} AS pnl_usd,
        {FAILED_IN_ROW.format(account=":account", since="account.state_changed_at", most=":most")}
            AS failures_in_row
    FROM holdfast.accounts AS account
    CROSS JOIN exposed
    LEFT JOIN holdfast.days AS today ON today.account_id = account.id AND today.day = :day
    WHERE account.id = :account
"""  # noqa: S608
_STAKES: Final = text(_SUMS + _FUNDS)
_EXPOSURE: Final = text(_SUMS + _LIMITED)


@dataclass(frozen=True, kw_only=True)
class Stakes:
    """Sums over an account's orders, fills and positions.

    Attributes:
        promised_usd: open buys at their limits, and buys matched whose collateral has not left.
        held_shares: the token's position.
        unsettled_shares: those of them that cannot be sold yet: their trade is not mined, or they
            may have gone off as a fee.
        promised_shares: shares of the token on sale.
    """

    promised_usd: Decimal
    held_shares: Decimal
    unsettled_shares: Decimal
    promised_shares: Decimal

    @property
    def free_shares(self) -> Decimal:
        """Shares held, settled, and not yet on sale."""
        free = self.held_shares - self.unsettled_shares - self.promised_shares
        return max(free, Decimal(0))


@dataclass(frozen=True, kw_only=True)
class _Limited:
    """What limits are judged by; the first two of the day are None where it was not begun."""

    open_orders: int
    market_usd: Decimal
    event_usd: Decimal
    account_usd: Decimal
    starting_equity_usd: Decimal | None
    starting_pnl_usd: Decimal | None
    forgiven_usd: Decimal | None
    pnl_usd: Decimal
    failures_in_row: int


async def stakes(connection: AsyncConnection, account_id: str, token_id: str) -> Stakes:
    """Return what `account_id` has promised, seen from one token."""
    rows = await connection.execute(_STAKES, {"account": account_id, "token": token_id})
    return read(Stakes, rows.mappings().one())


async def exposure(
    connection: AsyncConnection, draft: Order, state: AccountState, limits: Limits
) -> Exposure:
    """Return what the account of `draft` has at stake, seen from its market and its token.

    The day is that of the draft: whoever makes one near midnight is judged by his own clock.
    """
    about = {
        "account": draft.account_id,
        "condition": draft.condition_id,
        "token": draft.token_id,
        "day": day_of(draft.created_at),
        "most": limits.max_consecutive_failures or 0,
    }
    row = (await connection.execute(_EXPOSURE, about)).mappings().one()
    found = read(_Limited, row)
    return Exposure(
        state=state,
        open_orders=found.open_orders,
        market_usd=found.market_usd,
        event_usd=found.event_usd,
        account_usd=found.account_usd,
        free_shares=read(Stakes, row).free_shares,
        today=today(
            found.starting_equity_usd, found.starting_pnl_usd, found.forgiven_usd, found.pnl_usd
        ),
        failures_in_row=found.failures_in_row,
    )


def today(
    starting_equity_usd: Decimal | None,
    starting_pnl_usd: Decimal | None,
    forgiven_usd: Decimal | None,
    pnl_usd: Decimal,
) -> Today | None:
    """Return how the day goes; None where nobody has taken what it began with."""
    if starting_equity_usd is None or starting_pnl_usd is None or forgiven_usd is None:
        return None
    return Today(
        starting_equity_usd=starting_equity_usd,
        pnl_usd=pnl_usd - starting_pnl_usd,
        forgiven_usd=forgiven_usd,
    )
