"""Whether a webhook's sender is who it says."""

import hmac
from collections.abc import Iterable
from typing import Final

from fastapi import Request

from api.keys import caller
from infra.settings import Settings

TOKEN_HEADER: Final = "X-Holdfast-Token"  # noqa: S105  # a header's name
UNPROVEN: Final = "its sender did not prove itself"


def tokens_of(request: Request, in_path: str | None) -> list[str]:
    """Return what a request offers as proof outside its body."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    return [one for one in (in_path, bearer, request.headers.get(TOKEN_HEADER)) if one]


def is_proven(settings: Settings, source: str, offered: Iterable[str]) -> bool:
    """Tell whether one of the tokens is the source's secret or an API key that may send signals.

    A source without a secret is closed. Every token is compared, whichever fits.
    """
    known = settings.webhooks.get(source)
    secret = known.secret.get_secret_value() if known is not None else ""
    fits = [_fits(settings, secret, token) for token in offered]
    return any(fits) and bool(secret)


def _fits(settings: Settings, secret: str, token: str) -> bool:
    is_secret = hmac.compare_digest(_bytes(secret), _bytes(token))
    key = caller(token, settings.api.keys)
    return is_secret or (key is not None and "signal" in key.scopes)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
