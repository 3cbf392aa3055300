"""A service of a test's own whose work is done when the test says so, and what its users do with files."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlmodel import col, select

from app.runtime import Runtime
from db.models import Blob, Media, ProcessingStep
from schema.ids import id_of
from tests.api.client import PICTURE, Client, Json
from tests.api.service import Service, running_service
from tests.postgres import create_database
from tests.working import run_steps

FACTS = """
    id version status kind mimeType detectedMimeType size sha256 sha256Verified readyAt
    details { ... on ImageDetails { width height animated thumbhash } }
    renditions { name size url { url expiresAt } } download { url }
"""
REQUEST = f"""
    mutation ($inputs: [RequestUploadInput!]!) {{ requestUploads(inputs: $inputs) {{
      media {{ {FACTS} }} userErrors {{ code message }}
      upload {{ id key status target {{ __typename
        ... on StoredUploadTarget {{ mediaId }}
        ... on SingleUploadTarget {{ method url headers {{ name value }} expiresAt }} }} }} }} }}
"""
MEDIA = f"query ($id: ID!) {{ media(id: $id) {{ {FACTS} }} }}"
LINES = "SELECT type, previous_status, status, tags FROM media_events WHERE media_id = :id ORDER BY id"
USED = "{ viewer { usedBytes } }"


@dataclass(frozen=True, kw_only=True)
class House:
    """A service of its own, whose work is done when the test says so, and two of its users."""

    service: Service
    anna: Client
    bert: Client

    @property
    def runtime(self) -> Runtime:
        return self.service.runtime

    async def blobs(self) -> list[Blob]:
        async with self.runtime.sessions() as session:
            return list((await session.exec(select(Blob).order_by(col(Blob.created_at)))).all())

    async def blob_of(self, media_id: str) -> UUID:
        async with self.runtime.sessions() as session:
            return (await session.get_one(Media, id_of(media_id, "Media"))).blob_id

    async def steps_of(self, media_id: str) -> dict[str, str]:
        statement = select(ProcessingStep).where(col(ProcessingStep.media_id) == id_of(media_id, "Media"))
        async with self.runtime.sessions() as session:
            return {step.name: step.status.value for step in (await session.exec(statement)).all()}

    async def run_at_once(self, name: str) -> int:
        """Run all queued steps of this name side by side; how many there were."""
        due = select(ProcessingStep).where(
            col(ProcessingStep.name) == name, col(ProcessingStep.status) == "QUEUED"
        )
        async with self.runtime.sessions() as session:
            steps = (await session.exec(due)).all()
        run = self.runtime.services.processing.run_step
        async with asyncio.TaskGroup() as tasks:
            for step in steps:
                tasks.create_task(run(step.id, expected_attempt=step.attempt, job_id=step.job_id or 0))
        return len(steps)

    async def objects(self) -> list[str]:
        return [entry.key async for entry in self.runtime.store.list("")]


Opening = Callable[..., Awaitable[House]]


@asynccontextmanager
async def opening(postgres_server: str, template: str, data_dir: Path) -> AsyncIterator[Opening]:
    """What opens a service with these settings, until the block ends."""
    async with AsyncExitStack() as stack:

        async def open(**settings: Any) -> House:
            url = await stack.enter_async_context(create_database(postgres_server, template))
            service = await stack.enter_async_context(running_service(url, data_dir, **settings))
            http = await stack.enter_async_context(
                httpx.AsyncClient(base_url=service.address, timeout=60, trust_env=False)
            )
            anna, bert = [Client(service=service, user=await service.add_user(), http=http) for _ in range(2)]
            return House(service=service, anna=anna, bert=bert)

        yield open


def claims(data: bytes = PICTURE, **fields: object) -> Json:
    return {
        "filename": "cat.jpg",
        "mimeType": "image/jpeg",
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        **fields,
    }


async def request(client: Client, *inputs: Json) -> list[Json]:
    answers: list[Json] = (await client.graphql(REQUEST, inputs=list(inputs)))["requestUploads"]
    assert [answer["userErrors"] for answer in answers] == [[] for _ in answers]
    return answers


async def send(client: Client, answer: Json, data: bytes = PICTURE) -> None:
    assert (await client.put(answer["upload"]["target"], data)).status_code == 200
    assert (await client.finalize(answer["upload"]["id"]))["userErrors"] == []


async def send_new(client: Client, data: bytes = PICTURE, **fields: object) -> str:
    """Request, PUT and finalize; the media's id."""
    [answer] = await request(client, claims(data, **fields))
    await send(client, answer, data)
    media_id: str = answer["media"]["id"]
    return media_id


async def media(client: Client, media_id: str) -> Json:
    found: Json = (await client.graphql(MEDIA, id=media_id))["media"]
    return found


async def original(client: Client, media_id: str) -> bytes:
    address = (await media(client, media_id))["download"]["url"]
    return (await client.http.get(address)).content


def kind_of_target(answer: Json) -> str:
    name: str = answer["upload"]["target"]["__typename"]
    return name


async def send_ready(home: House, data: bytes = PICTURE, **fields: object) -> str:
    """As `send_new` for Anna, and processed."""
    media_id = await send_new(home.anna, data, **fields)
    await run_steps(home.runtime)
    assert (await media(home.anna, media_id))["status"] == "READY"
    return media_id
