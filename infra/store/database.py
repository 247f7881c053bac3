"""The one pool of connections, and transactions whose failures speak the domain's words.

Whoever locks rows of several kinds locks the account first, then the position, then the order.
"""

import asyncio
import logging
import select
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection as Session
from psycopg import OperationalError as SessionError
from psycopg.errors import _WaitTimeout as WaitTimeout  # pyright: ignore[reportPrivateUsage]
from psycopg.rows import TupleRow
from sqlalchemy import event
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    InvalidatePoolError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from typing_extensions import override

from domain.errors import InvariantError, UnavailableError
from infra.store.tables import SCHEMA

if TYPE_CHECKING:
    from types import CoroutineType

log = logging.getLogger(__name__)

POOL_SIZE: Final = 10
RESERVED: Final = 3  # connections that only exits and cancels may use
POOL_WAIT_SECONDS: Final = 2.0  # an exhausted pool is told to the caller while a retry still helps
CONNECT_SECONDS: Final = 3
STATEMENT_MILLISECONDS: Final = 4_000  # below the shortest activity deadline, so that it is told
LOCK_MILLISECONDS: Final = 2_000  # transactions hold a lock for a few milliseconds
ANSWER_SECONDS: Final = 6.0  # the server has told by then, or the way to it is cut
IDLE_MILLISECONDS: Final = 10_000  # a process stopped inside a transaction frees its locks
KEEPALIVES: Final = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 6_000,  # milliseconds; bytes that nobody acknowledges
}
SLOTS: Final = "slots"  # the execution option that holds the line before the pool
LOCKED: Final = "55P03"  # the lock timeout
CONFLICTS: Final = frozenset({"40001", "40P01"})  # serialisation failure, deadlock
CONFLICT_ATTEMPTS: Final = 5

T = TypeVar("T")
P = ParamSpec("P")

_made: Final[WeakKeyDictionary[AsyncEngine, AsyncEngine]] = WeakKeyDictionary()
_is_urgent: ContextVar[bool] = ContextVar("is_urgent", default=False)


class PunctualSession(Session[TupleRow]):
    """A session that ends when the server has not answered for too long.

    A statement has its limit on the server; that says nothing where the answer is lost on the
    way, or the server is frozen.
    """

    @override
    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for an answer; no answer is a lost connection."""
        try:
            return await super().wait(gen, interval, timeout or ANSWER_SECONDS)
        except WaitTimeout:
            self.pgconn.finish()  # what comes now would be taken for another answer
            raise SessionError("the server did not answer in time") from None


class ConflictError(UnavailableError):
    """Two transactions stood in each other's way and this one was undone: run it again."""


