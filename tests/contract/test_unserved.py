"""What the paper exchange cannot do it refuses, and its document says so."""

from pathlib import Path

import httpx
import pytest

from infra.paper import unserved
from infra.paper.services import TABLES
from tests.paper.conftest import Server

pytestmark = pytest.mark.services

DOCUMENT = Path(__file__).parents[2] / "docs/paper-exchange.md"
REFUSALS = {
    "clob": unserved.CLOB,
    "relayer": unserved.RELAYER,
    "builder-gateway": unserved.BUILDER_GATEWAY,
    "collateral-return": unserved.COLLATERAL_RETURN,
}


@pytest.mark.parametrize(
    ("service", "method", "path"),
    [(service, *route) for service, table in REFUSALS.items() for route in table],
)
def test_what_is_not_served_is_refused_and_never_done(
    server: Server, service: str, method: str, path: str
) -> None:
    url = f"{server.url}/{service}{path.replace('{}', 'x')}"
    reply = httpx.request(method, url, trust_env=False)
    assert reply.status_code == 501
    assert "does not serve" in reply.json()["error"]


def test_an_unknown_path_is_not_found(server: Server) -> None:
    reply = httpx.get(server.url + "/clob/no-such-thing", trust_env=False)
    assert (reply.status_code, reply.json()) == (404, {"error": "not found"})


def test_the_document_lists_every_route() -> None:
    written = DOCUMENT.read_text()
    routes = {path for tables in TABLES.values() for table in tables for _, path in table}
    assert {path for path in routes if f"`{path}`" not in written} == set()
