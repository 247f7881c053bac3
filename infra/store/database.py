"""The one pool of connections, and transactions whose failures speak the domain's words."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from domain.errors import InvariantError, UnavailableError
from infra.store.tables import SCHEMA

POOL_SIZE: Final = 10
POOL_WAIT_SECONDS: Final = 2.0  # an exhausted pool is told to the caller while a retry still helps
CONNECT_SECONDS: Final = 3
STATEMENT_MILLISECONDS: Final = 4_000  # below the shortest activity deadline, so that it is told
LOCK_MILLISECONDS: Final = 2_000  # transactions hold a lock for a few milliseconds
IDLE_MILLISECONDS: Final = 10_000  # a process stopped inside a transaction frees its locks
KEEPALIVES: Final = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
CONFLICTS: Final = frozenset({"40001", "40P01"})  # serialisation failure, deadlock
CONFLICT_ATTEMPTS: Final = 5

T = TypeVar("T")


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
            waits in line rather than crowd the server.
        application_name: how the server lists the connections.
    """
    options = " ".join(
        (
            f"-c search_path={SCHEMA}",
            f"-c statement_timeout={STATEMENT_MILLISECONDS}",
            f"-c lock_timeout={LOCK_MILLISECONDS}",
            f"-c idle_in_transaction_session_timeout={IDLE_MILLISECONDS}",
            "-c timezone=UTC",
        )
    )
    return create_async_engine(
        driver_url(url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "application_name": application_name,
            "connect_timeout": CONNECT_SECONDS,
            "options": options,
            **KEEPALIVES,
        },
    )


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
    """Open a transaction, committed at the end of the block and undone by any exception.

    Raises:
        ConflictError: deadlock or serialisation failure; nothing was written.
        UnavailableError: the connection, the pool or a time limit failed. If that was while
            committing, nobody knows whether it was written: every store method may be run again.
        InvariantError: a row that the tables refuse.
    """
    try:
        async with engine.begin() as connection:
            yield connection
    except PoolTimeoutError as error:
        raise UnavailableError("no database connection is free") from error
    except (OperationalError, InterfaceError, InternalError) as error:
        raise _unavailable(error) from error
    except (IntegrityError, DataError) as error:
        raise InvariantError(f"the database refused a row: {error.orig}") from error
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


def _unavailable(error: DBAPIError) -> UnavailableError:
    """Return the domain's error; the statement and its parameters stay out of the message."""
    state = getattr(error.orig, "sqlstate", None)
    kind = ConflictError if state in CONFLICTS else UnavailableError
    return kind(f"database: {type(error.orig).__name__} {state or ''}".rstrip())
