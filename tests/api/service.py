"""A running service: the real application on a real socket, over a database of its own.

Many users share it, because a user costs a row and a service costs a second. Everybody sees only what is
theirs, so each test acts as a user that nobody else knows.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from pydantic import SecretStr
from sqlalchemy import event, text
from starlette.types import ASGIApp, Receive, Scope, Send

from app.asgi import create_app
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from db.models import Role, User, new_id
from tests.serving import serve

#: Recognisable, so that a test can look for it in everything that was logged.
SECRET = "canary-secret-that-nobody-may-ever-see-4711"

#: An origin whose pages may use the API.
CORS_ORIGIN = "https://console.example.com"

#: Says on whose behalf a request comes. Only this test double of a gateway knows it.
VIEWER_HEADER = "x-test-viewer"

TABLES = (
    "blobs",
    "deletion_outbox",
    "media",
    "media_events",
    "media_tags",
    "pgqueuer",
    "processing_steps",
    "tags",
    "uploads",
)


@dataclass(slots=True)
class _Gateway:
    """Sends each request to the application whose viewer it names; unnamed ones to the local user's."""

    applications: dict[str, ASGIApp] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        viewer = headers.get(VIEWER_HEADER.encode(), b"").decode()
        await self.applications[viewer](scope, receive, send)


@dataclass(frozen=True, kw_only=True)
class Service:
    address: str
    runtime: Runtime
    gateway: _Gateway

    async def add_user(self, role: Role = Role.EDITOR) -> User:
        async with self.runtime.sessions.begin() as session:
            user = User(username=f"user-{new_id()}", role=role)
            session.add(user)
        self.gateway.applications[str(user.id)] = create_app(replace(self.runtime, viewer=user))
        return user

    async def row_counts(self) -> dict[str, int]:
        """How many rows each table has, whoever owns them."""
        counts = ", ".join(f'(SELECT count(*) FROM "{table}") AS {table}' for table in TABLES)
        async with self.runtime.engine.connect() as connection:
            return dict((await connection.execute(text(f"SELECT {counts}"))).mappings().one())

    async def execute(self, statement: str, **values: Any) -> None:
        """For what no client can do, such as letting time pass."""
        async with self.runtime.engine.begin() as connection:
            await connection.execute(text(statement), values)

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The SQL statements that requests cause within the block, without those of background tasks."""
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if "trace_id" in structlog.contextvars.get_contextvars():
                seen.append(statement)

        engine = self.runtime.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(engine, "before_cursor_execute", note)


@asynccontextmanager
async def running_service(
    database_url: str, data_dir: Path, *, cors_origin: str = CORS_ORIGIN, **settings: Any
) -> AsyncIterator[Service]:
    """Serve without a worker: what is queued stays queued."""
    gateway = _Gateway()
    async with serve(lambda _: gateway, websockets=True) as address:
        chosen = Settings(
            _env_file=None,
            database_url=SecretStr(database_url),
            data_dir=data_dir,
            secret=SecretStr(SECRET),
            public_url=address,
            cors_origins=(cors_origin,),
            **settings,
        )
        async with open_runtime(chosen) as runtime, runtime.feed.running():
            gateway.applications[""] = create_app(runtime)
            yield Service(address=address, runtime=runtime, gateway=gateway)
