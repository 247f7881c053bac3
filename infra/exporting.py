"""Whether and where spans are sent: by OpenTelemetry's standard variables."""

import logging
from collections.abc import Mapping
from typing import Final

from infra.tracing import make_spans_by

log = logging.getLogger(__name__)

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
TRACES_PATH: Final = "/v1/traces"


def configure_tracing(environ: Mapping[str, str], role: str) -> None:
    """Send spans where the environment says; where it is silent, make none.

    Args:
        environ: the process's environment.
        role: which process this is ("api", "worker-trading", …).
    """
    whole, base = environ.get(TRACES_ENDPOINT), environ.get(ENDPOINT)
    endpoint = whole or (base.rstrip("/") + TRACES_PATH if base else None)
    if endpoint is None:
        return
    # A tenth of a second to load: paid only where spans are wanted.
    from infra.otlp import Collector, headers_in  # noqa: PLC0415
    from infra.spans import Spans  # noqa: PLC0415

    make_spans_by(Spans(Collector(endpoint, headers_in(environ)), role))
    log.info("spans.sent_to", extra={"endpoint": endpoint})
