"""What three ways to read the same log lose, and how long a commit takes to reach a follower.

    python -m bench.event_order postgresql+asyncpg://…       (a database is created there, and dropped)

Eight writers make 16,000 changes; one transaction in three changes two media, and one transaction that was
opened first is committed last. Meanwhile the log is read by

- `id > cursor`, the plain serial;
- `(xid, id) > cursor` below `pg_snapshot_xmin(pg_current_snapshot())`, the snapshot horizon;
- the positions that are given after the commit, through `EventFeed`, with two of them numbering.

A reader that knows no more than its cursor is asked every 5 ms, and 1 s longer than the last commit.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from uuid import UUID, uuid4

from broadcaster import Broadcast
from sqlalchemy import make_url

from db.migrate import migrate
from db.sessions import Sessions, create_engine, create_sessions
from pubsub.doorbell import Doorbell
from pubsub.postgres_doorbell import PostgresDoorbell
from services.feed import EventFeed
from tests.live.writers import Received, Workload, add_library, change, connect

POLL_SECONDS = 0.005
LATENCY_SAMPLES = 300

_BY_SERIAL = "SELECT id, media_id, version FROM media_events WHERE id > $1 ORDER BY id LIMIT 1000"
_BY_XID = """
    SELECT xid, id, media_id, version FROM media_events
    WHERE (xid, id) > ($1, $2) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id LIMIT 1000
"""


async def read_by_serial(url: str, received: Received, done: asyncio.Event) -> None:
    await _read(url, _BY_SERIAL, (0,), received, done)


async def read_by_xid(url: str, received: Received, done: asyncio.Event) -> None:
    await _read(url, _BY_XID, (0, 0), received, done)


async def _read(
    url: str, query: str, cursor: tuple[int, ...], received: Received, done: asyncio.Event
) -> None:
    connection = await connect(url)
    while True:
        finished = done.is_set()
        rows = await connection.fetch(query, *cursor)
        for *place, media_id, version in rows:
            received.add(media_id, version)
            cursor = tuple(place)
        if finished and not rows:
            break
        await asyncio.sleep(POLL_SECONDS)
    await connection.close()


async def read_by_position(feed: EventFeed, received: Received, written: int) -> None:
    start = await feed.position()
    async with aclosing(feed.follow(start)) as batches:
        async for batch in batches:
            for event in batch:
                received.add(event.media_id, event.version)
            if received.count >= written:
                return


@asynccontextmanager
async def database(server: str) -> AsyncIterator[str]:
    """A migrated database whose lines also carry their transaction's id."""
    url = make_url(server).set(database=f"darkroom_bench_{uuid4().hex}")
    admin = await connect(server)
    try:
        await admin.execute(f'CREATE DATABASE "{url.database}"')
        name = url.render_as_string(hide_password=False)
        engine = create_engine(name)
        await migrate(engine)
        await engine.dispose()
        connection = await connect(name)
        await connection.execute(
            "ALTER TABLE media_events ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()"
        )
        await connection.execute("CREATE INDEX ON media_events (xid, id)")
        await connection.close()
        yield name
        await admin.execute(f'DROP DATABASE "{url.database}" WITH (FORCE)')
    finally:
        await admin.close()


@asynccontextmanager
async def running_feed(url: str) -> AsyncIterator[tuple[EventFeed, Doorbell, Sessions]]:
    engine = create_engine(url)
    async with Broadcast(backend=PostgresDoorbell(url)) as broadcast:
        sessions, doorbell = create_sessions(engine), Doorbell(broadcast)
        feed = EventFeed(engine, doorbell)
        async with feed.running():
            yield feed, doorbell, sessions
    await engine.dispose()


async def compare_readers(url: str) -> None:
    serial, xid, position = Received(), Received(), Received()
    done = asyncio.Event()
    async with running_feed(url) as (feed, _, sessions), running_feed(url):
        workload = Workload(url=url, media_ids=await add_library(sessions, 41))
        written = workload.writers * workload.changes + 1
        started = time.monotonic()
        async with asyncio.TaskGroup() as readers:
            readers.create_task(read_by_serial(url, serial, done))
            readers.create_task(read_by_xid(url, xid, done))
            readers.create_task(read_by_position(feed, position, written))
            await workload.run()
            seconds = time.monotonic() - started
            await asyncio.sleep(1)
            done.set()
    print(f"{written:,} changes in {seconds:.1f} s ({written / seconds:,.0f}/s)\n")
    print("| reader | missing | arrived out of order | lost by the clients' rule |")
    print("|---|---|---|---|")
    for name, received in [("`id > cursor`", serial), ("`(xid, id)`", xid), ("position", position)]:
        missing, disordered = received.missing(written), received.out_of_order
        print(f"| {name} | {missing:,} | {disordered:,} | {missing + disordered:,} |")


async def measure_latency(url: str) -> None:
    """From just before COMMIT to the follower's batch, one change at a time and rung like the services do."""
    async with running_feed(url) as (feed, doorbell, sessions), running_feed(url) as (other, *_):
        (media_id,) = await add_library(sessions, 1)
        for name, follower in [("same process", feed), ("another process", other)]:
            samples = await _samples(url, follower, doorbell.ring, media_id)
            cuts = statistics.quantiles(samples, n=100)
            print(f"commit → follower, {name}: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms")


async def _samples(
    url: str, feed: EventFeed, ring: Callable[[], Awaitable[None]], media_id: UUID
) -> list[float]:
    connection = await connect(url)
    samples = []
    async with aclosing(feed.follow(await feed.position())) as batches:
        for _ in range(LATENCY_SAMPLES):
            arrival = asyncio.ensure_future(anext(batches))
            transaction = connection.transaction()
            await transaction.start()
            await change(connection, media_id)
            committing = time.perf_counter()
            await transaction.commit()
            await ring()
            await arrival
            samples.append((time.perf_counter() - committing) * 1000)
            await asyncio.sleep(0.03)
    await connection.close()
    return samples


async def main(server: str) -> None:
    async with database(server) as url:
        await compare_readers(url)
    print()
    async with database(server) as url:
        await measure_latency(url)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
