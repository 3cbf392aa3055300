"""Chores of several workers at once: each is done once whenever it is due, by one of them."""

import asyncio
import sys
from collections import Counter as Count
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TypeAlias

import asyncpg
import pytest
from structlog.testing import CapturingLogger

from app import schedules
from app.embedded_postgres import asyncpg_dsn
from app.schedules import doing_chores
from services.housekeeping import Chore
from tests.corpus import CHECKOUT
from tests.services.ticks import EVERY_THREE_SECONDS, HOURLY, NAME, PERIOD, Counter

WORKERS = ("first", "second", "third")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    yield connection
    await connection.close()


async def start(stack: AsyncExitStack, database_url: str, counter: Counter) -> None:
    for worker in WORKERS:
        await stack.enter_async_context(doing_chores(database_url, [counter.chore(worker)]))


async def test_of_three_workers_one_does_a_chore_at_each_tick(database_url: str) -> None:
    counter = Counter()
    async with AsyncExitStack() as stack:
        await start(stack, database_url, counter)
        await counter.reaches(6)
    ticks = [tick for tick, _ in counter.runs]
    # The first was due because they started; it is followed by one run at each tick, none left out.
    assert ticks[1:] == list(range(ticks[1], ticks[1] + 5 * PERIOD, PERIOD))
    assert counter.most_at_once == 1


async def test_a_chore_that_takes_long_never_runs_beside_itself(database_url: str) -> None:
    counter = Counter(seconds=3.0)
    async with AsyncExitStack() as stack:
        await start(stack, database_url, counter)
        await counter.reaches(3)
    assert counter.most_at_once == 1


async def test_a_worker_that_starts_does_what_is_due_only_later(
    database_url: str, connection: Connection
) -> None:
    counter = Counter(due=HOURLY)
    async with doing_chores(database_url, [counter.chore("first")]):
        await counter.reaches(1)
    await connection.execute("UPDATE pgqueuer_schedules SET last_run = now() - interval '61 min'")
    async with AsyncExitStack() as stack:
        await start(stack, database_url, counter)
        await counter.reaches(2)
        await asyncio.sleep(1)
    assert len(counter.runs) == 2
    [next_run] = await connection.fetch("SELECT next_run FROM pgqueuer_schedules")
    assert (next_run["next_run"].minute, next_run["next_run"].second) == (0, 0)


async def test_workers_that_start_after_a_run_add_none(database_url: str, connection: Connection) -> None:
    counter = Counter(due=HOURLY)
    async with doing_chores(database_url, [counter.chore("first")]):
        await counter.reaches(1)
    await connection.execute("UPDATE pgqueuer_schedules SET last_run = now() - interval '3 s'")
    async with AsyncExitStack() as stack:
        await start(stack, database_url, counter)
        await asyncio.sleep(2)
    assert len(counter.runs) == 1


@pytest.mark.parametrize("seconds", [-10, 10])
async def test_workers_whose_clocks_differ_from_the_servers_keep_to_its_ticks(
    database_url: str, connection: Connection, seconds: int
) -> None:
    """By their own clocks a tick would come at another second for each of them."""
    for name in ("now", "clock_timestamp"):
        await connection.execute(
            f"CREATE FUNCTION public.{name}() RETURNS timestamptz LANGUAGE sql VOLATILE"
            f" AS $$SELECT pg_catalog.{name}() + interval '{seconds} s'$$"
        )
    database = await connection.fetchval("SELECT current_database()")
    await connection.execute(f'ALTER DATABASE "{database}" SET search_path = public, pg_catalog')
    counter = Counter()
    next_runs = set()
    async with AsyncExitStack() as stack:
        await start(stack, database_url, counter)
        for count in range(2, 5):
            await counter.reaches(count)
            await asyncio.sleep(0.1)
            next_runs.add(await connection.fetchval("SELECT next_run FROM pgqueuer_schedules"))
    assert [run.second % PERIOD for run in next_runs] == [0] * 3
    assert counter.most_at_once == 1


async def test_the_chore_of_a_killed_worker_is_taken_over(database_url: str, connection: Connection) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.services.hanging_chore", database_url),
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        counter = Counter()
        async with AsyncExitStack() as stack:
            await start(stack, database_url, counter)
            await asyncio.sleep(4)
            assert counter.runs == []
            process.kill()
            await process.wait()
            # As if it had been killed half a minute ago: so long a worker may be silent.
            await connection.execute("UPDATE pgqueuer_schedules SET heartbeat = now() - interval '31 s'")
            await counter.reaches(3)
        assert counter.most_at_once == 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_holder_that_only_stands_still_is_waited_for(
    database_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By PgQueuer's rules it may be taken over, and would go on beside its successor."""
    told = CapturingLogger()
    monkeypatch.setattr(schedules, "log", told)
    counter = Counter(seconds=12.0)
    async with AsyncExitStack() as stack:
        await start(stack, database_url, counter)
        await counter.reaches(1)
        async with asyncio.timeout(11):
            while not told.calls:
                await connection.execute("UPDATE pgqueuer_schedules SET heartbeat = now() - interval '31 s'")
                await asyncio.sleep(0.2)
        assert len(counter.runs) == 1
        await counter.reaches(2)
    assert "chore_held" in {call.args[0] for call in told.calls}
    assert counter.most_at_once == 1


async def test_a_lost_connection_ends_what_is_done_under_its_lock(
    database_url: str, connection: Connection
) -> None:
    counter = Counter(seconds=3600.0)
    async with doing_chores(database_url, [counter.chore("first")]):
        await counter.reaches(1)
        assert counter.at_once == 1
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND classid = x'63686f72'::int::oid AND granted"
        )
        async with asyncio.timeout(10):
            while counter.at_once:  # noqa: ASYNC110 - it counts and tells nobody
                await asyncio.sleep(0.01)
        await connection.execute("UPDATE pgqueuer_schedules SET heartbeat = now() - interval '31 s'")
        await counter.reaches(2)


async def test_a_chore_that_fails_is_done_again_and_holds_no_other_back(database_url: str) -> None:
    others, failures = Counter(), 0

    async def fail() -> int:
        nonlocal failures
        failures += 1
        raise RuntimeError("a defect")

    failing = Chore(name="failing", due=EVERY_THREE_SECONDS, work=fail)
    async with doing_chores(database_url, [failing, others.chore("first")]):
        await others.reaches(3)
        async with asyncio.timeout(10):
            while failures < 3:  # noqa: ASYNC110 - it counts and tells nobody
                await asyncio.sleep(0.01)


async def test_the_end_waits_for_a_chore_and_gives_it_free(database_url: str, connection: Connection) -> None:
    counter = Counter(seconds=1.0)
    async with doing_chores(database_url, [counter.chore("first")]):
        await counter.reaches(1)
    assert counter.at_once == 0
    [row] = await connection.fetch(
        "SELECT status, last_run FROM pgqueuer_schedules WHERE entrypoint = $1", NAME
    )
    assert row["status"] == "queued"
    assert row["last_run"] is not None
    assert Count(who for _, who in counter.runs) == {"first": 1}
