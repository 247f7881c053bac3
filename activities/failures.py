"""One map from our errors to Temporal's, applied to every activity by an interceptor."""

from datetime import timedelta
from typing import Any

from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor
from typing_extensions import override

from domain.errors import AccessError, BusyError, HoldfastError, UnavailableError

RETRIED = (BusyError, UnavailableError, AccessError)
MOST_TEXT = 2_000  # characters; Temporal refuses failures that outgrow its messages


def application_error(error: HoldfastError) -> ApplicationError:
    """Return `error` as Temporal's: retried only where asking again is safe and may help."""
    pause = error.retry_after_seconds if isinstance(error, BusyError | AccessError) else None
    return ApplicationError(
        str(error)[:MOST_TEXT],
        type=type(error).__name__,
        non_retryable=not isinstance(error, RETRIED),
        next_retry_delay=timedelta(seconds=pause) if pause is not None else None,
    )


class FailureTranslator(Interceptor):
    """Translates what activities raise, so that no activity can forget to."""

    @override
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Return `next` with its errors translated."""
        return _Translating(next)


class _Translating(ActivityInboundInterceptor):
    """The part of the translator that stands around one activity."""

    @override
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        """Run the activity and translate what it raises."""
        try:
            return await super().execute_activity(input)
        except HoldfastError as error:
            raise application_error(error) from error
