"""The one shape of every refusal: {"error": {"code", "message", "fields"}}."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.documents import FieldError
from domain.errors import InvalidInputError, UnavailableError

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = "1"


class Problem(Exception):  # noqa: N818  # it is an answer, not always an error
    """Ends a request with an answer other than success."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: Iterable[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.response = refusal(status, code, message, fields)
        self.response.headers.update(headers or {})


def refusal(
    status: int, code: str, message: str, fields: Iterable[FieldError] = (), **more: object
) -> JSONResponse:
    """Return the answer that refuses; `more` stands beside the error."""
    error = {"code": code, "message": message, "fields": [asdict(one) for one in fields]}
    return JSONResponse({"error": error, **more}, status)


def busy(message: str) -> JSONResponse:
    """Return the answer that nothing was done and the sender should send again."""
    answer = refusal(503, "unavailable", message)
    answer.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return answer


def not_found(what: str) -> Problem:
    """Return the refusal of something that does not exist."""
    return Problem(404, "not_found", f"there is no such {what}")


def summary(errors: Iterable[FieldError]) -> str:
    """Return every reason on one line."""
    return "; ".join(f"{one.field}: {one.problem} ({one.remedy})" for one in errors)


def install(app: FastAPI) -> None:
    """Give every failure of a request the one shape."""

    @app.exception_handler(Problem)
    async def of_problem(_: Request, problem: Problem) -> JSONResponse:
        return problem.response

    @app.exception_handler(InvalidInputError)
    async def of_input(_: Request, error: InvalidInputError) -> JSONResponse:
        wrong = FieldError(field=error.field, problem="not accepted", remedy=error.remedy)
        return refusal(422, "invalid", summary([wrong]), [wrong])

    @app.exception_handler(UnavailableError)
    async def of_outage(request: Request, error: UnavailableError) -> JSONResponse:
        log.warning("request.unavailable", extra={"route": _route(request), "why": str(error)})
        return busy(f"{error}; try again")

    @app.exception_handler(RequestValidationError)
    async def of_parameters(_: Request, error: RequestValidationError) -> JSONResponse:
        wrong = [_field_error(one) for one in error.errors()]
        return refusal(422, "invalid", summary(wrong), wrong)

    @app.exception_handler(HTTPException)
    async def of_routing(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
        answer = refusal(error.status_code, code, str(error.detail).lower())
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def of_bug(_: Request, __: Exception) -> JSONResponse:
        return refusal(500, "internal", "something failed here; it is in the log")

    # Registered by the decorators; named once more so that they count as used.
    _ = (of_problem, of_input, of_outage, of_parameters, of_routing, of_bug)


def _field_error(one: Mapping[str, Any]) -> FieldError:
    """Return one parameter's error; a reader of ours says the remedy too."""
    return FieldError(
        field=str(one["loc"][-1]),
        problem=one["msg"],
        remedy=str(one.get("ctx", {}).get("remedy", "see /docs")),
    )


def _route(request: Request) -> str:
    """Return the request's route as declared: a path may carry a token."""
    return str(getattr(request.scope.get("route"), "path", "unknown"))
