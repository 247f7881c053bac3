"""The Gamma API beside markets: tags, series, sports, teams, comments and profiles."""

from collections.abc import Callable
from typing import Final

from infra.paper.exchange import Exchange
from infra.paper.gamma_views import tags_of
from infra.paper.holdings import wallets
from infra.paper.pages import offset_page
from infra.paper.routes import Paths
from infra.paper.signatures import checksum
from infra.paper.wire import Answer, Json, RefusedError, Request, answered

_MOST_TAGS: Final = 100


def _all_tags(exchange: Exchange) -> list[Json]:
    return tags_of(exchange.engine.markets.values())


def _tags(exchange: Exchange, request: Request) -> Answer:
    return answered(offset_page(request, _all_tags(exchange), _MOST_TAGS))


def _named(exchange: Exchange, request: Request, key: str) -> Json:
    for tag in _all_tags(exchange):
        if tag[key] == request.tail:
            return tag
    raise RefusedError(404, f"{key} not found")


def _tag(key: str) -> Callable[[Exchange, Request], Answer]:
    return lambda exchange, request: answered(_named(exchange, request, key))


def _related(key: str) -> Callable[[Exchange, Request], Answer]:
    """Return the responder of tags related to one: here no tag is related to another."""

    def respond(exchange: Exchange, request: Request) -> Answer:
        _named(exchange, request, key)
        return answered([])

    return respond


def _missing(_: Exchange, request: Request) -> Answer:
    raise RefusedError(404, f"not found: {request.tail}")


def _none(_: Exchange, request: Request) -> Answer:
    empty: list[Json] = []
    return answered(offset_page(request, empty))


def _market_types(_: Exchange, __: Request) -> Answer:
    return answered({"marketTypes": ["moneyline"]})


def _comments_keyset(_: Exchange, __: Request) -> Answer:
    return answered({"comments": [], "next_cursor": None})


def _profile(exchange: Exchange, request: Request) -> Answer:
    """Answer with the bare profile of a wallet that traded or was funded here."""
    try:
        wallet = checksum(request.one("address"))
    except ValueError as error:
        raise RefusedError(400, "invalid address") from error
    if wallet not in wallets(exchange):
        raise RefusedError(404, "profile not found")
    return answered(
        {
            "createdAt": None,
            "proxyWallet": wallet,
            "profileImage": "",
            "displayUsernamePublic": False,
            "bio": "",
            "pseudonym": "",
            "name": "",
            "users": [],
            "xUsername": "",
            "verifiedBadge": False,
        }
    )


PATHS: Final[Paths] = {
    ("GET", "/tags"): _tags,
    ("GET", "/tags/{}"): _tag("id"),
    ("GET", "/tags/slug/{}"): _tag("slug"),
    ("GET", "/tags/{}/related-tags"): _related("id"),
    ("GET", "/tags/{}/related-tags/tags"): _related("id"),
    ("GET", "/tags/slug/{}/related-tags"): _related("slug"),
    ("GET", "/tags/slug/{}/related-tags/tags"): _related("slug"),
    ("GET", "/series"): _none,
    ("GET", "/series/{}"): _missing,
    ("GET", "/sports"): _none,
    ("GET", "/sports/market-types"): _market_types,
    ("GET", "/teams"): _none,
    ("GET", "/comments"): _none,
    ("GET", "/comments/keyset"): _comments_keyset,
    ("GET", "/comments/{}"): _none,
    ("GET", "/comments/user_address/{}"): _none,
    ("GET", "/public-profile"): _profile,
}
