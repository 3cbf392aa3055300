"""The log's promise: each media's versions arrive as exactly +1, at every follower, whatever happens."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.events import LoggedEvent, LogPosition, log_state, number_events, prune_events, read_events
from db.models import EventLog, MediaEvent, new_id, utc_now
from db.sessions import Sessions
from pubsub.doorbell import Doorbell
from services.feed import EventFeed, FeedStoppedError, LogTruncatedError
from tests.live.conftest import StartFeed
from tests.live.writers import Received, Workload, add_library, change, connect


async def receive(
    feed: EventFeed, after: LogPosition, count: int, *, pause: float = 0, media_id: UUID | None = None
) -> Received:
    received = Received()
    async with aclosing(feed.follow(after, media_id=media_id)) as batches:
        async for batch in batches:
            for event in batch:
                received.add(event.media_id, event.version)
            if received.count >= count:
                break
            await asyncio.sleep(pause)
    return received


async def next_batch(feed: EventFeed, after: LogPosition) -> Sequence[LoggedEvent]:
    async with aclosing(feed.follow(after)) as batches:
        return await anext(batches)


async def write(url: str, *media_ids: UUID, times: int = 1) -> None:
    connection = await connect(url)
    try:
        for _ in range(times):
            for media_id in media_ids:
                await change(connection, media_id)
    finally:
        await connection.close()


async def number_all(sessions: Sessions, limit: int = 1000) -> None:
    numbered = limit
    while numbered == limit:
        async with sessions() as session, session.begin():
            numbered = await number_events(session, limit)


async def kill_all_connections(url: str) -> None:
    connection = await connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
    await asyncio.sleep(0.05)  # until this process has read that they are closed


async def settle() -> None:
    """Let the feed look at the log for what has been rung already."""
    await asyncio.sleep(0.2)


@asynccontextmanager
async def transaction(sessions: Sessions) -> AsyncIterator[AsyncSession]:
    async with sessions() as session, session.begin():
        yield session


@pytest.mark.slow
async def test_every_change_arrives_once_and_in_order_while_two_processes_number(
    database_url: str, sessions: Sessions, doorbell: Doorbell, start_feed: StartFeed
) -> None:
    workload = Workload(url=database_url, media_ids=await add_library(sessions, 41))
    written = workload.writers * workload.changes + 1
    watched = workload.media_ids[0]
    stop = asyncio.Event()

    async def ring() -> None:
        while not stop.is_set():
            await doorbell.ring()
            await asyncio.sleep(0.01)

    async with start_feed() as one, start_feed(window=256) as two, asyncio.timeout(120):
        start = await one.position()
        ringing = asyncio.create_task(ring())
        following = [
            asyncio.create_task(receive(one, start, written)),
            asyncio.create_task(receive(two, start, written)),
            asyncio.create_task(receive(two, start, written, pause=0.25)),
        ]
        assert await workload.run() == written
        readers = [await task for task in following]
        only = await receive(one, start, len(readers[0].versions[watched]), media_id=watched)
        stop.set()
        await ringing

    for received in readers:
        assert received.missing(written) == 0
        assert received.count == written
        assert received.without_a_step == []
    assert only.versions == {watched: readers[0].versions[watched]}


async def test_positions_have_no_holes(database_url: str, sessions: Sessions) -> None:
    media_ids = await add_library(sessions, 3)
    await write(database_url, *media_ids, times=4)
    await number_all(sessions, limit=5)
    async with transaction(sessions) as session:
        events = await read_events(session, after=0, limit=100)
        assert [event.position for event in events] == list(range(1, 13))
        assert (await log_state(session)).position == 12
        assert await number_events(session) == 0


async def test_numbering_on_an_old_snapshot_is_refused(database_url: str, sessions: Sessions) -> None:
    await write(database_url, *await add_library(sessions, 1))
    async with transaction(sessions) as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        with pytest.raises(RuntimeError, match="READ COMMITTED"):
            await number_events(session)


async def test_a_process_that_stops_while_numbering_stops_no_other(
    database_url: str, sessions: Sessions, start_feed: StartFeed
) -> None:
    media_ids = await add_library(sessions, 1)
    await write(database_url, *media_ids)
    async with sessions() as stopped:
        await number_events(stopped)
        async with start_feed() as feed, asyncio.timeout(12):
            start = LogPosition(epoch=(await feed.state()).epoch, position=0)
            assert len(await next_batch(feed, start)) == 1
        await stopped.invalidate()


async def test_a_slow_follower_reads_the_log_and_misses_nothing(
    database_url: str, sessions: Sessions, start_feed: StartFeed
) -> None:
    media_ids = await add_library(sessions, 10)
    async with start_feed(window=16) as feed, asyncio.timeout(20):
        start = await feed.position()
        slow = asyncio.create_task(receive(feed, start, 1_000, pause=0.2))
        await write(database_url, *media_ids, times=100)
        received = await slow
    assert received.missing(1_000) == 0
    assert received.without_a_step == []


async def test_lost_rings_cost_about_a_second(database_url: str, sessions: Sessions, feed: EventFeed) -> None:
    (media_id,) = await add_library(sessions, 1)
    start = await feed.position()
    await settle()
    await write(database_url, media_id)
    written_at = time.monotonic()
    async with asyncio.timeout(15):
        await next_batch(feed, start)
    assert time.monotonic() - written_at < 4


async def test_another_feed_goes_on_where_the_first_one_ended(
    database_url: str, sessions: Sessions, start_feed: StartFeed
) -> None:
    media_ids = await add_library(sessions, 1)
    async with start_feed() as feed:
        start = await feed.position()
        await write(database_url, *media_ids, times=3)
        first = await next_batch(feed, start)
    await write(database_url, *media_ids, times=3)
    async with start_feed() as feed, asyncio.timeout(5):
        seen = LogPosition(epoch=start.epoch, position=first[0].position)
        rest = await receive(feed, seen, 5)
    assert rest.versions == {media_ids[0]: [3, 4, 5, 6, 7]}


async def test_a_follower_that_the_log_was_pruned_under_is_told(
    database_url: str, sessions: Sessions, start_feed: StartFeed
) -> None:
    media_ids = await add_library(sessions, 1)
    async with start_feed(window=2) as feed, asyncio.timeout(5):
        start = await feed.position()
        await write(database_url, *media_ids, times=10)
        await number_all(sessions)
        async with transaction(sessions) as session:
            assert await prune_events(session, older_than=utc_now() + timedelta(minutes=1), limit=4) == 4
        await settle()
        with pytest.raises(LogTruncatedError):
            await next_batch(feed, start)
        kept = LogPosition(epoch=start.epoch, position=4)
        assert (await next_batch(feed, kept))[0].position == 5


async def test_pruning_keeps_what_is_young(database_url: str, sessions: Sessions) -> None:
    media_ids = await add_library(sessions, 1)
    await write(database_url, *media_ids, times=3)
    await number_all(sessions)
    async with transaction(sessions) as session:
        assert await prune_events(session, older_than=utc_now() - timedelta(days=7)) == 0
        assert (await log_state(session)).pruned_through == 0


async def test_another_log_in_the_database_ends_what_followed_the_old_one(
    database_url: str, sessions: Sessions, feed: EventFeed
) -> None:
    media_ids = await add_library(sessions, 1)
    start = await feed.position()
    following = asyncio.create_task(next_batch(feed, start))
    await asyncio.sleep(0.1)
    async with transaction(sessions) as session:
        await session.exec(update(EventLog).values(epoch=new_id()))
    with pytest.raises(LogTruncatedError):
        async with asyncio.timeout(5):
            await following
    start = await feed.position()
    await write(database_url, *media_ids)
    async with asyncio.timeout(5):
        assert len(await next_batch(feed, start)) == 1


async def test_the_feed_outlives_the_loss_of_all_its_connections(
    database_url: str, sessions: Sessions, feed: EventFeed
) -> None:
    media_ids = await add_library(sessions, 4)
    start = await feed.position()
    following = asyncio.create_task(receive(feed, start, 80))
    for _ in range(4):
        await write(database_url, *media_ids, times=5)
        await kill_all_connections(database_url)
    async with asyncio.timeout(10):
        received = await following
    assert received.without_a_step == []


async def test_followers_are_told_when_the_process_stops(start_feed: StartFeed) -> None:
    async with start_feed() as feed:
        following = asyncio.create_task(next_batch(feed, await feed.position()))
        await asyncio.sleep(0.1)
    with pytest.raises(FeedStoppedError):
        await following


async def test_a_follower_of_one_media_is_not_woken_by_others(
    database_url: str, sessions: Sessions, start_feed: StartFeed
) -> None:
    watched, *others = await add_library(sessions, 4)
    async with start_feed(window=8) as feed, asyncio.timeout(10):
        start = await feed.position()
        following = asyncio.create_task(receive(feed, start, 1, media_id=watched))
        await asyncio.sleep(0.1)
        await write(database_url, *others, times=40)
        await receive(feed, start, 120)
        assert not following.done()
        await write(database_url, watched)
        assert (await following).versions == {watched: [2]}


async def test_lines_are_numbered_even_where_nobody_rings_and_one_transaction_stays_open(
    database_url: str, sessions: Sessions, feed: EventFeed
) -> None:
    parked_id, media_id = await add_library(sessions, 2)
    parked = await connect(database_url)
    try:
        start = await feed.position()
        async with parked.transaction():
            await change(parked, parked_id)
            await write(database_url, media_id)
            async with asyncio.timeout(5):
                assert [e.media_id for e in await next_batch(feed, start)] == [media_id]
        async with asyncio.timeout(5):
            received = await receive(feed, start, 2)
    finally:
        await parked.close()
    assert received.versions == {media_id: [2], parked_id: [2]}
    async with transaction(sessions) as session:
        unnumbered = select(MediaEvent).where(col(MediaEvent.position).is_(None))
        assert (await session.exec(unnumbered)).all() == []
