"""Which tables of paths make up each base path of the exchange."""

from functools import partial
from typing import Final

from infra.paper import (
    clob_account,
    clob_books,
    clob_keys,
    clob_markets,
    clob_orders,
    clob_rewards,
    combos,
    gamma,
    gamma_topics,
    market_figures,
    rankings,
    relayer,
    statements,
    unserved,
    wallet_deeds,
    wallet_positions,
)
from infra.paper.exchange import Exchange
from infra.paper.routes import Paths, Routes

CLOB: Final = "clob"
TABLES: Final[dict[str, tuple[Paths, ...]]] = {
    CLOB: (
        clob_keys.PATHS,
        clob_orders.PATHS,
        clob_account.PATHS,
        clob_rewards.PATHS,
        clob_books.PATHS,
        clob_markets.PATHS,
        unserved.CLOB,
    ),
    "gamma": (gamma.PATHS, gamma_topics.PATHS),
    "data-api": (
        wallet_positions.PATHS,
        wallet_deeds.PATHS,
        market_figures.PATHS,
        rankings.PATHS,
        statements.PATHS,
    ),
    "relayer": (relayer.RELAYER, unserved.RELAYER),
    "rpc": (relayer.NODE,),
    "rfq": (combos.PATHS,),
    "builder-gateway": (unserved.BUILDER_GATEWAY,),
    "collateral-return": (unserved.COLLATERAL_RETURN,),
}


def services(exchange: Exchange) -> dict[str, Routes]:
    """Return the routes of every base path, without the admin's."""
    found = {name: Routes().serve(exchange, *tables) for name, tables in TABLES.items()}
    return {**found, "perps": Routes(otherwise=partial(unserved.PERPETUALS, exchange))}
