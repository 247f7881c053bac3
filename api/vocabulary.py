"""The words that senders use, and what each of them means here."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from domain.signal import Action, SizeKind

SEPARATORS: Final = re.compile(r"[\s_\-.]+")


class Name(StrEnum):
    """What a field of a signal means; the value is the name that answers use."""

    ACTION = "action"
    MARKET = "market"
    OUTCOME = "outcome"
    PERCENT = "percent"
    NOTIONAL = "notional"
    SIZE = "size"
    PRICE = "price"
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    ORDER_HASH = "order_hash"
    RESTS_SECONDS = "rests_seconds"
    SHORT = "short"
    EXTERNAL_ID = "id"
    SENT_AT = "sent_at"
    SECRET = "secret"  # noqa: S105  # the name of a field, not a secret


ACTIONS: Final[Mapping[str, Action]] = {
    "buymarket": Action.BUY_MARKET,
    "buy": Action.BUY_MARKET,
    "sellmarket": Action.SELL_MARKET,
    "sell": Action.SELL_MARKET,
    "buylimit": Action.BUY_LIMIT,
    "selllimit": Action.SELL_LIMIT,
    "maj": Action.MAJ,
    "update": Action.MAJ,
    "close": Action.CLOSE,
    "closeall": Action.CLOSEALL,
    "cancel": Action.CANCEL,
    "ping": Action.PING,
}

FIELDS: Final[Mapping[str, Name]] = {
    "action": Name.ACTION,
    "side": Name.ACTION,
    "order": Name.ACTION,
    "market": Name.MARKET,
    "slug": Name.MARKET,
    "symbol": Name.MARKET,
    "ticker": Name.MARKET,
    "outcome": Name.OUTCOME,
    "percent": Name.PERCENT,
    "pourcent": Name.PERCENT,
    "notional": Name.NOTIONAL,
    "usd": Name.NOTIONAL,
    "size": Name.SIZE,
    "quantity": Name.SIZE,
    "contracts": Name.SIZE,
    "shares": Name.SIZE,
    "price": Name.PRICE,
    "limitprice": Name.PRICE,
    "prix": Name.PRICE,
    "stoploss": Name.STOP_LOSS,
    "sl": Name.STOP_LOSS,
    "prixsl": Name.STOP_LOSS,
    "takeprofit": Name.TAKE_PROFIT,
    "tp": Name.TAKE_PROFIT,
    "prixtp": Name.TAKE_PROFIT,
    "orderhash": Name.ORDER_HASH,
    "restsseconds": Name.RESTS_SECONDS,
    "expiresin": Name.RESTS_SECONDS,
    "short": Name.SHORT,
    "id": Name.EXTERNAL_ID,
    "signalid": Name.EXTERNAL_ID,
    "alertid": Name.EXTERNAL_ID,
    "externalid": Name.EXTERNAL_ID,
    "sentat": Name.SENT_AT,
    "timestamp": Name.SENT_AT,
    "timenow": Name.SENT_AT,
    "time": Name.SENT_AT,
    "secret": Name.SECRET,
    "token": Name.SECRET,
    "passphrase": Name.SECRET,
    "key": Name.SECRET,
}

# Chart values that alert templates carry along: these count only where no better name is given.
YIELDING: Final = frozenset({"symbol", "ticker", "time"})

# What an alert may say beside its order, from any source.
REMARKS: Final = frozenset(
    {"close", "open", "high", "low", "volume", "interval", "exchange", "comment", "strategy"}
)

SIZES: Final[Mapping[Name, SizeKind]] = {
    Name.PERCENT: SizeKind.PERCENT,
    Name.NOTIONAL: SizeKind.NOTIONAL,
    Name.SIZE: SizeKind.SIZE,
}


def plain(word: str) -> str:
    """Return `word` without its case and separators: "Buy_Market" and "buymarket" are one."""
    return SEPARATORS.sub("", word).casefold()
