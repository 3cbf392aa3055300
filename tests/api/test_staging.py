"""Stores whose signed addresses can overwrite: bytes are sent beside their place, and copied there once."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlmodel import col, select

from db.models import Blob, Media, MediaStatus, Upload
from schema.ids import id_of
from services.keys import copied_key, prefixes_of_blob
from services.upload_rows import find_upload
from storage.objects import ObjectInfo
from tests.api.client import PICTURE, Client, Json, Requested
from tests.api.service import Service, running_service
from tests.postgres import create_database
from tests.storage_settings import storage_settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024**2
FILE = random.Random(5).randbytes(6 * MIB)
PARTS = {1: FILE[: 5 * MIB], 2: FILE[5 * MIB :]}
OTHER = bytes(len(PICTURE))

SIGN_PARTS = """
    mutation ($id: ID!, $numbers: [Int!]!) { signUploadParts(uploadId: $id, numbers: $numbers) {
      parts { number method url headers { name value } } userErrors { message } } }
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(
    request: pytest.FixtureRequest,
    postgres_server: str,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Service]:
    async with (
        create_database(postgres_server, template) as url,
        storage_settings("ministack", request) as settings,
        running_service(
            url,
            tmp_path_factory.mktemp("staging"),
            s3_conditional_writes=False,
            multipart_bytes=5 * MIB,
            **settings,
        ) as service,
    ):
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.address, timeout=20, trust_env=False) as http:
        yield http


@pytest_asyncio.fixture(loop_scope="session")
async def client(service: Service, http: httpx.AsyncClient) -> Client:
    return Client(service=service, user=await service.add_user(), http=http)


async def blob_of(client: Client, requested: Requested) -> Blob:
    async with client.service.runtime.sessions() as session:
        statement = (
            select(Blob)
            .join(Media, col(Media.blob_id) == col(Blob.id))
            .where(col(Media.id) == id_of(requested.media_id, "Media"))
        )
        return (await session.exec(statement)).one()


async def stored_bytes(client: Client, key: str) -> bytes | None:
    store = client.service.runtime.store
    if await store.head(key) is None:
        return None
    return await store.read(key, offset=0, length=16 * MIB)


async def kept_keys(client: Client, requested: Requested) -> list[str]:
    """Of originals of the upload's media, where no address was signed for."""
    blob = await blob_of(client, requested)
    prefix, _ = prefixes_of_blob(blob.key)
    return [entry.key async for entry in client.service.runtime.store.list(prefix)]


@asynccontextmanager
async def slow_copies(client: Client) -> AsyncIterator[asyncio.Queue[asyncio.Event]]:
    """Each copy waits, with all that was looked at before it, until the event that it queues is set."""
    copying: asyncio.Queue[asyncio.Event] = asyncio.Queue()
    store = client.service.runtime.store
    copy = store.copy

    async def wait_and_copy(source: str, key: str, **options: Any) -> ObjectInfo:
        may_go_on = asyncio.Event()
        await copying.put(may_go_on)
        await may_go_on.wait()
        return await copy(source, key, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "copy", wait_and_copy)
        yield copying


async def send_parts(client: Client, requested: Requested) -> None:
    signed: Json = await client.graphql(SIGN_PARTS, id=requested.upload_id, numbers=list(PARTS))
    for part in signed["signUploadParts"]["parts"]:
        assert (await client.put(part, PARTS[part["number"]])).status_code == 200


async def test_what_was_finalized_is_not_what_an_address_can_overwrite(client: Client) -> None:
    requested = await client.request()
    asked = await blob_of(client, requested)
    assert requested.key == f"staging/{asked.key}"
    assert (await client.put(requested.target)).status_code == 200
    assert await kept_keys(client, requested) == []
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    blob = await blob_of(client, requested)
    assert await stored_bytes(client, blob.key) == PICTURE
    assert await stored_bytes(client, requested.key) is None

    # The address lives on and such a store takes it again; nobody reads there.
    assert (await client.put(requested.target)).status_code == 200
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    assert await stored_bytes(client, blob.key) == PICTURE


async def test_parts_are_put_together_beside_their_place_too(client: Client) -> None:
    requested = await client.request(FILE, filename="cat.tif", mimeType="image/tiff")
    await send_parts(client, requested)
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    blob = await blob_of(client, requested)
    assert await stored_bytes(client, blob.key) == FILE
    assert await stored_bytes(client, requested.key) is None


