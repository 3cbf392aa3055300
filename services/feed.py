"""One tailer per process reads the event log; any number of followers share what it read.

A follower is a position and, while it waits, a future: it has no queue, so a slow one costs nothing. One
that fell behind the shared window reads the log itself until it has caught up.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from db.events import (
    NUMBERING_BATCH,
    LoggedEvent,
    LogPosition,
    LogState,
    log_state,
    number_events,
    read_events,
)
from db.reads import read_snapshot
from db.sessions import create_sessions
from pubsub.doorbell import Doorbell, Rings

log = structlog.get_logger(__name__)

#: Events kept in memory for all followers together.
WINDOW = 4096

#: Events a follower gets, or a statement reads, at once.
BATCH = 512

#: A lost ring costs this much.
POLL_SECONDS = 1.0

#: Between two looks: under a stream of writes their rings become one, and the process has time for others.
PAUSE_SECONDS = 0.005

#: One look at the log, numbering included; longer than a stopped process may hold the numbering lock.
ROUND_SECONDS = 15.0

MIN_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 2.0


class LogTruncatedError(Exception):
    """The log no longer reaches back to this place, or has become another log."""


class FeedStoppedError(Exception):
    """The process is shutting down: resume from the last cursor, here or elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStatus:
    """`position`: the last event read; `age_seconds`: since the log was last looked at with success."""

    position: int
    age_seconds: float


@dataclass(frozen=True, slots=True)
class _Page:
    """Events in order; nothing else that was asked for stands up to and including `through`."""

    events: Sequence[LoggedEvent]
    through: int


@dataclass(frozen=True, slots=True)
class _Interest:
    owner_id: UUID | None
    media_id: UUID | None

    @property
    def topic(self) -> UUID | None:
        """What wakes the follower: the narrower of the two; an id is never both an owner's and a media's."""
        return self.media_id or self.owner_id

    def holds(self, event: LoggedEvent) -> bool:
        return self.owner_id in (None, event.owner_id) and self.media_id in (None, event.media_id)


class _Window:
    """The last events of one log, without holes; the last of them stands at `place`."""

    def __init__(self, state: LogState, capacity: int) -> None:
        self.place = state.end
        self._capacity = capacity
        self._events: list[LoggedEvent] = []

    def append(self, events: Sequence[LoggedEvent]) -> None:
        self._events += events
        del self._events[: -self._capacity]
        self.place = LogPosition(epoch=self.place.epoch, position=events[-1].position)

    def page(self, after: LogPosition, interest: _Interest) -> _Page | None:
        """What follows `after`; None when that must be asked of the log itself."""
        start = self.place.position - len(self._events)
        if after.epoch != self.place.epoch or after.position < start:
            return None
        first = after.position - start
        events = self._events[first : first + BATCH]
        through = events[-1].position if events else after.position
        return _Page([event for event in events if interest.holds(event)], through)


#: Tells a follower that is woken for another reason than an event to look for itself.
_NOWHERE = LogPosition(epoch=UUID(int=0), position=0)


