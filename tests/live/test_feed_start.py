"""The first moments of a feed, when there is no window yet."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from db.events import LoggedEvent, LogPosition
from db.media import create_media
from db.sessions import Sessions, create_engine
from pubsub.doorbell import Doorbell
from services.feed import EventFeed, _Interest, _Page
from tests.live.writers import add_owner, media_row
from tests.serving import until


class HeldFeed(EventFeed):
    """Its first look at the log, for a follower, is handed over only when it is let go."""

    def hold(self) -> asyncio.Event:
        self._let_go, self.has_read = asyncio.Event(), asyncio.Event()
        return self._let_go

    async def _read(self, after: LogPosition, interest: _Interest) -> _Page:
        page = await super()._read(after, interest)
        self.has_read.set()
        await self._let_go.wait()
        return page


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


async def test_what_is_numbered_while_a_follower_first_reads_the_log_is_not_lost(
    engine: AsyncEngine, sessions: Sessions, doorbell: Doorbell
) -> None:
    owner_id = await add_owner(sessions)
    feed = HeldFeed(engine, doorbell)
    let_go = feed.hold()
    start = await feed.position()
    seen: list[LoggedEvent] = []

    async def follow() -> None:
        async for events in feed.follow(start, owner_id=owner_id):
            seen.extend(events)

    following = asyncio.create_task(follow())
    async with asyncio.timeout(15):
        await feed.has_read.wait()  # an empty log; now it is held
    async with sessions.begin() as session:
        await create_media(session, [(await media_row(sessions, owner_id), [])])
    async with feed.running():
        await until(lambda: feed.status.position > 0)  # the window is made
        let_go.set()
        await until(lambda: bool(seen))
        following.cancel()
    assert [event.version for event in seen] == [1]
