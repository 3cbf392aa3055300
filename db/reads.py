"""Reads that outlive a lost connection: each its own short transaction of one snapshot.

Only for reads: whether a lost write was committed is for its caller to find out.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import stamina
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from db.sessions import Sessions

Result = TypeVar("Result")

#: How long a read may wait for the database to come back before its caller hears of it.
RETRY_SECONDS = 15.0

#: SQLSTATE classes: connection exceptions, and the server's shutting down, crashing or starting up.
_AWAY = ("08", "57P")


def is_outage(error: Exception) -> bool:
    """Whether the database is away, as opposed to a statement that is wrong."""
    if isinstance(error, DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        return error.connection_invalidated or sqlstate.startswith(_AWAY)
    return isinstance(
        error,
        OSError
        | TimeoutError
        | asyncpg.PostgresConnectionError
        | asyncpg.OperatorInterventionError
        | asyncpg.TooManyConnectionsError,
    )


async def read_snapshot(sessions: Sessions, query: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    """Run `query` on one snapshot of the database; again, for up to 15 s, when the connection is lost."""
    async for attempt in stamina.retry_context(
        on=is_outage, attempts=None, timeout=RETRY_SECONDS, wait_initial=0.02, wait_max=1.0, wait_jitter=0.1
    ):
        with attempt:
            async with sessions() as session, session.begin():
                await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                return await query(session)
    raise AssertionError("unreachable: the last attempt raises")