class EventFeed:
    """While it runs it keeps one connection of the engine's pool; `window` is in events."""

    def __init__(self, engine: AsyncEngine, doorbell: Doorbell, *, window: int = WINDOW) -> None:
        self._engine = engine
        self._sessions = create_sessions(engine)
        self._doorbell = doorbell
        self._capacity = window
        self._window: _Window | None = None
        self._waiting: dict[UUID | None, set[asyncio.Future[LogPosition]]] = {}
        self._stopped = False
        self._away = False
        self._looked_at = time.monotonic()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tail the log within this block; followers that are left at its end get FeedStoppedError."""
        async with self._doorbell.rings() as rings:
            tailer = asyncio.create_task(self._tail(rings), name="event feed")
            try:
                yield
            finally:
                self._stopped = True
                tailer.cancel()
                await asyncio.wait([tailer])
            self._wake_all()

    @property
    def status(self) -> FeedStatus:
        position = self._window.place.position if self._window else 0
        return FeedStatus(position=position, age_seconds=time.monotonic() - self._looked_at)

    async def state(self) -> LogState:
        """The log as it is committed now, read from the database."""
        return await read_snapshot(self._sessions, log_state)

    async def position(self) -> LogPosition:
        """The end of the log now: take it before rows are read, and following it misses no change of them."""
        return (await self.state()).end

    async def follow(
        self, after: LogPosition, *, owner_id: UUID | None = None, media_id: UUID | None = None
    ) -> AsyncGenerator[Sequence[LoggedEvent]]:
        """Every event after `after`, once, in the order of positions, in batches of at most 512; without end.

        Given an owner or a media, only their events. Raises LogTruncatedError when events after the place
        reached are no longer kept, or the database now holds another log.
        """
        interest = _Interest(owner_id, media_id)
        while not self._stopped:
            page = self._window.page(after, interest) if self._window else None
            shared = page is not None
            if page is None:
                page = await self._read(after, interest)
            if page.events:
                yield page.events
            if page.through > after.position:
                after = LogPosition(epoch=after.epoch, position=page.through)
            elif not self._stopped and (shared or self._window is None):
                # A window that was made while the log was read may hold what the log did not show yet, and
                # its waking is past: that is looked at first. From here to the waiting nothing else runs.
                passed = await self._news(interest.topic)
                if passed.epoch == after.epoch and passed.position > after.position:
                    after = passed
        raise FeedStoppedError

    async def _read(self, after: LogPosition, interest: _Interest) -> _Page:
        async def read_page(session: AsyncSession) -> tuple[LogState, list[LoggedEvent]]:
            state = await log_state(session)
            events = await read_events(
                session,
                after=after.position,
                limit=BATCH,
                owner_id=interest.owner_id,
                media_id=interest.media_id,
            )
            return state, events

        state, events = await read_snapshot(self._sessions, read_page)
        if not state.reaches(after):
            raise LogTruncatedError
        return _Page(events, events[-1].position if len(events) == BATCH else state.position)

    async def _news(self, topic: UUID | None) -> LogPosition:
        """Wait for an event on the topic; every event up to the position returned was on others."""
        woken: asyncio.Future[LogPosition] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(topic, set())
        waiting.add(woken)
        try:
            return await woken
        finally:
            waiting.discard(woken)
            if not waiting and self._waiting.get(topic) is waiting:
                del self._waiting[topic]

    def _wake(self, topics: Iterable[UUID | None], passed: LogPosition) -> None:
        for topic in topics:
            for woken in self._waiting.pop(topic, ()):
                if not woken.done():
                    woken.set_result(passed)

    def _wake_all(self) -> None:
        self._wake(list(self._waiting), _NOWHERE)

    async def _tail(self, rings: Rings) -> None:
        backoff = MIN_BACKOFF_SECONDS
        while True:
            try:
                async with self._engine.connect() as connection:
                    while True:
                        async with asyncio.timeout(ROUND_SECONDS):
                            unfinished = await self._look(connection)
                        self._report_back()
                        backoff = MIN_BACKOFF_SECONDS
                        if not unfinished:
                            await asyncio.sleep(PAUSE_SECONDS)
                            await rings.wait(POLL_SECONDS)
            except Exception:
                # The edge of the task that every stream hangs on: whatever it was, look again.
                self._report_away()
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)

    async def _look(self, connection: AsyncConnection) -> bool:
        """Number what has been committed and read what has been numbered; True when there may be more."""
        async with self._transaction(connection, "READ COMMITTED") as session:
            numbered = await number_events(session)
        if numbered:
            await self._doorbell.ring()
        async with self._transaction(connection, "REPEATABLE READ") as session:
            more = await self._advance(session)
        return more or numbered == NUMBERING_BATCH

    @asynccontextmanager
    async def _transaction(self, connection: AsyncConnection, isolation: str) -> AsyncIterator[AsyncSession]:
        await connection.execution_options(isolation_level=isolation)
        async with self._sessions(bind=connection) as session, session.begin():
            yield session

    async def _advance(self, session: AsyncSession) -> bool:
        state = await log_state(session)
        after = self._window.place if self._window else state.end
        if self._window is None or not state.reaches(after):
            self._window = _Window(state, self._capacity)
            self._wake_all()
            return False
        if state.position == after.position:
            return False
        events = await read_events(session, after=after.position, limit=BATCH)
        self._window.append(events)
        self._wake({topic for e in events for topic in (None, e.owner_id, e.media_id)}, after)
        return state.position > self._window.place.position

    def _report_away(self) -> None:
        if not self._away:
            log.warning("event_log_away", exc_info=True)
        self._away = True

    def _report_back(self) -> None:
        if self._away:
            log.info("event_log_back")
        self._away = False
        self._looked_at = time.monotonic()
