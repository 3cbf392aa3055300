"""Of bodies for one address the newest is received, once those before have ended."""

import asyncio
from datetime import timedelta

import pytest

from app.newest_body import NewestBody, SupersededError

HOUR = timedelta(hours=1)


class Bodies:
    """Tasks that receive; one that is ended takes until `room` is set to go."""

    def __init__(self) -> None:
        self.newest = NewestBody()
        self.received: set[str] = set()
        self.most = 0
        self.room = asyncio.Event()

    def begin(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._receive(name))

    async def _receive(self, name: str) -> None:
        async with self.newest.receiving("key", longest=HOUR):
            self.received.add(name)
            self.most = max(self.most, len(self.received))
            try:
                await asyncio.Event().wait()
            finally:
                await self.room.wait()
                self.received.remove(name)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_nobody_begins_before_the_one_that_was_ended_is_gone() -> None:
    bodies = Bodies()
    first = bodies.begin("first")
    await settle()
    second = bodies.begin("second")
    await settle()
    third = bodies.begin("third")
    await settle()
    assert bodies.received == {"first"}
    with pytest.raises(SupersededError):
        await second
    assert not first.done()
    bodies.room.set()
    with pytest.raises(SupersededError):
        await first
    await settle()
    assert (bodies.received, bodies.most) == ({"third"}, 1)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    assert bodies.newest._slots == {}


async def test_one_that_goes_away_while_it_waits_makes_room() -> None:
    bodies = Bodies()
    first = bodies.begin("first")
    await settle()
    second = bodies.begin("second")
    await settle()
    second.cancel()
    third = bodies.begin("third")
    bodies.room.set()
    with pytest.raises(SupersededError):
        await first
    await settle()
    assert bodies.received == {"third"}
    third.cancel()
    await asyncio.gather(second, third, return_exceptions=True)
    assert bodies.newest._slots == {}


async def test_one_that_takes_too_long_is_ended_by_its_time() -> None:
    newest = NewestBody()
    with pytest.raises(TimeoutError):
        async with newest.receiving("key", longest=timedelta(seconds=0.01)):
            await asyncio.Event().wait()
    async with newest.receiving("key", longest=HOUR):
        pass
    assert newest._slots == {}
