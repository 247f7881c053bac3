"""What went wrong, sorted by what the caller should do about it.

HoldfastError
├── InvariantError         a bug or a broken assumption: stop, alarm, never repair silently
├── InvalidInputError      the sender's mistake: say which field and how to mend it
├── RejectedError          the exchange refused; nothing exists there
├── BusyError              the exchange took nothing; the same thing again after a pause
│   └── CircuitOpenError       it kept failing: nothing was sent, we hold back for a while
├── AccessError            the exchange does not accept our keys: an operator is needed
├── OutcomeUnknownError    sent, and no proof of what came of it: look, never assume
└── UnavailableError       a read or the database failed: try again
"""


class HoldfastError(Exception):
    """Root of every error this project raises on purpose."""


class InvariantError(HoldfastError):
    """Something happened that the rules call impossible."""


class InvalidInputError(HoldfastError):
    """Input that cannot be accepted.

    Args:
        field: the name of the offending field, as the sender wrote it.
        remedy: what to send instead.
    """

    def __init__(self, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}")
        self.field = field
        self.remedy = remedy


class RejectedError(HoldfastError):
    """The exchange refused definitely; the message carries its words."""


class BusyError(HoldfastError):
    """The exchange did not process the request (429, 425, 503).

    Args:
        retry_after_seconds: how long it asked us to wait.
    """

    def __init__(self, words: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(words)
        self.retry_after_seconds = retry_after_seconds


class CircuitOpenError(BusyError):
    """Calls of this kind kept failing and are held back; nothing was sent."""


class AccessError(HoldfastError):
    """The exchange refused our credentials or bars this account (401, 403).

    Args:
        retry_after_seconds: when to try again; an operator has to act, so it is long.
    """

    def __init__(self, words: str, retry_after_seconds: float = 60.0) -> None:
        super().__init__(words)
        self.retry_after_seconds = retry_after_seconds


class OutcomeUnknownError(HoldfastError):
    """A request that may or may not have been processed."""


class UnavailableError(HoldfastError):
    """A read, or the database, did not answer properly; asking again is safe."""
