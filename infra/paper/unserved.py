"""What clients can call and this exchange does not do: a refusal that says so, never a success."""

from typing import Final

from infra.paper.exchange import Exchange
from infra.paper.routes import Paths, Served
from infra.paper.wire import Answer, RefusedError, Request


def not_served(what: str) -> Served:
    """Return the responder that refuses, naming what is not done here."""

    def refuse(_: Exchange, __: Request) -> Answer:
        raise RefusedError(501, f"the paper exchange does not serve {what}")

    return refuse


_QUOTES: Final = not_served("requests for quote")
_COMBOS: Final = not_served("combos")
_CHAIN: Final = not_served("transactions on the chain")
_SESSIONS: Final = not_served("session keys")

PERPETUALS: Final = not_served("perpetuals")  # of a whole service, whatever the path
CLOB: Final[Paths] = {
    ("POST", "/rfq/request"): _QUOTES,
    ("DELETE", "/rfq/request"): _QUOTES,
    ("GET", "/rfq/data/requests"): _QUOTES,
    ("POST", "/rfq/quote"): _QUOTES,
    ("DELETE", "/rfq/quote"): _QUOTES,
    ("GET", "/rfq/data/requester/quotes"): _QUOTES,
    ("GET", "/rfq/data/quoter/quotes"): _QUOTES,
    ("GET", "/rfq/data/best-quote"): _QUOTES,
    ("POST", "/rfq/request/accept"): _QUOTES,
    ("POST", "/rfq/quote/approve"): _QUOTES,
    ("GET", "/rfq/config"): _QUOTES,
    ("GET", "/v1/user/session-signers"): _SESSIONS,
}
RELAYER: Final[Paths] = {
    ("POST", "/submit"): _CHAIN,
    ("GET", "/relay-payload"): _CHAIN,
    ("GET", "/v1/account/transactions/params"): _CHAIN,
    ("GET", "/v1/account/transactions/{}"): _CHAIN,
    ("POST", "/v1/session-signers/authorizations"): _SESSIONS,
    ("POST", "/v1/session-signers/revocations"): _SESSIONS,
}
BUILDER_GATEWAY: Final[Paths] = {
    ("POST", "/v1/builder/rfq/requests"): _COMBOS,
    ("GET", "/v1/builder/rfq/requests/{}"): _COMBOS,
    ("POST", "/v1/builder/rfq/requests/{}/accept"): _COMBOS,
}
COLLATERAL_RETURN: Final[Paths] = {
    ("POST", "/v1/collateral-return/plan"): _COMBOS,
    ("POST", "/v1/collateral-return/submit"): _COMBOS,
}
