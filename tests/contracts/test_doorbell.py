"""What every doorbell keeps (pubsub/doorbell.py), whatever carries the rings."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from broadcaster import Broadcast, BroadcastBackend
from sqlalchemy import make_url

from pubsub.doorbell import Doorbell, Rings
from pubsub.postgres_doorbell import MAX_PENDING, PostgresDoorbell
from tests.contracts.proxy import Relay

MakeBackend = Callable[[], BroadcastBackend]


@pytest.fixture(params=["postgres"])
def make_backend(request: pytest.FixtureRequest) -> MakeBackend:
    """Backends on one server: what two processes would have."""
    match request.param:
        case "postgres":
            url: str = request.getfixturevalue("database_url")
            return lambda: PostgresDoorbell(url)
        case other:
            raise AssertionError(other)


async def absorb_first(rings: Rings) -> None:
    """Listening begins with one ring: what came before it was not heard."""
    assert await rings.wait(5)


async def test_a_ring_wakes_a_subscriber_of_another_process(make_backend: MakeBackend) -> None:
    async with (
        Broadcast(backend=make_backend()) as here,
        Broadcast(backend=make_backend()) as there,
        Doorbell(there).rings() as rings,
    ):
        await absorb_first(rings)
        assert not await rings.wait(0.2)
        await Doorbell(here).ring()
        assert await rings.wait(5)


async def test_a_ring_wakes_every_subscriber_of_its_own_process(make_backend: MakeBackend) -> None:
    async with Broadcast(backend=make_backend()) as broadcast:
        doorbell = Doorbell(broadcast)
        async with doorbell.rings() as one, doorbell.rings() as two:
            await absorb_first(one)
            await asyncio.sleep(0.1)
            await two.wait(0)
            await doorbell.ring()
            assert await one.wait(5)
            assert await two.wait(5)


async def test_rings_that_nobody_waited_for_are_one(make_backend: MakeBackend) -> None:
    async with Broadcast(backend=make_backend()) as broadcast:
        doorbell = Doorbell(broadcast)
        async with doorbell.rings() as rings:
            await absorb_first(rings)
            for _ in range(500):
                await doorbell.ring()
            await asyncio.sleep(0.3)
            assert await rings.wait(5)
            assert not await rings.wait(0.2)


async def test_another_channels_ring_is_not_heard(make_backend: MakeBackend) -> None:
    async with (
        Broadcast(backend=make_backend()) as broadcast,
        Doorbell(broadcast, "one").rings() as rings,
    ):
        await absorb_first(rings)
        await Doorbell(broadcast, "two").ring()
        assert not await rings.wait(0.3)


async def test_a_channel_can_be_left_and_joined_again(make_backend: MakeBackend) -> None:
    async with Broadcast(backend=make_backend()) as broadcast:
        doorbell = Doorbell(broadcast)
        for _ in range(3):
            async with doorbell.rings() as rings:
                await absorb_first(rings)
                await doorbell.ring()
                assert await rings.wait(5)


async def test_the_last_ring_before_a_clean_end_goes_out(make_backend: MakeBackend) -> None:
    async with Broadcast(backend=make_backend()) as there, Doorbell(there).rings() as rings:
        await absorb_first(rings)
        async with Broadcast(backend=make_backend()) as here, Doorbell(here).rings() as own:
            await absorb_first(own)
            await Doorbell(here).ring()
        assert await rings.wait(5)


async def terminate_doorbells(url: str) -> int:
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn)
    try:
        statement = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE application_name = 'darkroom doorbell' AND datname = current_database()"""
        return int(await connection.fetchval(statement))
    finally:
        await connection.close()


async def test_postgres_listens_again_after_its_connection_was_killed(database_url: str) -> None:
    async with Broadcast(backend=PostgresDoorbell(database_url)) as broadcast:
        doorbell = Doorbell(broadcast)
        async with doorbell.rings() as rings:
            await absorb_first(rings)
            assert await terminate_doorbells(database_url) == 1
            assert await rings.wait(5), "one ring for what was not heard meanwhile"
            assert not await rings.wait(0.3)
            await doorbell.ring()
            assert await rings.wait(5)


async def test_postgres_rings_kept_while_the_connection_was_away_go_out(database_url: str) -> None:
    async with (
        Broadcast(backend=PostgresDoorbell(database_url)) as here,
        Broadcast(backend=PostgresDoorbell(database_url)) as there,
        Doorbell(here).rings() as own,
        Doorbell(there).rings() as rings,
    ):
        await absorb_first(own)
        await absorb_first(rings)
        assert await terminate_doorbells(database_url) == 2
        await Doorbell(here).ring()
        assert await rings.wait(5)


async def test_postgres_publish_returns_at_once_while_the_server_is_away(tmp_path: Path) -> None:
    backend = PostgresDoorbell(f"postgresql+asyncpg://postgres@/postgres?host={tmp_path}")
    async with Broadcast(backend=backend) as broadcast:
        doorbell = Doorbell(broadcast)
        async with doorbell.rings() as rings:
            started = time.monotonic()
            for _ in range(100):
                await doorbell.ring()
            assert time.monotonic() - started < 3
            assert not await rings.wait(0.3)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 2


async def test_postgres_notices_a_half_open_connection(database_url: str, tmp_path: Path) -> None:
    async with Relay(database_url, tmp_path).running() as relay:
        backend = PostgresDoorbell(relay.url, probe_every=0.2, patience=0.3)
        async with (
            Broadcast(backend=PostgresDoorbell(database_url)) as there,
            Broadcast(backend=backend) as broadcast,
            Doorbell(broadcast).rings() as rings,
        ):
            await absorb_first(rings)
            relay.silent = True
            await Doorbell(there).ring()
            assert not await rings.wait(1)
            relay.silent = False
            assert await rings.wait(5)
            await asyncio.sleep(0.5)
            await rings.wait(0)
            await Doorbell(there).ring()
            assert await rings.wait(5)


async def test_postgres_keeps_a_bounded_number_of_different_rings(tmp_path: Path) -> None:
    backend = PostgresDoorbell(f"postgresql://postgres@/postgres?host={tmp_path}")
    for number in range(3 * MAX_PENDING):
        await backend.publish("progress", str(number))
    waiting = backend._to_send.take_all()
    assert len(waiting) == MAX_PENDING
    assert waiting[-1] == ("progress", str(3 * MAX_PENDING - 1))
