"""`examples/uppy` in a browser: Uppy sends straight to the store, whichever it is, and Darkroom signs."""

import hashlib
import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from app.worker import running_worker
from tests import pictures
from tests.api.service import Service, running_service
from tests.browser.chromium import Visitor, visitor
from tests.browser.uppy import ABORT, COMPLETE, CREATE, LIST_PARTS, WHOLE, Example, example_page, part
from tests.postgres import create_database
from tests.storage_settings import STORES, storage_settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024**2

SMALL = pictures.tiff(640, 480)

#: Four parts: TIFF says where its pixels lie, and nothing of what follows them.
LARGE = SMALL + random.Random(6).randbytes(17 * MIB - len(SMALL))

#: How the browser puts it.
CUT = "net::ERR_CONNECTION_RESET"

MEDIA = """{ mediaItems { nodes { filename status size sha256 sha256Verified failure { code }
  upload { status } } } }"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A service that nobody has used, and somebody at the example's page who may reach it and the store."""

    service: Service
    person: Visitor
    example: Example
    directory: Path

    def file(self, name: str, data: bytes) -> Path:
        """One on the person's own disk."""
        path = self.directory / name
        path.write_bytes(data)
        return path

    async def media(self) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=self.service.address, trust_env=False) as http:
            answer = (await http.post("/graphql", json={"query": MEDIA})).json()
        found: list[dict[str, Any]] = answer["data"]["mediaItems"]["nodes"]
        return found

    async def multiparts(self) -> list[str]:
        """The ids of the uploads in parts that the store holds unfinished."""
        return [each.upload_id async for each in self.service.runtime.store.list_multiparts("")]

    async def keeps(self, name: str, data: bytes) -> None:
        """One media, READY, of exactly these bytes."""
        assert await self.media() == [
            {
                "filename": name,
                "status": "READY",
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "sha256Verified": True,
                "failure": None,
                "upload": {"status": "COMPLETED"},
            }
        ]


@pytest_asyncio.fixture(loop_scope="session", params=STORES)
async def stage(
    request: pytest.FixtureRequest, chromium: Browser, postgres_server: str, template: str, tmp_path: Path
) -> AsyncIterator[Stage]:
    async with (
        create_database(postgres_server, template) as url,
        example_page() as page,
        storage_settings(request.param, request) as storage,
        running_service(url, tmp_path, cors_origin=page, multipart_bytes=8 * MIB, **storage) as service,
        running_worker(service.runtime),
        visitor(chromium, page, others=(service.address, *_origins(storage))) as person,
    ):
        example = await Example.opened(person.page, page, darkroom=service.address)
        directory = tmp_path / "person"
        directory.mkdir()
        yield Stage(service=service, person=person, example=example, directory=directory)
        assert person.foreign == []
        assert person.complaints == []


def _origins(storage: dict[str, Any]) -> tuple[str, ...]:
    return tuple(value for name, value in storage.items() if name == "s3_endpoint_url")


#: For what concerns no store.
on_disk = pytest.mark.parametrize("stage", ["disk"], indirect=True)


async def test_a_small_file_is_sent_by_one_put(stage: Stage) -> None:
    row = await stage.example.choose(stage.file("small.tif", SMALL))
    await row.says("Ready")
    await row.shows_a_picture()
    assert stage.example.signed == [WHOLE]
    assert stage.example.answers == [("PUT", 200)]
    await stage.keeps("small.tif", SMALL)


async def test_a_large_file_is_sent_in_parts_of_the_size_that_the_service_names(stage: Stage) -> None:
    shown = await stage.example.progress()
    row = await stage.example.choose(stage.file("large.tif", LARGE))
    await row.says("Ready")
    await row.shows_a_picture()
    assert stage.example.signed == [CREATE, *map(part, range(1, 5)), COMPLETE]
    assert stage.example.answers == [("POST", 200), *[("PUT", 200)] * 4, ("POST", 200)]
    await stage.keeps("large.tif", LARGE)
    seen = await shown()
    assert seen == sorted(seen)
    assert {5 * MIB, 10 * MIB, 15 * MIB, len(LARGE)} <= set(seen)
    assert await stage.multiparts() == []


async def test_a_paused_file_goes_on_with_the_parts_that_the_store_lacks(stage: Stage) -> None:
    async with stage.example.third_part_held() as held:
        row = await stage.example.choose(stage.file("large.tif", LARGE))
        await held.wait()
        await row.press("Pause")
        await row.says(re.compile(r"Paused at \d+ %"))
    await row.press("Resume")
    await row.says("Ready")
    begun = [CREATE, part(1), part(2), part(3)]
    assert stage.example.signed == [*begun, LIST_PARTS, part(3), part(4), COMPLETE]
    await stage.keeps("large.tif", LARGE)


