"""A whole service whose objects lie in a bucket: uploads, publishing, an outage, a backup and a restore."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import pictures
from tests.contracts.s3_relay import StoreRelay
from tests.ministack import aws_client, bucket
from tests.operations.bucket import bucket_settings
from tests.operations.commands import Operations
from tests.service.client import Answer, Client
from tests.service.conftest import StartService
from tests.service.service import Service

__all__ = ["bucket"]

pytestmark = pytest.mark.slow

RENDITIONS = "query ($id: ID!) { media(id: $id) { renditions { size url { url expiresAt } } } }"


@pytest.fixture
async def relay(ministack: str) -> AsyncIterator[StoreRelay]:
    async with StoreRelay(ministack).running() as relay:
        yield relay


@pytest.fixture
def settings(ministack: str, bucket: str, relay: StoreRelay) -> dict[str, Any]:
    """The service reaches the store by another name than its clients."""
    return bucket_settings(
        relay.endpoint,
        bucket,
        DARKROOM_S3_PUBLIC_ENDPOINT_URL=ministack,
        DARKROOM_S3_READ_TIMEOUT="1",
    )


@pytest.fixture
async def on_s3(data_dir: Path, start_service: StartService, settings: dict[str, Any]) -> Service:
    service = start_service(data_dir, **settings)
    await service.start()
    return service


async def published(client: Client, media_id: str) -> list[Answer]:
    async with asyncio.timeout(30):
        while True:
            renditions: list[Answer] = (await client.ask(RENDITIONS, id=media_id))["media"]["renditions"]
            if renditions and all(each["url"]["expiresAt"] is None for each in renditions):
                return renditions
            await asyncio.sleep(0.05)


async def test_a_picture_goes_from_the_client_to_the_bucket_and_back(
    on_s3: Service, ministack: str, bucket: str
) -> None:
    async with Client(on_s3.origin) as client:
        data = pictures.jpeg(640, 480)
        requested = await client.request_upload(data, mime_type="image/jpeg", visibility="PUBLIC")
        assert requested.url.startswith(f"{ministack}/{bucket}/")
        assert (await client.put(requested, data)).status_code == 200
        assert (await client.put(requested, data)).status_code == 412
        await client.finalize(requested)
        await client.becomes_ready(requested.media_id)
        for rendition in await published(client, requested.media_id):
            url = rendition["url"]["url"]
            assert url.startswith(f"{ministack}/{bucket}/public/")
            answer = await client.get(url)
            assert (answer.status_code, len(answer.content)) == (200, rendition["size"])
            assert answer.headers["cache-control"] == "public, max-age=86400, immutable"
    assert not (on_s3.data_dir / "objects").exists()
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{on_s3.origin}/objects/public/a")).status_code == 404


async def test_while_the_store_hangs_callers_are_told_and_afterwards_all_goes_on(
    on_s3: Service, relay: StoreRelay
) -> None:
    async with Client(on_s3.origin) as client, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        data = pictures.jpeg(320, 240)
        requested = await client.request_upload(data, mime_type="image/jpeg")
        assert (await client.put(requested, data)).status_code == 200
        relay.silent = True
        async with asyncio.timeout(60):
            while (await http.get(f"{on_s3.origin}/readyz")).json()["storage"]:
                await asyncio.sleep(0.5)
        # Signing goes on.
        await client.request_upload(data, mime_type="image/jpeg")
        relay.silent = False
        async with asyncio.timeout(60):
            while not (await http.get(f"{on_s3.origin}/readyz")).json()["storage"]:
                await asyncio.sleep(0.5)
        await client.finalize(requested)
        await client.becomes_ready(requested.media_id)


async def test_a_backup_says_that_it_holds_no_objects(
    on_s3: Service,
    operations: Operations,
    archive: Path,
    settings: dict[str, Any],
    start_service: StartService,
) -> None:
    async with Client(on_s3.origin) as client:
        media_id = await client.upload(pictures.jpeg(320, 240))
        await client.becomes_ready(media_id)
    refused = await operations.backup(on_s3.data_dir, archive, **settings)
    assert refused.code == 1
    assert "--database-only" in refused.stderr
    assert not archive.exists()
    said = await operations.backup(on_s3.data_dir, archive, "--database-only", **settings)
    assert said.code == 0, said.stderr
    assert "are NOT in it" in said.stdout

    fresh = operations.directory / "fresh"
    on_disk = await operations.restore(fresh, archive)
    assert on_disk.code == 1
    assert "DARKROOM_STORAGE_URL=s3://" in on_disk.stderr
    restored = await operations.restore(fresh, archive, "--json", **settings)
    assert restored.code == 0, restored.stderr
    assert restored.document["bucket"] == settings["DARKROOM_STORAGE_URL"].removeprefix("s3://")
    assert await on_s3.stop() == 0
    other = start_service(fresh, **settings)
    await other.start()
    async with Client(other.origin) as client:
        media = (await client.ask(RENDITIONS, id=media_id))["media"]
        for rendition in media["renditions"]:
            assert (await client.get(rendition["url"]["url"])).status_code == 200


async def test_an_archive_with_objects_goes_into_no_bucket(
    service: Service, operations: Operations, archive: Path, settings: dict[str, Any]
) -> None:
    only = await operations.backup(service.data_dir, archive, "--database-only")
    assert only.code == 1
    assert "saved with the database" in only.stderr
    assert (await operations.backup(service.data_dir, archive)).code == 0
    said = await operations.restore(operations.directory / "fresh", archive, **settings)
    assert said.code == 1
    assert "puts none into a bucket" in said.stderr


async def test_without_credentials_it_says_so_and_does_not_start(
    data_dir: Path, start_service: StartService, ministack: str, tmp_path: Path
) -> None:
    service = start_service(
        data_dir,
        DARKROOM_STORAGE_URL="s3://some-bucket",
        DARKROOM_S3_ENDPOINT_URL=ministack,
        AWS_EC2_METADATA_DISABLED="true",
        HOME=str(tmp_path),
    )
    service.launch()
    assert await service.ends() == 1
    assert "There are no credentials for the object store" in service.complaint()
    assert "Traceback" not in service.complaint()


async def test_a_bucket_that_is_missing_is_told_beneath_the_banner(
    data_dir: Path, start_service: StartService, ministack: str
) -> None:
    settings: dict[str, Any] = bucket_settings(ministack, "no-such-one")
    service = start_service(data_dir, **settings)
    service.launch()
    async with asyncio.timeout(60):
        while "doctor" not in service.stderr:
            assert service.is_alive(), service.stderr
            await asyncio.sleep(0.05)
    banner, _, beneath = service.stderr.partition("--watch\n\n")
    assert "Darkroom is ready." in banner
    assert beneath.startswith("The object store does not work: There is no bucket no-such-one at http://127")
    assert beneath.endswith(" See ./darkroom doctor.\n\n")
    assert await service.stop() == 0


@pytest.mark.parametrize(
    ("options", "kept"), [((), False), (("--apply",), True)], ids=["only looks", "applies"]
)
async def test_a_reconciliation_that_fails_says_what_stays_only_where_it_did_something(
    data_dir: Path, operations: Operations, ministack: str, options: tuple[str, ...], kept: bool
) -> None:
    settings = bucket_settings(ministack, "no-such-one", DARKROOM_DATA_DIR=str(data_dir))
    said = await operations.run("reconcile", *options, **settings)
    assert said.code == 1
    assert said.stderr.startswith("The object store failed: There is no bucket no-such-one at http://127")
    assert ("What was done before stays." in said.stderr) == kept


async def test_objects_of_the_tests_are_where_they_are_thought_to_be(
    on_s3: Service, ministack: str, bucket: str
) -> None:
    async with Client(on_s3.origin) as client:
        await client.becomes_ready(await client.upload(pictures.jpeg(320, 240)))
    async with aws_client(ministack, "s3") as s3:
        found = (await s3.list_objects_v2(Bucket=bucket))["Contents"]
    assert len(found) > 1
    assert not [each["Key"] for each in found if each["Key"].startswith(".darkroom")]
