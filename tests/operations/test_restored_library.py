"""After a restore the library answers as before: public addresses, search, repeated requests, begun work."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests import pictures
from tests.operations.commands import Operations
from tests.service.client import Answer, Client
from tests.service.conftest import StartService
from tests.service.service import Service
from tests.service.test_publishing import HIDE, published

TAG = """mutation ($ids: [ID!]!) { tagMedia(mediaIds: $ids, tags: ["doomed"]) { userErrors { code } } }"""
TAGS = "{ tags(first: 10) { nodes { id slug } } }"
FOUND = """{ mediaItems(filter: {search: "lightho"}) { nodes { id } } }"""
REQUEST = """mutation ($input: RequestUploadInput!) { requestUpload(input: $input) {
    media { id } userErrors { code } } }"""

PICTURE = pictures.jpeg(640, 480)
CLAIMS: dict[str, Any] = {
    "sha256": hashlib.sha256(PICTURE).hexdigest(),
    "visibility": "PUBLIC",
    "clientMutationId": "once",
}

#: As a worker that was killed between the batches leaves it.
DOOM = "UPDATE tags SET deleted_at = now() - interval '5 minutes' WHERE slug = 'doomed' RETURNING id"
DOOMED = "SELECT id FROM tags WHERE slug = 'doomed'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """What was there when the backup was made; addresses without their origin."""

    shown: str
    shown_at: list[str]
    hidden_at: list[str]


async def test_what_was_public_is_public_again_at_its_address(
    service: Service, client: Client, operations: Operations, archive: Path, start_service: StartService
) -> None:
    library = await fill(service, client)
    assert (await operations.backup(service.data_dir, archive)).code == 0
    assert len(await service.fetch(DOOMED)) == 1  # its deletion had not ended when the backup was made
    assert await service.stop() == 0

    fresh = operations.directory / "fresh"
    assert (await operations.restore(fresh, archive)).code == 0
    assert not (fresh / "objects" / "public").exists()
    restored = start_service(fresh)
    await restored.start()
    async with Client(restored.origin) as reader:
        renditions = await published(reader, library.shown)
        assert paths(renditions) == library.shown_at
        for rendition in renditions:
            answer = await reader.get(rendition["url"]["url"])
            assert (answer.status_code, len(answer.content)) == (200, rendition["size"])
        assert await statuses(reader, library.hidden_at) == {404}

        found = (await reader.ask(FOUND))["mediaItems"]["nodes"]
        assert [media["id"] for media in found] == [library.shown]
        assert await request(reader) == library.shown
        await vanishes(restored)
        assert (await reader.ask(TAGS))["tags"]["nodes"] == []


async def fill(service: Service, client: Client) -> Library:
    shown = await client.upload(PICTURE, "lighthouse.jpg", "image/jpeg", **CLAIMS)
    assert await request(client) == shown
    hidden = await client.upload(pictures.jpeg(600, 400), visibility="PUBLIC")
    for media_id in (shown, hidden):
        await client.becomes_ready(media_id)
    hidden_at = paths(await published(client, hidden))
    await client.ask(HIDE, id=hidden)
    shown_at = paths(await published(client, shown))
    assert await statuses(client, shown_at) == {200}
    await client.ask(TAG, ids=[shown])
    await age_media(service)
    await service.fetch(DOOM)
    return Library(shown=shown, shown_at=shown_at, hidden_at=hidden_at)


async def age_media(service: Service) -> None:
    """Past the moment for which the chores leave a change to its job."""
    connection = await service.connect()
    await connection.execute(
        "UPDATE publications SET created_at = created_at - interval '5 minutes';"
        "UPDATE publication_changes SET at = at - interval '5 minutes'"
    )
    await connection.close()


async def request(client: Client) -> str:
    """The request of the shown media once more; the id of the media that it is answered with."""
    claimed = {"filename": "lighthouse.jpg", "mimeType": "image/jpeg", "size": len(PICTURE), **CLAIMS}
    answer: Answer = (await client.ask(REQUEST, input=claimed))["requestUpload"]
    assert answer["userErrors"] == []
    media_id: str = answer["media"]["id"]
    return media_id


def paths(renditions: list[Answer]) -> list[str]:
    return [urlsplit(rendition["url"]["url"]).path for rendition in renditions]


async def statuses(client: Client, addresses: list[str]) -> set[int]:
    return {(await client.get(client.origin + address)).status_code for address in addresses}


async def vanishes(service: Service) -> None:
    """The doomed tag, within a round of the chores and a job."""
    async with asyncio.timeout(30):
        while await service.fetch(DOOMED):
            await asyncio.sleep(0.1)
