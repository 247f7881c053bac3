"""Interceptors that carry the trace through Temporal and name the work on every log line.

Not the SDK's own: those hang all that a workflow does on the span that started it, while one
position's workflow sells for many signals, each with a trace of its own. What an activity belongs
to is told by what it is given; the header only says which span it hangs on.
"""

from collections.abc import Mapping
from typing import Any, Final

from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Interceptor as ClientInterceptor
from temporalio.client import (
    OutboundInterceptor,
    SignalWorkflowInput,
    StartWorkflowInput,
    StartWorkflowUpdateInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
)
from temporalio.converter import PayloadConverter
from temporalio.worker import (
    ActivityInboundInterceptor,
    ContinueAsNewInput,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from typing_extensions import override

from infra.points import OF_ACTIVITY
from infra.telemetry import about, turn_to, work_of
from infra.tracing import Origin, is_tracing, point, traceparent

HEADER: Final = "_tracer-data"  # where Temporal's SDKs carry W3C trace context
CARRIED: Final = "traceparent"

Headers = Mapping[str, Payload]

# Which work a line belongs to stands in fields of its own, so the event stays a name.
workflow.logger.workflow_info_on_message = False
workflow.logger.workflow_info_on_extra = False
activity.logger.activity_info_on_message = False


class Following(ClientInterceptor, Interceptor):
    """Follows a piece of work from process to process."""

    @override
    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        """Return `next`, its calls carrying the open span."""
        return _Calling(next)

    @override
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Return `next`, each activity a named point of its work."""
        return _Doing(next)

    @override
    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        """Return what hands the trace on from a workflow's start to its activities."""
        return _Deciding


class _Calling(OutboundInterceptor):
    """Gives every call of ours the open span."""

    @override
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        """Start a workflow."""
        input.headers = _carrying(input.headers)
        return await super().start_workflow(input)

    @override
    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        """Signal a workflow."""
        input.headers = _carrying(input.headers)
        await super().signal_workflow(input)

    @override
    async def start_workflow_update(
        self, input: StartWorkflowUpdateInput
    ) -> WorkflowUpdateHandle[Any]:
        """Ask a workflow for an update."""
        input.headers = _carrying(input.headers)
        return await super().start_workflow_update(input)


class _Doing(ActivityInboundInterceptor):
    """Makes an activity a point of the work that its argument names."""

    @override
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        """Run the activity."""
        info = activity.info()
        work = work_of(input.args[0]) if input.args else {}
        if info.workflow_id is not None:
            work["workflow_id"] = info.workflow_id
        reached = OF_ACTIVITY.get(info.activity_type)
        if reached is None:
            with about(work):
                return await super().execute_activity(input)
        origin = Origin(parent=_carried(input.headers)) if is_tracing() else Origin()
        attempt = info.attempt if info.attempt > 1 else None
        with point(reached, work, origin, attempt=attempt) as here:
            result = await super().execute_activity(input)
            here.note(**_said(result))
            return result


class _Deciding(WorkflowInboundInterceptor):
    """Remembers which span each piece of a workflow's work came from.

    Spans are made by activities only, so a replay makes none.
    """

    @override
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Stand before and behind the workflow."""
        self._parents = dict[str, Payload]()
        super().init(_Acting(outbound, self._parents))

    @override
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        """Run the workflow."""
        work = self._learned(input.args, input.headers)
        # Never taken back: a workflow that is put aside is closed in another context.
        turn_to(work | {"workflow_id": workflow.info().workflow_id})
        return await super().execute_workflow(input)

    @override
    async def handle_signal(self, input: HandleSignalInput) -> None:
        """Take a signal."""
        self._learned(input.args, input.headers)
        await super().handle_signal(input)

    def _learned(self, args: Any, headers: Headers) -> dict[str, str]:
        work = work_of(args[0]) if args else {}
        if HEADER in headers and "trace_id" in work:
            self._parents.setdefault(work["trace_id"], headers[HEADER])
        return work


class _Acting(WorkflowOutboundInterceptor):
    """Hands each activity the span that its own piece of work came from."""

    def __init__(self, next: WorkflowOutboundInterceptor, parents: Headers) -> None:
        super().__init__(next)
        self._parents = parents

    @override
    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        """Start an activity."""
        input.headers = self._handed_on(input.args, input.headers)
        return super().start_activity(input)

    @override
    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        """Start a local activity."""
        input.headers = self._handed_on(input.args, input.headers)
        return super().start_local_activity(input)

    @override
    def continue_as_new(self, input: ContinueAsNewInput) -> Any:
        """Begin the workflow's next run."""
        input.headers = self._handed_on(input.args, input.headers)
        super().continue_as_new(input)

    def _handed_on(self, args: Any, headers: Headers) -> Headers:
        """Return the headers, and name the work on what this task logs from here on."""
        work = work_of(args[0]) if args else {}
        turn_to(work | {"workflow_id": workflow.info().workflow_id})
        parent = self._parents.get(work.get("trace_id", ""))
        return headers if parent is None else {**headers, HEADER: parent}


def _carrying(headers: Headers) -> Headers:
    """Return `headers` with the open span, if there is one."""
    open_here = traceparent()
    if open_here is None:
        return headers
    payload = PayloadConverter.default.to_payloads([{CARRIED: open_here}])[0]
    return {**headers, HEADER: payload}


def _carried(headers: Headers) -> str | None:
    """Return the span that the headers carry; what cannot be read carries none."""
    payload = headers.get(HEADER)
    if payload is None:
        return None
    try:
        carried = PayloadConverter.default.from_payloads([payload], [dict[str, str]])
    except RuntimeError:
        return None
    return carried[0].get(CARRIED)


def _said(result: object) -> dict[str, object]:
    """Return what an activity's result says in a word or two."""
    refusal, order = getattr(result, "denied", None), getattr(result, "order", None)
    said: dict[str, object] = {
        "denied": getattr(refusal, "rule", None),
        "words": getattr(refusal, "words", None) or getattr(result, "words", None),
        "order_hash": getattr(order or result, "order_hash", None),
    }
    for name in ("answer", "state", "status"):
        word = getattr(order or result, name, None)
        said[name] = str(word) if word is not None else None
    return said
