"""The queue: a job is a row that is written in the transaction of the change that makes it due.

PgQueuer delivers it at least once. Nothing outside this module and `app.worker` knows the engine.
"""

from datetime import timedelta

import orjson
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries
from sqlmodel.ext.asyncio.session import AsyncSession


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
