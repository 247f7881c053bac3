"""Questions to a child over loopback: does it listen, does it answer, what does it say."""

import asyncio
import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Final

HOST: Final = "127.0.0.1"
ANSWER_SECONDS: Final = 10.0


async def listens(port: int) -> bool:
    """Tell whether anything listens on `port`."""
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def answers(port: int, path: str) -> bool:
    """Tell whether a GET of `path` succeeds."""
    try:
        status, _ = await asyncio.to_thread(_asked, port, "GET", path, None)
    except (OSError, HTTPException):
        return False
    return status == 200  # noqa: PLR2004  # HTTP's OK


async def post(port: int, path: str, body: Mapping[str, object]) -> tuple[int, bytes]:
    """Return status and body of the answer to a JSON document.

    Raises:
        OSError, HTTPException: there was no answer.
    """
    return await asyncio.to_thread(_asked, port, "POST", path, json.dumps(body))


def _asked(port: int, method: str, path: str, body: str | None) -> tuple[int, bytes]:
    """Return status and body of the answer; no proxy stands between, whatever is configured."""
    connection = HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
