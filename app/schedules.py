"""The chores on PgQueuer's schedules: of all workers one does each, once whenever it is due.

PgQueuer keeps a row for each chore. Whoever finds it due takes it, and says once a second that they are at
it; a chore whose holder has said nothing for 30 seconds may be taken over. That alone is not enough: a holder
that stood still might go on beside its successor, and the one's end would give the chore free while the other
is at it. So a chore is only done under an advisory lock, which belongs to the connection: it ends with the
process, and the server ends a connection that says nothing.
"""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

import asyncpg
import structlog
from croniter import croniter
from pgqueuer.core.executors import AbstractScheduleExecutor, ScheduleExecutor
from pgqueuer.db import AsyncpgDriver, Driver
from pgqueuer.models import CronExpressionEntrypoint, Schedule
from pgqueuer.queries import Queries
from pgqueuer.sm import SchedulerManager

from app.embedded_postgres import asyncpg_dsn
from services.housekeeping import Chore

log = structlog.get_logger()

#: The class of the advisory locks of chores ("chor" in ASCII).
_CHORES_LOCK = 0x63686F72

#: A tick that is nearer than this, or than a quarter of the time between two, is taken for the one that is
#: being done.
_SLACK = timedelta(seconds=5)

#: The server ends a connection that is silent for longer, and its locks with it. More than a minute, after
#: which the schedules are looked at again.
_SILENCE = timedelta(seconds=150)

_COMMAND_SECONDS = 30.0
_RECONNECT_SECONDS = (0.2, 5.0)

#: A chore that is being done when the end comes gets this long; it is done again at its next tick.
_DRAIN_SECONDS = 5.0

#: What nobody ever did, or nobody in the time between two ticks, does not wait for the next one.
_MAKE_DUE = """
    UPDATE pgqueuer_schedules SET next_run = now()
    FROM unnest($1::text[], $2::text[], $3::interval[]) AS chore (entrypoint, expression, period)
    WHERE pgqueuer_schedules.entrypoint = chore.entrypoint
        AND pgqueuer_schedules.expression = chore.expression
        AND status = 'queued' AND next_run > now() AND (last_run IS NULL OR last_run < now() - period)
"""


@asynccontextmanager
async def doing_chores(database_url: str, chores: Sequence[Chore]) -> AsyncIterator[None]:
    """Take part in doing the chores within this block; those that are overdue are due at once."""
    schedules = Schedules(database_url=database_url, chores=chores)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(schedules.keep(), name="chores")
        try:
            yield
        finally:
            await schedules.stop(task)


@dataclass(slots=True, kw_only=True)
class Schedules:
    database_url: str
    chores: Sequence[Chore]
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _manager: SchedulerManager | None = None
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def keep(self) -> None:
        """Until told to stop; losing the database ends a round and what is being done in it."""
        pause, longest = _RECONNECT_SECONDS
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            try:
                await self._keep_while_connected()
            except Exception as error:
                log.warning("schedules_lost_database", error=repr(error))
            if asyncio.get_running_loop().time() - began > longest:
                pause = _RECONNECT_SECONDS[0]
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, longest)

    async def stop(self, task: asyncio.Task[None]) -> None:
        """End `keep`, after a moment for the chores that are being done."""
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()
        await asyncio.wait([task], timeout=_DRAIN_SECONDS)
        self._cancel_running()
        await asyncio.wait([task], timeout=_DRAIN_SECONDS)
        task.cancel()

    def _cancel_running(self) -> None:
        for task in self._running.values():
            task.cancel()

    async def _keep_while_connected(self) -> None:
        connection = await asyncpg.connect(
            asyncpg_dsn(self.database_url),
            timeout=10,
            command_timeout=_COMMAND_SECONDS,
            server_settings={"idle_session_timeout": str(int(_SILENCE.total_seconds() * 1000))},
        )
        try:
            clock = _ServerClock()
            queries = _Queries(AsyncpgDriver(connection), clock=clock)
            manager = self._manager = SchedulerManager(queries)
            queries.executors = manager.registry
            for chore in self.chores:
                factory = partial(_Executor, clock=clock)
                manager.schedule(chore.name, chore.due, executor_factory=factory)(self._doing(chore))
            connection.add_termination_listener(lambda _: self._lose(manager))
            await clock.read(queries.driver)
            await queries.insert_schedule(queries.next_in())
            await queries.make_due()
            if not self._stopping.is_set():
                await manager.run()
        finally:
            self._manager = None
            self._cancel_running()
            connection.terminate()

    def _lose(self, manager: SchedulerManager) -> None:
        """The locks are gone with the connection: somebody else may be at it from now on."""
        manager.shutdown.set()
        self._cancel_running()

    def _doing(self, chore: Chore) -> Callable[[Schedule], Awaitable[None]]:
        async def do(schedule: Schedule) -> None:
            manager = self._manager
            if manager is None or chore.name in self._running:
                return
            # Noted before the first await: in our own session the lock could be had twice.
            task = self._running[chore.name] = asyncio.create_task(self._do_alone(chore, manager))
            try:
                await asyncio.wait([task])
            finally:
                task.cancel()
                del self._running[chore.name]
            if not task.cancelled() and (error := task.exception()) is not None:
                log.warning("chore_failed", chore=chore.name, exc_info=error)

        return do

    async def _do_alone(self, chore: Chore, manager: SchedulerManager) -> None:
        driver = manager.queries.driver
        lock = (_CHORES_LOCK, _lock_number(chore.name))
        [taken] = await driver.fetch("SELECT pg_try_advisory_lock($1::int, $2::int) AS taken", *lock)
        if not taken["taken"]:
            log.warning("chore_held", chore=chore.name)
            return
        try:
            await chore.do()
        finally:
            await driver.execute("SELECT pg_advisory_unlock($1::int, $2::int)", *lock)