def driver_url(url: str) -> str:
    """Return a postgresql:// address with the driver SQLAlchemy is to use."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def open_database(
    url: str, *, pool_size: int = POOL_SIZE, application_name: str = "holdfast"
) -> AsyncEngine:
    """Return the pool of connections to the database at `url`; it connects when first used.

    Args:
        url: postgresql://….
        pool_size: connections at most; a role with more work than one event loop can use
            waits in line rather than crowd the server. Of ten, three are kept for `urgently`.
        application_name: how the server lists the connections.
    """
    engine = create_async_engine(
        driver_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        hide_parameters=True,  # an error tells its statement, and its causes are written down
        connect_args=_connect_arguments(application_name)
        | {"async_creator_fn": PunctualSession.connect},
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead)
    slots = asyncio.Semaphore(max(pool_size - RESERVED, 1))
    return engine.execution_options(**{SLOTS: slots})


async def plain_session(url: str, *, application_name: str) -> Session[TupleRow]:
    """Open one session outside any pool, on which each statement is a transaction.

    For what is written most often: the driver's own cost is a tenth of what a pool and a
    statement builder add.
    """
    arguments = _connect_arguments(application_name)
    return await PunctualSession.connect(url, autocommit=True, **arguments)


def _connect_arguments(application_name: str) -> dict[str, Any]:
    """Return what every session of ours asks of the server and of the network."""
    options = " ".join(
        (
            f"-c search_path={SCHEMA}",
            f"-c statement_timeout={STATEMENT_MILLISECONDS}",
            f"-c lock_timeout={LOCK_MILLISECONDS}",
            f"-c idle_in_transaction_session_timeout={IDLE_MILLISECONDS}",
            "-c synchronous_commit=on",  # whatever the server's own default is
            "-c timezone=UTC",
        )
    )
    return {
        "application_name": application_name,
        "connect_timeout": CONNECT_SECONDS,
        "options": options,
        **KEEPALIVES,
    }


def _refuse_dead(connection: Any, record: object, proxy: object) -> None:
    """Have a connection that its server has ended replaced before it is used.

    The end was announced while it lay idle: there is something to be read where nothing was
    asked. That is seen without a question to the server, which would cost each statement one more.
    """
    del record, proxy
    idle = select.poll()
    idle.register(connection.driver_connection.fileno(), select.POLLIN)
    if idle.poll(0):
        raise InvalidatePoolError


@contextmanager
def urgently() -> Generator[None]:
    """Let the transactions of this task use the connections kept for exits and cancels."""
    token = _is_urgent.set(True)
    try:
        yield
    finally:
        _is_urgent.reset(token)


def is_urgent_now() -> bool:
    """Tell whether this task may use them."""
    return _is_urgent.get()


@asynccontextmanager
async def _turn(engine: AsyncEngine) -> AsyncGenerator[None]:
    """Wait in line for a connection that is not reserved.

    Raises:
        PoolTimeoutError: none came free in time.
    """
    slots: asyncio.Semaphore = engine.sync_engine.get_execution_options()[SLOTS]
    try:
        async with asyncio.timeout(POOL_WAIT_SECONDS):
            await slots.acquire()
    except TimeoutError:
        raise PoolTimeoutError from None
    try:
        yield
    finally:
        slots.release()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """Open a transaction, committed at the end of the block and undone by any exception.

    Raises:
        ConflictError: deadlock or serialisation failure; nothing was written.
        UnavailableError: the connection, the pool or a time limit failed. If that was while
            committing, nobody knows whether it was written: every store method may be run again.
        InvariantError: a row that the tables refuse.
    """
    async with _granted(engine), engine.begin() as open_one:
        yield open_one


@asynccontextmanager
async def statement(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """Open a connection on which each statement commits by itself: one way there and back.

    Raises:
        ConflictError, UnavailableError, InvariantError: as `transaction` does.
    """
    async with _granted(engine), _committing(engine).connect() as open_one:
        yield open_one


def _committing(engine: AsyncEngine) -> AsyncEngine:
    """Return the same pool, each statement a transaction; to make it takes as long as to use it."""
    made = _made.get(engine)
    if made is None:
        made = _made[engine] = engine.execution_options(isolation_level="AUTOCOMMIT")
    return made


@asynccontextmanager
async def _granted(engine: AsyncEngine) -> AsyncGenerator[None]:
    """Wait for a turn, and raise what the driver raises as the domain's errors."""
    try:
        async with nullcontext() if is_urgent_now() else _turn(engine):
            yield
    except PoolTimeoutError as error:
        log.warning("database.pool_exhausted")
        raise UnavailableError("no database connection is free") from error
    except (OperationalError, InterfaceError, InternalError) as error:
        raise _unavailable(error) from error
    except (IntegrityError, DataError) as error:
        # Not even as the cause: what causes an error is written down with it.
        raise refused(error.orig) from None
    except OSError as error:
        raise UnavailableError(f"the database cannot be reached: {error}") from error


async def retried(run: Callable[[], Awaitable[T]]) -> T:
    """Return what `run`, a whole transaction, returns, running it again after a conflict.

    Raises:
        ConflictError: five attempts conflicted.
    """
    for _ in range(CONFLICT_ATTEMPTS - 1):
        try:
            return await run()
        except ConflictError:
            continue
    return await run()


def rerun(method: Callable[P, Awaitable[T]]) -> "Callable[P, CoroutineType[Any, Any, T]]":
    """Have a store method, which is one whole transaction, run again after a conflict."""

    @wraps(method)
    async def insistent(*arguments: P.args, **named: P.kwargs) -> T:
        return await retried(lambda: method(*arguments, **named))

    return insistent


def refused(error: BaseException | None) -> InvariantError:
    """Return the domain's error for a row that the tables refuse: which rule, in which place.

    The driver's own words would repeat the row, and with it a sender's secret.
    """
    told = getattr(error, "diag", None)
    names = ("table_name", "column_name", "constraint_name")
    place = ", ".join(filter(None, (getattr(told, name, None) for name in names)))
    words = f"{type(error).__name__} {getattr(error, 'sqlstate', None) or ''}".rstrip()
    return InvariantError(f"the database refused a row: {words}{f' ({place})' if place else ''}")


def _unavailable(error: DBAPIError) -> UnavailableError:
    """Return the domain's error; the statement and its parameters stay out of the message."""
    state = getattr(error.orig, "sqlstate", None)
    if state == LOCKED:
        log.warning("database.lock_timeout", extra={"waited_milliseconds": LOCK_MILLISECONDS})
    kind = ConflictError if state in CONFLICTS else UnavailableError
    return kind(f"database: {type(error.orig).__name__} {state or ''}".rstrip())