async def test_of_two_bodies_that_are_finalized_at_once_one_stays(client: Client) -> None:
    """The second call has looked at the second body, and copies it when the first one has been taken."""
    requested = await client.request()
    assert (await client.put(requested.target)).status_code == 200
    async with slow_copies(client) as copying:
        first = asyncio.create_task(client.finalize(requested.upload_id))
        first_copy = await copying.get()
        # Everybody has looked before anybody copies; the addresses of such a store take other bytes.
        assert (await client.put(requested.target, OTHER)).status_code == 200
        second = asyncio.create_task(client.finalize(requested.upload_id))
        second_copy = await copying.get()
        assert (await client.put(requested.target)).status_code == 200
        first_copy.set()
        assert (await first)["media"]["status"] == "PROCESSING"
        blob = await blob_of(client, requested)
        assert await stored_bytes(client, blob.key) == PICTURE
        assert (await client.put(requested.target, OTHER)).status_code == 200
        second_copy.set()
        assert (await second)["media"]["status"] == "PROCESSING"
    assert (await blob_of(client, requested)).key == blob.key
    assert await stored_bytes(client, blob.key) == PICTURE
    assert await kept_keys(client, requested) == [blob.key]


async def test_a_copy_that_comes_too_late_goes_with_the_media(client: Client) -> None:
    """Nobody waits for it any more, and the store makes it all the same."""
    requested = await client.upload()
    assert (await client.put(requested.target, OTHER)).status_code == 200
    blob = await blob_of(client, requested)
    store = client.service.runtime.store
    sent = await store.head(requested.key)
    assert sent is not None
    late = copied_key(requested.key, sent.etag)
    await store.copy(requested.key, late, content_type="image/jpeg")
    assert await stored_bytes(client, blob.key) == PICTURE
    assert await kept_keys(client, requested) == sorted([late, blob.key])
    media_id = id_of(requested.media_id, "Media")
    assert media_id is not None
    await client.service.runtime.services.library.delete(client.user, media_id)
    await client.service.execute("UPDATE deletion_outbox SET not_before = now()")
    await client.service.runtime.services.housekeeping.collect()
    assert [entry async for entry in store.list(f"{client.user.id}/")] == []
    assert await stored_bytes(client, requested.key) is None


async def test_who_comes_second_finds_what_the_first_one_has_finalized(client: Client) -> None:
    """Although the parts that the second one looks for are gone by then."""
    requested = await client.request(FILE, filename="cat.tif", mimeType="image/tiff")
    await send_parts(client, requested)
    upload_id = id_of(requested.upload_id, "Upload")
    assert upload_id is not None
    found = await find_upload(client.service.runtime.sessions, client.user, upload_id)
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    # As the second one has read them before the first one's transaction.
    media = await client.service.runtime.services.finalizing._finalize(*found)
    assert media.status is MediaStatus.PROCESSING


async def test_a_copy_whose_transaction_failed_is_made_again(client: Client) -> None:
    requested = await client.request()
    assert (await client.put(requested.target)).status_code == 200
    store = client.service.runtime.store
    sent = await store.head(requested.key)
    assert sent is not None
    copied = await store.copy(requested.key, copied_key(requested.key, sent.etag), content_type="image/jpeg")
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    assert (await blob_of(client, requested)).key == copied.key
    assert await kept_keys(client, requested) == [copied.key]


async def test_what_was_copied_and_never_taken_is_nothing(client: Client) -> None:
    """Nobody knows whose body that was: what counts is what lies where it was sent."""
    requested = await client.request()
    assert (await client.put(requested.target)).status_code == 200
    store = client.service.runtime.store
    await store.copy(requested.key, copied_key(requested.key, "some"), content_type="image/jpeg")
    await store.delete([requested.key])
    payload = await client.finalize(requested.upload_id)
    assert [error["code"] for error in payload["userErrors"]] == ["OBJECT_MISSING"]


async def test_what_was_sent_too_late_goes_with_the_media(client: Client) -> None:
    requested = await client.request()
    await client.put(requested.target)
    assert (await client.abort(requested.upload_id))["upload"]["status"] == "ABORTED"
    await client.service.execute("UPDATE deletion_outbox SET not_before = now()")
    await client.service.runtime.services.housekeeping.collect()
    assert await stored_bytes(client, requested.key) is None
    async with client.service.runtime.sessions() as session:
        statement = select(Upload.key).where(col(Upload.media_id) == id_of(requested.media_id, "Media"))
        assert (await session.exec(statement)).one() == requested.key
