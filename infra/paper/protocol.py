"""HTTP/1.1 whose connections an application may cut without an answer."""

from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CUT = "holdfast.cut"  # the ASGI extension: scope["extensions"][CUT]["now"] aborts the connection


class DroppableProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the connection's abort within reach of the application."""

    def on_message_begin(self) -> None:
        """Put the abort into the scope of the request that begins."""
        super().on_message_begin()
        scope = cast("dict[str, object]", self.scope)
        scope["extensions"] = {CUT: {"now": self.transport.abort}}
