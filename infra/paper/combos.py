"""The service of combo markets: there are none here, and a list says so."""

from typing import Final

from infra.paper.routes import Paths
from infra.paper.wire import answered

PATHS: Final[Paths] = {
    ("GET", "/v1/rfq/combo-markets"): lambda _exchange, _request: answered(
        {"markets": [], "next_cursor": None}
    ),
}
