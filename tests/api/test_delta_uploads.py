"""Files of which most is stored already: only what is missing is asked for, and only from who has it."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest
from sqlmodel import select

from db.models import BlobBlock
from services.dedup import Dedup
from services.parts import part_count, part_length, part_size
from tests.api.client import Client, Json
from tests.api.house import House, Opening, media
from tests.api.test_changes import DELETE
from tests.large_pictures import mark, write_tiff
from tests.storage_settings import storage_settings
from tests.working import collect, run_steps

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024**2
SIZE = 18 * MIB + 12_345
CHANGED = 2

REQUEST = """
    mutation ($input: RequestUploadInput!) { requestUpload(input: $input) {
      media { id status } userErrors { code message path }
      upload { id target { __typename ... on MultipartUploadTarget { partSize partCount missing } } } } }
"""
SIGN = """
    mutation ($id: ID!, $numbers: [Int!]!) { signUploadParts(uploadId: $id, numbers: $numbers) {
      parts { number method url headers { name value } } userErrors { code message } } }
"""


@dataclass(slots=True)
class Sent:
    """What went over the wire to the store: bytes of bodies, and the numbers of parts."""

    count: int = 0
    numbers: list[int] | None = None


def size_of(path: Path) -> int:
    return path.stat().st_size


def blocks(path: Path) -> Iterator[bytes]:
    size = size_of(path)
    with path.open("rb") as file:
        for number in range(1, part_count(size) + 1):
            yield file.read(part_length(size, number))


def claims(path: Path, **fields: object) -> Json:
    whole = hashlib.sha256()
    digests = []
    for block in blocks(path):
        whole.update(block)
        digests.append(hashlib.sha256(block).hexdigest())
    size = size_of(path)
    return {
        "filename": path.name,
        "mimeType": "image/tiff",
        "size": size,
        "sha256": whole.hexdigest(),
        "blocks": {"size": part_size(size), "sha256s": digests},
        **fields,
    }


async def request(client: Client, path: Path, **fields: object) -> Json:
    answer: Json = (await client.graphql(REQUEST, input=claims(path, **fields)))["requestUpload"]
    assert answer["userErrors"] == []
    return answer


async def upload(client: Client, path: Path, **fields: object) -> tuple[str, Sent]:
    """Send what is missing and finalize; the media's id, and what was sent."""
    answer = await request(client, path, **fields)
    sent = Sent(numbers=answer["upload"]["target"]["missing"])
    size, upload_id = size_of(path), answer["upload"]["id"]
    with path.open("rb") as file:
        for number in sent.numbers or []:
            signed = (await client.graphql(SIGN, id=upload_id, numbers=[number]))["signUploadParts"]
            assert signed["userErrors"] == []
            file.seek((number - 1) * part_size(size))
            body = file.read(part_length(size, number))
            response = await client.put(signed["parts"][0], body)
            assert response.status_code == 200, response.text
            sent.count += len(response.request.content)
    assert (await client.finalize(upload_id))["userErrors"] == []
    media_id: str = answer["media"]["id"]
    return media_id, sent


def change(path: Path, number: int) -> None:
    """Another mark in part `number`."""
    fd = os.open(path, os.O_RDWR)
    try:
        mark(fd, (number - 1) * part_size(size_of(path)) + 64, 4711)
    finally:
        os.close(fd)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.tiff"
    write_tiff(path, SIZE, stretch=part_size(SIZE))
    return path


async def stored_bytes(home: House, media_id: str) -> AsyncIterator[bytes]:
    address = (await media(home.anna, media_id))["download"]["url"]
    async with home.anna.http.stream("GET", address) as response:
        async for chunk in response.aiter_bytes():
            yield chunk


async def is_stored_as(home: House, media_id: str, path: Path) -> bool:
    stored, sent = hashlib.sha256(), hashlib.sha256()
    async for chunk in stored_bytes(home, media_id):
        stored.update(chunk)
    for block in blocks(path):
        sent.update(block)
    return stored.digest() == sent.digest()


async def send_and_change(home: House, path: Path) -> str:
    """Upload and process the file, then change one block of it; the media's id."""
    media_id, sent = await upload(home.anna, path)
    assert sent.count == size_of(path)
    await run_steps(home.runtime)
    change(path, CHANGED)
    return media_id


async def check_one_part_is_sent(home: House, path: Path) -> str:
    """The media of the changed file."""
    size = size_of(path)
    first = await send_and_change(home, path)
    second, sent = await upload(home.anna, path)
    assert sent == Sent(count=part_size(size), numbers=[CHANGED])
    await run_steps(home.runtime)
    for media_id in (first, second):
        shown = await media(home.anna, media_id)
        assert (shown["status"], len(shown["renditions"]) > 0) == ("READY", True)
    # What the service has hashed is what the file is.
    assert (shown["sha256"], shown["sha256Verified"]) == (claims(path)["sha256"], True)
    return second


async def test_of_a_changed_file_the_changed_part_is_sent(house: Opening, picture: Path) -> None:
    home = await house(multipart_bytes=5 * MIB)
    media_id = await check_one_part_is_sent(home, picture)
    assert await is_stored_as(home, media_id, picture)


