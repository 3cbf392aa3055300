"""The service that the model is compared with: the real schema over a real database, asked in GraphQL."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr
from sqlalchemy import text

from app.runtime import Runtime, open_runtime
from app.settings import Settings
from db.models import Role, User, new_id
from resolvers.context import RequestContext
from resolvers.root import schema
from tests.model.model import Filter, Told, Viewer
from tests.working import run_steps, settle_publications

Json = dict[str, Any]
Result = TypeVar("Result")

EVENTS = """
    subscription ($filter: MediaEventFilter) { mediaEvents(filter: $filter) {
      type mediaId version matches media { id version } } }
"""

#: Everything that an example made, and nothing of the schema's own.
FORGET = "TRUNCATE users, media, blobs, tags, idempotency_keys, publications, deletion_outbox CASCADE"


@dataclass
class Follower:
    """A stream from now on, and what it has sent, by media."""

    viewer: Viewer
    filter: Filter
    since: int
    received: dict[str, list[Told]] = field(default_factory=lambda: defaultdict(list))
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None


class Service:
    """Runs on a loop of its own, in turns with the test: nothing happens between two calls."""

    def __init__(self, runner: asyncio.Runner, runtime: Runtime) -> None:
        self._runner = runner
        self._runtime = runtime
        self._users: dict[Viewer, User] = {}

    def add(self, viewer: Viewer) -> None:
        self._runner.run(self._add(viewer))

    def forget_everything(self) -> None:
        self._users.clear()
        self._runner.run(self._execute(FORGET))

    def ask(self, viewer: Viewer, document: str, **variables: Any) -> Json:
        """The `data` of an answer without errors."""
        return self._runner.run(self._ask(viewer, document, variables))

    def follow(self, viewer: Viewer, filter: Filter, since: int) -> Follower:
        follower = Follower(viewer, filter, since)
        self._runner.run(self._follow(follower))
        return follower

    def wait_until_told(self, follower: Follower, number: int) -> None:
        """Until the stream has sent so many events; in vain, the comparison shows what is missing."""
        self._runner.run(self._wait(follower, number))

    def store(self, key: str, data: bytes) -> None:
        """As the client's PUT would."""
        self._runner.run(self._store(key, data))

    def work(self) -> None:
        """Do what is queued, as a worker would, until nothing is."""
        self._runner.run(self._work())

    def let_streams_catch_up(self) -> None:
        """Until nothing is on its way to them: what they have not sent by then, they don't send."""
        self._runner.run(self._catch_up())

    def unfollow(self, followers: list[Follower]) -> None:
        self._runner.run(self._unfollow(followers))

    async def _add(self, viewer: Viewer) -> None:
        role = Role.ADMIN if viewer.admin else Role.EDITOR
        async with self._runtime.sessions.begin() as session:
            self._users[viewer] = User(username=f"{viewer.name}-{new_id()}", role=role)
            session.add(self._users[viewer])

    async def _execute(self, statement: str) -> None:
        async with self._runtime.engine.begin() as connection:
            await connection.execute(text(statement))

    def _context(self, viewer: Viewer) -> RequestContext:
        return RequestContext(viewer=self._users[viewer], services=self._runtime.services)

    async def _ask(self, viewer: Viewer, document: str, variables: Json) -> Json:
        answer = await schema.execute(document, variables, context_value=self._context(viewer))
        assert not answer.errors, answer.errors
        data: Json = answer.data or {}
        return data

    async def _follow(self, follower: Follower) -> None:
        begun = asyncio.Event()
        follower.task = asyncio.create_task(self._receive(follower, begun))
        async with asyncio.timeout(10):
            await begun.wait()

    async def _receive(self, follower: Follower, begun: asyncio.Event) -> None:
        variables = {"filter": stream_filter(follower.filter)}
        context = self._context(follower.viewer)
        answers: Any = await schema.subscribe(EVENTS, variables, context_value=context)
        async for answer in answers:
            assert not answer.errors, answer.errors
            event = answer.data["mediaEvents"]
            if event["type"] == "CURSOR":
                begun.set()
                continue
            assert event["media"] is None or event["media"]["version"] >= event["version"]
            told = Told(
                type=event["type"],
                media_id=event["mediaId"],
                version=event["version"],
                matches=event["matches"],
            )
            follower.received[told.media_id].append(told)
            follower.news.set()

    async def _wait(self, follower: Follower, number: int) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                while sum(map(len, follower.received.values())) < number:
                    await follower.news.wait()
                    follower.news.clear()
        if follower.task is not None and follower.task.done():
            follower.task.result()

    async def _store(self, key: str, data: bytes) -> None:
        path = self._runtime.settings.data_dir / "sent"
        path.write_bytes(data)
        await self._runtime.store.put_file(key, path, content_type="image/png")

    async def _work(self) -> None:
        await run_steps(self._runtime)
        await settle_publications(self._runtime)

    async def _catch_up(self) -> None:
        for _ in range(1_000):
            if not await self._is_behind():
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)

    async def _is_behind(self) -> bool:
        unnumbered = text("SELECT EXISTS (SELECT FROM media_events WHERE position IS NULL)")
        async with self._runtime.engine.connect() as connection:
            if (await connection.execute(unnumbered)).scalar_one():
                return True
        return self._runtime.feed.status.position < (await self._runtime.feed.state()).position

    async def _unfollow(self, followers: list[Follower]) -> None:
        tasks = [follower.task for follower in followers if follower.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def stream_filter(filter: Filter) -> Json:
    tags = {"all": list(filter.tags_all), "any": filter.tags_any, "none": list(filter.tags_none)}
    status = None if filter.status is None else [filter.status]
    kind = None if filter.kind is None else [filter.kind]
    ids = None if filter.ids is None else sorted(filter.ids)
    return {"scope": filter.scope, "status": status, "kind": kind, "ids": ids, "tags": tags}


def list_filter(filter: Filter) -> Json:
    return {
        **stream_filter(filter),
        "visibility": filter.visibility,
        "search": filter.search,
        "createdAfter": moment(filter.created_after),
        "createdBefore": moment(filter.created_before),
        "metadata": filter.metadata,
    }


def moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


@asynccontextmanager
async def _running(database_url: str, data_dir: Path) -> AsyncIterator[Runtime]:
    settings = Settings(_env_file=None, database_url=SecretStr(database_url), data_dir=data_dir)
    async with open_runtime(settings) as runtime, runtime.feed.running():
        yield runtime


class Running:
    """`with Running(url, directory) as service`: in a test that is not a coroutine."""

    def __init__(self, database_url: str, data_dir: Path) -> None:
        self._opening = _running(database_url, data_dir)
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def __enter__(self) -> Service:
        return Service(self._runner, self._run(self._stack.enter_async_context(self._opening)))

    def __exit__(self, *_: object) -> None:
        self._run(self._stack.aclose())
        self._runner.close()

    def _run(self, main: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(main)
