"""Sessions on the test's database, and processes' worth of doorbell and feed on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from broadcaster import Broadcast

from db.sessions import Sessions, create_engine, create_sessions
from pubsub.doorbell import Doorbell
from pubsub.postgres_doorbell import PostgresDoorbell
from services.feed import WINDOW, EventFeed

StartFeed = Callable[..., AbstractAsyncContextManager[EventFeed]]


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def doorbell(database_url: str) -> AsyncIterator[Doorbell]:
    async with Broadcast(backend=PostgresDoorbell(database_url)) as broadcast:
        yield Doorbell(broadcast)


@pytest.fixture
def start_feed(database_url: str, sessions: Sessions) -> StartFeed:
    """A feed with a doorbell and a pool of its own, like another process's."""

    @asynccontextmanager
    async def start(*, window: int = WINDOW, channel: str = "darkroom_events") -> AsyncIterator[EventFeed]:
        engine = create_engine(database_url)
        try:
            async with Broadcast(backend=PostgresDoorbell(database_url)) as broadcast:
                feed = EventFeed(engine, Doorbell(broadcast, channel), window=window)
                async with feed.running():
                    yield feed
        finally:
            await engine.dispose()

    return start


@pytest.fixture
async def feed(start_feed: StartFeed) -> AsyncIterator[EventFeed]:
    async with start_feed() as feed:
        yield feed
