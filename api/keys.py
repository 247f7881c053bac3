"""Who may call: bearer keys, known only by their digests, each with its scopes."""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import Annotated, Final, Literal

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.parts import Shared
from api.problems import Problem
from infra.settings import ApiKeySettings

Scope = Literal["signal", "read", "operate"]

_BEARER: Final = HTTPBearer(auto_error=False, description="an API key")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]


def caller(key: str, known: Iterable[ApiKeySettings]) -> ApiKeySettings | None:
    """Return whose key this is; every known key is compared, whichever fits."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    fits = [one for one in known if hmac.compare_digest(one.sha256, digest)]
    return fits[0] if fits else None


def require(scope: Scope) -> Callable[[Shared, Credentials], str]:
    """Return a dependency that lets callers with `scope` pass and says who they are."""

    def who(parts: Shared, credentials: Credentials) -> str:
        known = parts.settings.api.keys
        found = caller(credentials.credentials, known) if credentials else None
        if found is None:
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Problem(401, "unauthorized", "send a key as bearer token", headers=challenge)
        if scope not in found.scopes:
            raise Problem(403, "forbidden", f"this key lacks the scope {scope}")
        return found.name

    return who


MayRead = Annotated[str, Depends(require("read"))]
MayOperate = Annotated[str, Depends(require("operate"))]
