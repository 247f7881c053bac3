"""Timeouts, retries and search attributes of workflows, each with its reason."""

from datetime import timedelta
from typing import Final, TypedDict

from temporalio.common import RetryPolicy, SearchAttributeKey

TRADING: Final = "trading"
STREAMS: Final = "streams"

ACCOUNT: Final = SearchAttributeKey.for_keyword("Account")
MARKET: Final = SearchAttributeKey.for_keyword("Market")
ACTION: Final = SearchAttributeKey.for_keyword("Action")
ORDER_STATE: Final = SearchAttributeKey.for_keyword("OrderState")
SIGNAL_ID: Final = SearchAttributeKey.for_keyword("SignalId")
TRACE_ID: Final = SearchAttributeKey.for_keyword("TraceId")


# A dead worker's workflow task is given to another after this long.
WORKFLOW_TASK_TIMEOUT: Final = timedelta(seconds=3)

_QUICK: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=50),  # the usual fault is a dead connection
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=5),
)


class LocalOptions(TypedDict):
    """How a local activity is run."""

    start_to_close_timeout: timedelta
    local_retry_threshold: timedelta
    retry_policy: RetryPolicy


class RemoteOptions(TypedDict):
    """How an activity that may die with its worker is run."""

    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy


# One transaction, or one transaction and a few reads. Retries outlive any outage: a row that
# must be written is written, or the workflow waits for the database. Longer pauses than a third
# of a second are timers: a retry inside the task holds that open, and no signal (a stop that is
# reached), wish or query is taken in meanwhile.
LOCAL: Final = LocalOptions(
    start_to_close_timeout=timedelta(seconds=10),
    local_retry_threshold=timedelta(seconds=0.3),
    retry_policy=_QUICK,
)

# A look at the exchange: as above, but every pause is a timer. What waits in the same task (the
# answer to a wish, foremost) is held up by one try, not by an exchange that cannot be read.
LOOK: Final = LocalOptions(
    start_to_close_timeout=timedelta(seconds=10),
    local_retry_threshold=timedelta(milliseconds=1),
    retry_policy=_QUICK,
)

# The send has a deadline of 4 s of its own; one second more to record what came of it. Beats
# come every 0.3 s, so a worker killed in the middle is noticed after one second. Never retried
# by the server on our behalf without going through begin_send again: that is the activity's
# first line.
SEND: Final = RemoteOptions(
    start_to_close_timeout=timedelta(seconds=5),
    heartbeat_timeout=timedelta(seconds=1),
    retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=50), maximum_attempts=1),
)

# An eye stays open for good; two seconds without a beat and another worker opens its own.
FOLLOW: Final = RemoteOptions(
    start_to_close_timeout=timedelta(days=365),
    heartbeat_timeout=timedelta(seconds=2),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=50), maximum_interval=timedelta(seconds=5)
    ),
)

# One try, and soon an answer: whoever asks has an alarm to raise, and tries again by itself.
TRY: Final = RemoteOptions(
    start_to_close_timeout=timedelta(seconds=6),
    heartbeat_timeout=timedelta(seconds=6),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

# Cancels and hand-overs: a few requests, safe to repeat.
ACT: Final = RemoteOptions(
    start_to_close_timeout=timedelta(seconds=15),
    heartbeat_timeout=timedelta(seconds=15),
    retry_policy=_QUICK,
)

# A guardian's look: once, and before the next one is due. What it could not do, the next one does.
SWEEP: Final = LocalOptions(
    start_to_close_timeout=timedelta(seconds=9),
    local_retry_threshold=timedelta(seconds=1),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

# Cancelling and listing while somebody waits: beats come every second.
CLEAR: Final = RemoteOptions(
    start_to_close_timeout=timedelta(seconds=15),
    heartbeat_timeout=timedelta(seconds=3),
    retry_policy=_QUICK,
)

# A section of a comparison: pages of lists, then a transaction for each difference. Beats come
# every second. A few tries, for whoever waits is to be told that it failed, and why.
COMPARE: Final = RemoteOptions(
    start_to_close_timeout=timedelta(seconds=60),
    heartbeat_timeout=timedelta(seconds=5),
    retry_policy=RetryPolicy(
        initial_interval=timedelta(milliseconds=200),
        maximum_interval=timedelta(seconds=2),
        maximum_attempts=4,
    ),
)
