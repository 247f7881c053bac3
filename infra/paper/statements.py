"""The Data API's view of a wallet's approvals, and its statement as an archive of tables."""

import csv
import io
import zipfile
from datetime import UTC, datetime
from typing import Final

from infra.paper.accounts import COLLATERAL
from infra.paper.exchange import Exchange
from infra.paper.holdings import holdings, wallet_of
from infra.paper.routes import Paths
from infra.paper.signatures import CHAIN_ID, EXCHANGE, NEG_RISK_EXCHANGE
from infra.paper.wire import MICRO, Answer, Json, Request, answered, text_of

_PUSD: Final = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
_CONDITIONAL_TOKENS: Final = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
_POSITION_MANAGER: Final = "0x006F54F7f9A22e0000CC2AB60031000000ae9fEF"
_ADAPTERS: Final = (
    "0xAdA100Db00Ca00073811820692005400218FcE1f",
    "0xadA2005600Dec949baf300f4C6120000bDB6eAab",
)
_ROUTER: Final = "0x12121212006e4CD160D18e3f00711DA5c3372600"
_EXCHANGE_V3: Final = "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"
_PERPS: Final = "0xDCa4af75705dbB50f62437045afF9921947917d2"
_REDEEMER: Final = "0xa1200000d0002264C9a1698e001292D00E1b00af"
_MODULES: Final = (
    "0x1000008dD9001B968442c1000017eaE6E0dA00Ba",
    "0x200000900045e3B6259600682756002200028933",
)
_PAIRS: Final = (
    (
        _PUSD,
        "ERC20",
        (EXCHANGE, NEG_RISK_EXCHANGE, *_ADAPTERS, _ROUTER, _EXCHANGE_V3, _PERPS),
    ),
    (
        _CONDITIONAL_TOKENS,
        "ERC1155",
        (EXCHANGE, NEG_RISK_EXCHANGE, *_ADAPTERS, _REDEEMER, *_MODULES),
    ),
    (_POSITION_MANAGER, "ERC1155", (_ROUTER, _EXCHANGE_V3, _REDEEMER)),
)


def _approvals(exchange: Exchange, request: Request) -> Answer:
    """Answer that a wallet approved all contracts, or none: there is one switch per account."""
    wallet = wallet_of(request)
    account = exchange.engine.accounts.account(wallet)
    approved = account is not None and account.allowance != "0"
    rows: list[Json] = []
    for token, standard, spenders in _PAIRS:
        for spender in spenders:
            row: Json = {"token": token, "spender": spender, "standard": standard}
            amount: Json = {"amount": "max" if approved else "0"} if standard == "ERC20" else {}
            rows.append({**row, "approved": approved, **amount})
    return answered({"data": {"address": wallet, "chain_id": CHAIN_ID, "contracts": rows}})


def _table(rows: list[list[str]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


def _snapshot(exchange: Exchange, request: Request) -> Answer:
    wallet = wallet_of(request)
    moment = datetime.fromtimestamp(exchange.now() // MICRO, tz=UTC).isoformat()
    held = [row for row in holdings(exchange, wallet) if row.size]
    cash, value = exchange.engine.accounts.balance(wallet, COLLATERAL), sum(h.value for h in held)
    positions = [["conditionId", "asset", "size", "curPrice", "valuationTime"]]
    positions += [
        [row.market.condition_id, row.token_id, text_of(row.size), text_of(row.price), moment]
        for row in held
    ]
    equity = [["cashBalance", "positionsValue", "equity", "valuationTime"]]
    equity += [[text_of(cash), text_of(value), text_of(cash + value), moment]]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as folder:
        folder.writestr("positions.csv", _table(positions))
        folder.writestr("equity.csv", _table(equity))
    return Answer(200, archive.getvalue(), {"content-type": "application/zip"})


PATHS: Final[Paths] = {
    ("GET", "/v2/approvals"): _approvals,
    ("GET", "/v1/accounting/snapshot"): _snapshot,
}
