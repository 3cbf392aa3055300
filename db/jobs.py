"""The queue: a job is a row that is written in the transaction of the change that makes it due.

PgQueuer delivers it at least once. Nothing outside this module and `app.worker` knows the engine.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from sqlalchemy import CursorResult, column, delete, table
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

_JOBS = table("pgqueuer", column("entrypoint"), column("payload"))
_SCHEDULES = table("pgqueuer_schedules")
_LOG = table("pgqueuer_log", column("id"), column("created"))


async def enqueue(
    session: AsyncSession, entrypoint: str, args: dict[str, str | int], *, delay: timedelta | None = None
) -> int:
    """Add a job in this session's transaction, due after `delay`; its id comes back."""
    [job_id] = await (await _queue(session)).enqueue(entrypoint, orjson.dumps(args), execute_after=delay)
    return int(job_id)


async def enqueue_all(
    session: AsyncSession, entrypoint: str, args: Sequence[Mapping[str, str | int]]
) -> list[int]:
    """As `enqueue`, a job for each of `args`, in their order: one statement."""
    if not args:
        return []
    payloads: list[bytes | None] = [orjson.dumps(each) for each in args]
    job_ids = await (await _queue(session)).enqueue(
        [entrypoint] * len(args), payloads, priority=[0] * len(args)
    )
    return [int(job_id) for job_id in job_ids]


async def _queue(session: AsyncSession) -> Queries:
    """The queue on the session's own connection."""
    connection = await (await session.connection()).get_raw_connection()
    driver = connection.driver_connection
    if driver is None:
        raise RuntimeError("The session has no connection.")
    return Queries(AsyncpgDriver(driver))


async def jobs_of(session: AsyncSession, entrypoint: str) -> list[dict[str, str | int]]:
    """The arguments of every job of this entrypoint that waits or is being run."""
    statement = select(_JOBS.c.payload).where(_JOBS.c.entrypoint == entrypoint)
    return [orjson.loads(payload) for payload in (await session.exec(statement)).all()]


async def prune_job_log(session: AsyncSession, *, older_than: datetime, limit: int = 10_000) -> int:
    """Forget at most `limit` of the rows that the queue logs (three a job) and never forgets itself."""
    oldest = select(_LOG.c.id).where(_LOG.c.created < older_than).limit(limit)
    result: CursorResult[*tuple[Any, ...]] = await session.exec(delete(_LOG).where(_LOG.c.id.in_(oldest)))
    return result.rowcount


async def forget_schedules(session: AsyncSession) -> None:
    """Nothing was ever done at its time: whoever keeps the schedules next does it all at once."""
    await session.exec(delete(_SCHEDULES))