async def test_a_connection_that_is_cut_for_long_costs_one_part(stage: Stage) -> None:
    async with stage.example.third_part_cut():
        row = await stage.example.choose(stage.file("large.tif", LARGE))
        await row.says("Network error during S3 request")
    assert {status for _, status in stage.example.answers} == {200}
    await row.press("Try again")
    await row.says("Ready")
    begun = [CREATE, part(1), part(2), part(3)]
    assert stage.example.signed == [*begun, LIST_PARTS, part(3), part(4), COMPLETE]
    await stage.keeps("large.tif", LARGE)
    stage.person.forgive(CUT)


async def test_a_lost_answer_to_the_completion_loses_nothing(stage: Stage) -> None:
    """The parts are an object already when Uppy asks again."""
    async with stage.example.answer_lost(r"[?&]uploadId=", "POST"):
        row = await stage.example.choose(stage.file("large.tif", LARGE))
        await row.says("Ready")
    await stage.keeps("large.tif", LARGE)
    # Uppy asks for a header of errors that not every store lets pages read.
    stage.person.forgive(CUT, "status of 404", "x-amz-error-code")


async def test_a_lost_answer_to_a_put_loses_nothing(stage: Stage) -> None:
    """The key is taken already when Uppy sends again."""
    async with stage.example.answer_lost(r"\.tif\?", "PUT", SMALL):
        row = await stage.example.choose(stage.file("small.tif", SMALL))
        await row.says("Ready")
    assert stage.example.answers == [("PUT", 412)]
    await stage.keeps("small.tif", SMALL)
    stage.person.forgive(CUT, "status of 412", "x-amz-error-code")


async def test_parts_of_another_size_are_refused_by_the_store_and_in_the_row(stage: Stage) -> None:
    await stage.example.page.evaluate(
        "uppy.getPlugin('AwsS3').setOptions({ getChunkSize: () => 6 * 2 ** 20 })"
    )
    row = await stage.example.choose(stage.file("large.tif", LARGE))
    await row.says(re.compile(r"S3 returned 4\d\d"))
    assert stage.example.signed == [CREATE, part(1)]
    await row.press("Cancel")
    await row.is_gone()
    assert await stage.multiparts() == []
    stage.person.forgive("status of 40", "x-amz-error-code")


async def test_a_cancelled_file_is_given_up_here_and_at_the_store(stage: Stage) -> None:
    async with stage.example.third_part_held() as held:
        row = await stage.example.choose(stage.file("large.tif", LARGE))
        await held.wait()
        assert len(await stage.multiparts()) == 1
        await row.press("Cancel")
        await row.is_gone()
    [media] = await stage.media()
    assert (media["status"], media["failure"], media["upload"]) == (
        "FAILED",
        {"code": "CANCELLED"},
        {"status": "ABORTED"},
    )
    assert await stage.multiparts() == []


async def test_uppy_aborts_by_itself_what_it_has_begun(stage: Stage) -> None:
    """As in a page that knows nothing but the callback."""
    async with stage.example.third_part_held() as held:
        row = await stage.example.choose(stage.file("large.tif", LARGE))
        await held.wait()
        await stage.example.page.evaluate("uppy.cancelAll()")
        await row.is_gone()
        await stage.example.answered("DELETE", 204)
    assert stage.example.signed[-1] == ABORT
    assert await stage.multiparts() == []


@on_disk
async def test_a_file_that_is_stored_already_is_not_sent(stage: Stage) -> None:
    row = await stage.example.choose(stage.file("small.tif", SMALL))
    await row.says("Ready")
    async with stage.example.answered_as_stored():
        row = await stage.example.choose(stage.file("again.tif", SMALL))
        await row.says("Ready")
        await row.shows_a_picture()
    assert stage.example.signed == [WHOLE]
    assert stage.example.answers == [("PUT", 200)]


@on_disk
async def test_many_files_at_once_are_each_told_of(stage: Stage) -> None:
    names = [f"{number}.jpg" for number in range(8)]
    files = [stage.file(name, pictures.jpeg(100 + number)) for number, name in enumerate(names)]
    for row in await stage.example.choose_all(files):
        await row.says("Ready")
    assert sorted(each["filename"] for each in await stage.media()) == names


@on_disk
async def test_what_is_refused_stands_in_its_row(stage: Stage) -> None:
    row = await stage.example.choose(stage.file("notes.txt", b"Words."))
    await row.says(re.compile("mimeType text/plain is not accepted"))
    await row.press("Cancel")
    await row.is_gone()
    assert await stage.media() == []
