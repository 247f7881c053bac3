"""What an account has at stake, read in one statement so that no fill falls between two reads."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.rows import read
from infra.store.tables import AT_STAKE, OPEN_STATES

# What an order may still take: all that is unfilled while it may match, and once it is over the
# shares matched whose fills are on their way.
_OPEN: Final = ", ".join(f"'{state}'" for state in OPEN_STATES)
_STATEMENT: Final = text(
    f"""
    WITH promises AS (
        SELECT side, condition_id, token_id, price, state IN ({_OPEN}) AS is_open,
            greatest(
                CASE WHEN state IN ({_OPEN}) THEN size ELSE matched_size END - filled_size, 0
            ) AS promised
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
    SELECT
        (SELECT count(*) FROM promises WHERE is_open) AS open_orders,
        (SELECT coalesce(sum(price * promised), 0) FROM promises WHERE side = 'BUY')
            + (SELECT coalesce(sum(usd), 0) FROM unsettled) AS promised_usd,
        (SELECT coalesce(sum(price * promised), 0) FROM promises
            WHERE side = 'BUY' AND condition_id = :condition)
            + (SELECT coalesce(sum(greatest(cost_usd, 0)), 0) FROM holdfast.positions
                WHERE account_id = :account AND condition_id = :condition) AS market_usd,
        (SELECT coalesce(sum(size), 0) FROM holdfast.positions
            WHERE account_id = :account AND token_id = :token) AS held_shares,
        (SELECT coalesce(sum(shares), 0) FROM unsettled WHERE token_id = :token)
            + (SELECT coalesce(shares, 0) FROM doubtful) AS unsettled_shares,
        (SELECT coalesce(sum(promised), 0) FROM promises
            WHERE side = 'SELL' AND token_id = :token) AS promised_shares
    """  # noqa: S608  # only our own constants are put in
)


@dataclass(frozen=True, kw_only=True)
class Stakes:
    """Sums over an account's orders, fills and positions.

    Attributes:
        open_orders: orders that may still match.
        promised_usd: open buys at their limits, and buys matched whose collateral has not left.
        market_usd: cost of what is held in the market, and its open buys at their limits.
        held_shares: the token's position.
        unsettled_shares: those of them that cannot be sold yet: their trade is not mined, or they
            may have gone off as a fee.
        promised_shares: shares of the token on sale.
    """

    open_orders: int
    promised_usd: Decimal
    market_usd: Decimal
    held_shares: Decimal
    unsettled_shares: Decimal
    promised_shares: Decimal

    @property
    def free_shares(self) -> Decimal:
        """Shares held, settled, and not yet on sale."""
        free = self.held_shares - self.unsettled_shares - self.promised_shares
        return max(free, Decimal(0))


async def stakes(
    connection: AsyncConnection, account_id: str, condition_id: str, token_id: str
) -> Stakes:
    """Return what `account_id` has at stake, seen from one market and one of its tokens."""
    about = {"account": account_id, "condition": condition_id, "token": token_id}
    rows = await connection.execute(_STATEMENT, about)
    return read(Stakes, rows.mappings().one())
