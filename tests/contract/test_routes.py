"""No route of either client is left out: each is served and was asked for, or is refused."""

from typing import Final, get_args

import httpx
import pytest
from polymarket._internal.request import Method

from infra.paper.routes import FREE, Served
from infra.paper.services import TABLES
from tests.contract.literals import Route, routes_of
from tests.contract.talk import Walk
from tests.contract.test_unserved import REFUSALS
from tests.paper.conftest import Server
from tests.paper.test_other_clients import ASKED_BY_OTHERS

pytestmark = pytest.mark.services

OFFICIAL, OLDER, PERPETUALS = "polymarket", "py_clob_client_v2", "perps"
SERVICES: Final = {OFFICIAL: list(TABLES), OLDER: ["clob"]}  # the older client has one address
# Paths that the official client puts together, as its source shows them, and what they become.
PUT_TOGETHER: Final = {
    "/{}s/{}": ("/markets/{}", "/events/{}"),
    "/{}s/slug/{}": ("/markets/slug/{}", "/events/slug/{}"),
    "{}/related-tags": ("/tags/{}/related-tags", "/tags/slug/{}/related-tags"),
    "{}/related-tags/tags": ("/tags/{}/related-tags/tags", "/tags/slug/{}/related-tags/tags"),
}
Place = tuple[str, str, str]


def table() -> dict[Place, Served]:
    """Return what answers each (service, method, path)."""
    return {
        (service, method, path + FREE if path.endswith("/") and path != "/" else path): served
        for service, tables in TABLES.items()
        for paths in tables
        for (method, path), served in paths.items()
    }


SERVED: Final = table()
REFUSED: Final = {
    (service, method, path) for service, paths in REFUSALS.items() for method, path in paths
}


def routes(package: str) -> set[Route]:
    """Return the routes of a client, those of perpetuals apart."""
    return {
        (method, whole)
        for method, path in routes_of(package, without=PERPETUALS)
        for whole in PUT_TOGETHER.get(path, (path,))
    }


def place_of(method: str, target: str) -> Place | None:
    """Return which entry of the tables answers a request, None if none does."""
    _, service, *parts = target.rstrip("/").split("/")
    found = [
        (service, method, "/" + "/".join(tried))
        for tried in (
            parts,
            *([*parts[:n], FREE, *parts[n + 1 :]] for n in range(len(parts))[::-1]),
        )
    ]
    return next((place for place in found if place in SERVED), None)


@pytest.fixture(scope="module")
def asked(walks: dict[str, Walk], older_walk: Walk) -> set[Place]:
    """Every entry of the tables that a client of the suite asked for."""
    every = set[Route]().union(older_walk.asked, *(walk.asked for walk in walks.values()))
    return {place for place in (place_of(*one) for one in every) if place is not None}


@pytest.mark.parametrize("package", SERVICES)
def test_every_route_in_a_clients_source_is_served_or_refused(package: str) -> None:
    known = {(m, path) for service, m, path in SERVED if service in SERVICES[package]}
    assert len(routes(package)) > 70
    assert routes(package) - known == set()


@pytest.mark.parametrize("package", SERVICES)
def test_every_route_that_is_served_was_asked_for_by_a_client(
    package: str, asked: set[Place]
) -> None:
    seen = {(m, path) for service, m, path in asked if service in SERVICES[package]}
    refused = {(m, path) for service, m, path in REFUSED if service in SERVICES[package]}
    assert routes(package) - refused - seen == set()


def test_every_entry_of_the_tables_is_asked_for_by_some_client(asked: set[Place]) -> None:
    assert set(SERVED) - REFUSED - asked == set(ASKED_BY_OTHERS)


def test_the_perpetuals_routes_are_all_refused(server: Server) -> None:
    every = routes_of(OFFICIAL) - routes_of(OFFICIAL, without=PERPETUALS)
    assert len(every) > 30
    for method, path in sorted(every):
        url = f"{server.url}/perps{path.replace(FREE, 'x')}"
        assert httpx.request(method, url, trust_env=False).status_code == 501, (method, path)


def test_the_reader_of_the_source_knows_how_the_client_asks() -> None:
    assert get_args(Method) == ("GET",)
    assert set(PUT_TOGETHER) <= {path for _, path in routes_of(OFFICIAL)}
