"""Stores whose signed addresses can overwrite: bytes are sent beside their place, and copied there once."""

import random
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from sqlmodel import col, select

from db.models import Blob, Media, Upload
from schema.ids import id_of
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


async def send_parts(client: Client, requested: Requested) -> None:
    signed: Json = await client.graphql(SIGN_PARTS, id=requested.upload_id, numbers=list(PARTS))
    for part in signed["signUploadParts"]["parts"]:
        assert (await client.put(part, PARTS[part["number"]])).status_code == 200


async def test_what_was_finalized_is_not_what_an_address_can_overwrite(client: Client) -> None:
    requested = await client.request()
    blob = await blob_of(client, requested)
    assert requested.key == f"staging/{blob.key}"
    assert (await client.put(requested.target)).status_code == 200
    assert await stored_bytes(client, blob.key) is None
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    assert await stored_bytes(client, blob.key) == PICTURE
    assert await stored_bytes(client, requested.key) is None

    # The address lives on and such a store takes it again; nobody reads there.
    assert (await client.put(requested.target)).status_code == 200
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    assert await stored_bytes(client, blob.key) == PICTURE


async def test_parts_are_put_together_beside_their_place_too(client: Client) -> None:
    requested = await client.request(FILE, filename="cat.tif", mimeType="image/tiff")
    await send_parts(client, requested)
    blob = await blob_of(client, requested)
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    assert await stored_bytes(client, blob.key) == FILE
    assert await stored_bytes(client, requested.key) is None


async def test_a_store_that_lost_the_answer_is_asked_again(client: Client) -> None:
    """Copied, and then the transaction failed: the next call finds it at its place."""
    requested = await client.request()
    assert (await client.put(requested.target)).status_code == 200
    blob = await blob_of(client, requested)
    store = client.service.runtime.store
    await store.copy(requested.key, blob.key, content_type="image/jpeg")
    await store.delete([requested.key])
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"


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
