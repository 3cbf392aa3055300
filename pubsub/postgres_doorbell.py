"""Broadcaster's backend on LISTEN/NOTIFY: one connection of its own per process, kept alive by one task.

A NOTIFY takes a lock of the whole server until its commit is durable, so it never rides on a business
transaction: it is sent alone, from here, without waiting for the disk. LISTEN needs a session of its own:
a pooler in transaction mode breaks it.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog
from broadcaster import BroadcastBackend, Event
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

log = structlog.get_logger(__name__)

#: Different rings kept for a consumer or a server that is away; beyond it the oldest is forgotten.
MAX_PENDING = 1024

MIN_BACKOFF_SECONDS = 0.1
MAX_BACKOFF_SECONDS = 5.0

#: How long a clean shutdown may take to send the last rings.
FLUSH_SECONDS = 1.0

_NOTIFY = "SELECT pg_notify(channel, message) FROM unnest($1::text[], $2::text[]) AS ring (channel, message)"


class _ConnectionLost(Exception):
    """The server closed the doorbell's connection."""


class _Pending:
    """Rings that wait for somebody, each different one once, oldest first."""

    def __init__(self) -> None:
        self._rings: dict[tuple[str, str], None] = {}

    def __bool__(self) -> bool:
        return bool(self._rings)

    def add(self, channel: str, message: str) -> None:
        if len(self._rings) >= MAX_PENDING and (channel, message) not in self._rings:
            self.pop()
        self._rings[channel, message] = None

    def pop(self) -> tuple[str, str]:
        ring = next(iter(self._rings))
        del self._rings[ring]
        return ring

    def take_all(self) -> list[tuple[str, str]]:
        rings, self._rings = list(self._rings), {}
        return rings


class PostgresDoorbell(BroadcastBackend):
    """Listens and rings on the server of `url`, an SQLAlchemy URL.

    Nothing here raises because the server is away: listening resumes by itself, rings are late or lost.

    `probe_every`: seconds of silence after which the connection is asked whether it still lives.
    `patience`: seconds given to connecting and to each statement; together they bound how long a
    half-open connection goes unnoticed.
    """

    def __init__(self, url: str, *, probe_every: float = 5.0, patience: float = 5.0) -> None:
        # Read as SQLAlchemy reads it, so that one URL means the same server here and to the engine.
        dialect: Any = PGDialect_asyncpg  # untyped upstream
        _, self._server = dialect().create_connect_args(make_url(url))
        self._probe_every = probe_every
        self._patience = patience
        self._channels: set[str] = set()
        self._listening: set[str] = set()
        self._heard, self._to_send = _Pending(), _Pending()
        self._news, self._work, self._sent = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._sent.set()
        self._away = False
        self._keeper: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        self._keeper = asyncio.create_task(self._keep_connected(), name="postgres doorbell")

    async def disconnect(self) -> None:
        if self._keeper is None:
            return
        if not self._away:
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._sent.wait()
        self._keeper.cancel()
        await asyncio.wait([self._keeper])

    async def subscribe(self, group: str) -> None:
        self._channels.add(group)
        if group in self._listening:
            # Left and joined again before the server was told: still, rings between were not heard.
            self._hear(group, "")
        self._work.set()

    async def unsubscribe(self, group: str) -> None:
        self._channels.discard(group)
        self._work.set()

    async def publish(self, channel: str, message: Any) -> None:
        """Leave the ring with the connection's task: the caller waits for no network and no disk."""
        self._to_send.add(channel, message)
        self._sent.clear()
        self._work.set()

    async def next_published(self) -> Event:
        while not self._heard:
            self._news.clear()
            await self._news.wait()
        return Event(*self._heard.pop())

    def _hear(self, channel: str, message: str) -> None:
        self._heard.add(channel, message)
        self._news.set()

    async def _keep_connected(self) -> None:
        backoff = MIN_BACKOFF_SECONDS
        while True:
            try:
                async with self._connection() as connection:
                    backoff = MIN_BACKOFF_SECONDS
                    await self._serve(connection)
            except Exception as error:
                # The edge of a task that must outlive whatever the network does; asyncpg has three roots
                # of exceptions and adds OSError and TimeoutError to them.
                self._report_away(error)
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))
            backoff = min(backoff * 2, MAX_BACKOFF_SECONDS)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        async with asyncio.timeout(self._patience):
            connection = await asyncpg.connect(
                **self._server,
                server_settings={"application_name": "darkroom doorbell", "synchronous_commit": "off"},
            )
        connection.add_termination_listener(lambda _: self._work.set())
        try:
            yield connection
        finally:
            # No farewell: it would wait for a peer that may be gone.
            connection.terminate()

    async def _serve(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._listening.clear()
        while not connection.is_closed():
            self._work.clear()
            await self._listen(connection)
            self._report_back()
            await self._send(connection)
            if not await self._has_work():
                async with asyncio.timeout(self._patience):
                    await connection.execute("SELECT 1")
        raise _ConnectionLost

    async def _listen(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Make the server's list of channels ours, and ring what is new: earlier rings were not heard."""
        async with asyncio.timeout(self._patience):
            for channel in self._channels - self._listening:
                await connection.add_listener(channel, self._on_notify)
                self._listening.add(channel)
                self._hear(channel, "")
            for channel in self._listening - self._channels:
                self._listening.discard(channel)
                await connection.remove_listener(channel, self._on_notify)

    def _on_notify(self, connection: object, pid: int, channel: str, payload: object) -> None:
        self._hear(channel, str(payload))

    async def _send(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        # Taken before they are sent: a ring that comes while these are on their way is a new one.
        rings = self._to_send.take_all()
        try:
            if rings:
                channels, messages = zip(*rings, strict=True)
                async with asyncio.timeout(self._patience):
                    await connection.execute(_NOTIFY, channels, messages)
        except BaseException:
            for ring in rings:
                self._to_send.add(*ring)
            raise
        if not self._to_send:
            self._sent.set()

    async def _has_work(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._probe_every):
                await self._work.wait()
        return self._work.is_set()

    def _report_away(self, error: Exception) -> None:
        if not self._away:
            log.warning("doorbell_away", reason=repr(error))
        self._away = True

    def _report_back(self) -> None:
        if self._away:
            log.info("doorbell_back")
        self._away = False