class _ServerClock:
    """The database server's time: that of the workers' machines may differ, and each would have ticks of its
    own. Between two readings it goes on by this process's steady clock.
    """

    def __init__(self) -> None:
        self._read, self._read_at = datetime.now(UTC), time.monotonic()

    async def read(self, driver: Driver) -> None:
        [row] = await driver.fetch("SELECT clock_timestamp() AS now")
        self._read, self._read_at = cast(datetime, row["now"]), time.monotonic()

    def now(self) -> datetime:
        return self._read + timedelta(seconds=time.monotonic() - self._read_at)


@dataclass
class _Executor(ScheduleExecutor):
    clock: _ServerClock

    @property
    def period(self) -> timedelta:
        """Between the next tick and the one after it."""
        following, after = self._ticks(self.clock.now())
        return after - following

    def get_next(self) -> datetime:
        """The first tick that is not as good as here."""
        now = self.clock.now()
        following, after = self._ticks(now)
        return after if following - now < min(_SLACK, (after - following) / 4) else following

    def next_in(self) -> timedelta:
        return self.get_next() - self.clock.now()

    def _ticks(self, now: datetime) -> tuple[datetime, datetime]:
        ticks = croniter(self.parameters.expression, start_time=now)
        following, after = (datetime.fromtimestamp(ticks.get_next(), UTC) for _ in range(2))
        return following, after


@dataclass
class _Queries(Queries):
    """Reckons by the server's clock, which it reads whenever it asks for what is due."""

    clock: _ServerClock = field(kw_only=True)
    executors: Mapping[CronExpressionEntrypoint, AbstractScheduleExecutor] = field(
        default_factory=dict, kw_only=True
    )

    def next_in(self) -> dict[CronExpressionEntrypoint, timedelta]:
        return {key: executor.next_in() for key, executor in self.executors.items()}

    async def make_due(self) -> None:
        periods = {key: each.period for key, each in self.executors.items() if isinstance(each, _Executor)}
        names, expressions = [key.entrypoint for key in periods], [key.expression for key in periods]
        await self.driver.execute(_MAKE_DUE, names, expressions, list(periods.values()))

    async def fetch_schedule(self, entrypoints: dict[CronExpressionEntrypoint, timedelta]) -> list[Schedule]:
        await self.clock.read(self.driver)
        return await super().fetch_schedule(self.next_in())


def _lock_number(name: str) -> int:
    """32 bits with a sign, as PostgreSQL wants them."""
    return int.from_bytes(zlib.crc32(name.encode()).to_bytes(4), signed=True)