async def test_on_s3_the_changed_part_is_sent_too(
    house: Opening, picture: Path, request: pytest.FixtureRequest
) -> None:
    async with storage_settings("ministack", request) as settings:
        home = await house(multipart_bytes=5 * MIB, **settings)
        media_id = await check_one_part_is_sent(home, picture)
        assert await is_stored_as(home, media_id, picture)


async def test_a_changed_end_of_another_length_is_sent_alone(house: Opening, picture: Path) -> None:
    """Longer by some bytes: the last part is another one, and all before it are the same."""
    home = await house(multipart_bytes=5 * MIB)
    await upload(home.anna, picture)
    await run_steps(home.runtime)
    with picture.open("ab") as file:
        file.write(b"more")
    second, sent = await upload(home.anna, picture)
    assert sent.numbers == [part_count(SIZE)]
    await run_steps(home.runtime)
    assert (await media(home.anna, second))["status"] == "READY"
    assert await is_stored_as(home, second, picture)


async def test_a_file_whose_parts_are_all_stored_is_finalized_straight_away(
    house: Opening, picture: Path
) -> None:
    """Not known as a whole, for its hash was not given."""
    home = await house(multipart_bytes=5 * MIB)
    await upload(home.anna, picture)
    await run_steps(home.runtime)
    second, sent = await upload(home.anna, picture, sha256=None)
    assert sent == Sent(count=0, numbers=[])
    await run_steps(home.runtime)
    assert (await media(home.anna, second))["status"] == "READY"
    assert len({blob.id for blob in await home.blobs() if blob.verified_at}) == 1


async def test_a_file_that_is_stored_as_a_whole_has_no_parts(house: Opening, picture: Path) -> None:
    home = await house(multipart_bytes=5 * MIB)
    await upload(home.anna, picture)
    await run_steps(home.runtime)
    answer = await request(home.anna, picture)
    assert answer["upload"]["target"] == {"__typename": "StoredUploadTarget"}
    assert answer["media"]["status"] == "READY"


@pytest.mark.parametrize("dedup", list(Dedup))
async def test_nobody_gets_parts_of_what_others_have(house: Opening, picture: Path, dedup: Dedup) -> None:
    home = await house(multipart_bytes=5 * MIB, dedup=dedup)
    await send_and_change(home, picture)
    answer = await request(home.bert, picture)
    assert answer["upload"]["target"]["missing"] == [1, 2, 3, 4]


async def test_parts_of_what_was_deleted_are_asked_for(anywhere_house: Opening, picture: Path) -> None:
    home = await anywhere_house(multipart_bytes=5 * MIB)
    await home.anna.graphql(DELETE, id=await send_and_change(home, picture))
    answer = await request(home.anna, picture)
    assert answer["upload"]["target"]["missing"] == [1, 2, 3, 4]
    await home.anna.abort(answer["upload"]["id"])
    await collect(home.runtime)
    assert await home.objects() == []
    async with home.runtime.sessions() as session:
        assert (await session.exec(select(BlobBlock))).all() == []


async def test_parts_that_were_sent_by_two_owners_are_known_to_both(house: Opening, picture: Path) -> None:
    home = await house(multipart_bytes=5 * MIB, dedup=Dedup.GLOBAL)
    await upload(home.anna, picture)
    await run_steps(home.runtime)
    await upload(home.bert, picture)
    await run_steps(home.runtime)
    assert len([blob for blob in await home.blobs() if blob.verified_at]) == 1
    change(picture, CHANGED)
    for owner in (home.anna, home.bert):
        answer = await request(owner, picture)
        assert answer["upload"]["target"]["missing"] == [CHANGED]


async def test_a_part_that_cannot_be_copied_is_asked_for(house: Opening, picture: Path) -> None:
    home = await house(multipart_bytes=5 * MIB)
    await send_and_change(home, picture)
    for key in await home.objects():
        await home.runtime.store.delete([key])
    answer = await request(home.anna, picture)
    assert answer["upload"]["target"]["missing"] == [1, 2, 3, 4]


@pytest.mark.parametrize("error", [OSError, RuntimeError])
async def test_whatever_keeps_parts_from_being_copied_keeps_no_request(
    house: Opening, picture: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    home = await house(multipart_bytes=5 * MIB)
    await send_and_change(home, picture)

    async def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(home.runtime.store, "copy_part", fail)
    answer = await request(home.anna, picture)
    assert answer["upload"]["target"]["missing"] == [1, 2, 3, 4]


@pytest.mark.slow
async def test_of_a_changed_large_file_one_part_is_sent(house: Opening, tmp_path: Path) -> None:
    """As large as files are that are sent in parts, or with DARKROOM_TEST_LARGE=1 a gibibyte."""
    size = 1024**3 if os.environ.get("DARKROOM_TEST_LARGE") == "1" else 200 * MIB
    path = tmp_path / "large.tiff"
    write_tiff(path, size, stretch=part_size(size))
    await check_one_part_is_sent(await house(), path)
