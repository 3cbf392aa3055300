"""The queue: a job is a row that is written in the transaction of the change that makes it due.

PgQueuer delivers it at least once. Nothing outside this module and `app.worker` knows the engine.
"""

from datetime import datetime, timedelta
from typing import Any

import orjson
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from sqlalchemy import CursorResult, column, delete, table
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

_JOBS = table("pgqueuer", column("entrypoint"), column("payload"))
_LOG = table("pgqueuer_log", column("id"), column("created"))


async def enqueue(
    session: AsyncSession, entrypoint: str, args: dict[str, str | int], *, delay: timedelta | None = None
) -> int:
    """Add a job in this session's transaction, due after `delay`; its id comes back."""
    connection = await (await session.connection()).get_raw_connection()
    driver = connection.driver_connection
    if driver is None:
        raise RuntimeError("The session has no connection.")
    [job_id] = await Queries(AsyncpgDriver(driver)).enqueue(
        entrypoint, orjson.dumps(args), execute_after=delay
    )
    return int(job_id)


async def jobs_of(session: AsyncSession, entrypoint: str) -> list[dict[str, str | int]]:
    """The arguments of every job of this entrypoint that waits or is being run."""
    statement = select(_JOBS.c.payload).where(_JOBS.c.entrypoint == entrypoint)
    return [orjson.loads(payload) for payload in (await session.exec(statement)).all()]


async def prune_job_log(session: AsyncSession, *, older_than: datetime, limit: int = 10_000) -> int:
    """Forget at most `limit` of the rows that the queue logs (three a job) and never forgets itself."""
    oldest = select(_LOG.c.id).where(_LOG.c.created < older_than).limit(limit)
    result: CursorResult[*tuple[Any, ...]] = await session.exec(delete(_LOG).where(_LOG.c.id.in_(oldest)))
    return result.rowcount
