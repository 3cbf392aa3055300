"""Publishing by one whole service: from the upload to an address for everybody."""

import asyncio

import pytest

from tests import pictures
from tests.service.client import Answer, Client
from tests.service.service import Service

pytestmark = pytest.mark.slow

RENDITIONS = "query ($id: ID!) { media(id: $id) { renditions { mimeType size url { url expiresAt } } } }"
HIDE = """mutation ($id: ID!) { updateMedia(input: {id: $id, visibility: PRIVATE}) {
    media { visibility renditions { url { url expiresAt } } } userErrors { code } } }"""


async def published(client: Client, media_id: str) -> list[Answer]:
    """Its renditions, once their addresses last."""
    async with asyncio.timeout(30):
        while True:
            renditions: list[Answer] = (await client.ask(RENDITIONS, id=media_id))["media"]["renditions"]
            if renditions and all(each["url"]["expiresAt"] is None for each in renditions):
                return renditions
            await asyncio.sleep(0.05)


async def test_an_upload_that_is_to_be_public_is_served_unsigned_until_it_is_hidden(
    service: Service, client: Client
) -> None:
    media_id = await client.upload(pictures.jpeg(640, 480, gps=True), visibility="PUBLIC")
    await client.becomes_ready(media_id)
    renditions = await published(client, media_id)
    for rendition in renditions:
        assert "?" not in rendition["url"]["url"]
        answer = await client.get(rendition["url"]["url"])
        assert (answer.status_code, len(answer.content)) == (200, rendition["size"])
        assert answer.headers["content-type"] == rendition["mimeType"]
        assert answer.headers["cache-control"] == "public, max-age=86400, immutable"
        assert pictures.SECRET.encode() not in answer.content
    hidden = (await client.ask(HIDE, id=media_id))["updateMedia"]
    assert hidden["userErrors"] == []
    for rendition in renditions:
        assert (await client.get(rendition["url"]["url"])).status_code == 404
    for rendition in hidden["media"]["renditions"]:
        assert rendition["url"]["expiresAt"]
        assert (await client.get(rendition["url"]["url"])).status_code == 200
    assert not (service.data_dir / "objects" / "public").exists()


async def test_a_file_that_fails_is_never_public(service: Service, client: Client) -> None:
    media_id = await client.upload(pictures.cut(pictures.jpeg(640, 480)), visibility="PUBLIC")
    assert (await client.ends(media_id)).status == "FAILED"
    await client.becomes_ready(await client.upload(pictures.jpeg()))
    assert not (service.data_dir / "objects" / "public").exists()
