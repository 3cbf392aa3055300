"""Files in parts: sent in any order, by anybody who may, as often as it takes, until the store has all."""

import asyncio
import hashlib
import time
from collections import Counter as Count
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from app.asgi import create_app
from services import finalizing
from services.part_listings import AT_ONCE, PartListings
from storage.errors import StorageUnavailableError
from storage.objects import ObjectInfo, ObjectStore, SignedPut, StoredPart
from tests.api.client import Client, Json
from tests.api.house import House, Opening, media
from tests.api.test_changes import DELETE
from tests.large_pictures import write_tiff
from tests.working import collect, run_steps

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024**2
PART = 5 * MIB
SIZE = 2 * PART + 12_345

REQUEST = """
    mutation ($input: RequestUploadInput!) { requestUpload(input: $input) {
      media { id status } userErrors { code message path }
      upload { id target { __typename ... on MultipartUploadTarget { partSize partCount missing } }
        receivedParts { number } } } }
"""
SIGN = """
    mutation ($id: ID!, $numbers: [Int!]!) { signUploadParts(uploadId: $id, numbers: $numbers) {
      parts { number method url headers { name value } expiresAt } userErrors { code message path } } }
"""
UPLOAD = """
    query ($id: ID!) { node(id: $id) { ... on Upload { status receivedParts { number size sha256 }
      target { ... on MultipartUploadTarget { missing } } } } }
"""
FINALIZE = """
    mutation ($id: ID!) { finalizeUpload(uploadId: $id) { media { id status version }
      userErrors { __typename code message path ... on PartsMissingError { missing }
        ... on ChecksumMismatchError { expected actual } } } }
"""

FAILURE = "query ($id: ID!) { media(id: $id) { failure { code message } } }"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("parts") / "a.tiff"
    write_tiff(path, SIZE, stretch=PART)
    return path.read_bytes()


def part(data: bytes, number: int) -> bytes:
    return data[(number - 1) * PART : number * PART]


def hashes(data: bytes) -> list[str]:
    return [hashlib.sha256(part(data, number)).hexdigest() for number in (1, 2, 3)]


async def opened(house: Opening) -> House:
    return await house(multipart_bytes=PART)


async def request(client: Client, **fields: object) -> Json:
    claims = {"filename": "a.tiff", "mimeType": "image/tiff", "size": SIZE, **fields}
    answer: Json = (await client.graphql(REQUEST, input=claims))["requestUpload"]
    return answer


async def begin(client: Client, **fields: object) -> str:
    upload_id: str = (await request(client, **fields))["upload"]["id"]
    return upload_id


async def sign(client: Client, upload_id: str, *numbers: int) -> Json:
    answer: Json = (await client.graphql(SIGN, id=upload_id, numbers=list(numbers)))["signUploadParts"]
    return answer


async def send(client: Client, upload_id: str, data: bytes, *numbers: int) -> None:
    for signed in (await sign(client, upload_id, *numbers))["parts"]:
        assert (await client.put(signed, part(data, signed["number"]))).status_code == 200


async def upload_of(client: Client, upload_id: str) -> Json:
    found: Json = (await client.graphql(UPLOAD, id=upload_id))["node"]
    return found


async def finalize(client: Client, upload_id: str) -> Json:
    answer: Json = (await client.graphql(FINALIZE, id=upload_id))["finalizeUpload"]
    return answer


async def test_a_file_in_parts_becomes_ready(house: Opening, data: bytes) -> None:
    home = await opened(house)
    answer = await request(home.anna)
    target = answer["upload"]["target"]
    assert target == {
        "__typename": "MultipartUploadTarget",
        "partSize": PART,
        "partCount": 3,
        "missing": [1, 2, 3],
    }
    assert answer["upload"]["receivedParts"] == []
    upload_id = answer["upload"]["id"]
    await send(home.anna, upload_id, data, 3, 1, 2)
    assert (await upload_of(home.anna, upload_id))["target"] == {"missing": []}
    assert (await finalize(home.anna, upload_id))["userErrors"] == []
    assert (await upload_of(home.anna, upload_id))["receivedParts"] is None
    await run_steps(home.runtime)
    shown = await media(home.anna, answer["media"]["id"])
    assert (shown["status"], shown["sha256"]) == ("READY", hashlib.sha256(data).hexdigest())
    assert [each async for each in home.runtime.store.list_multiparts("")] == []


async def test_a_wrong_hash_of_a_file_in_parts_is_found_by_the_service(house: Opening, data: bytes) -> None:
    """No store hashes an object as a whole that came in parts."""
    home = await opened(house)
    announced, stored = "AB" * 32, hashlib.sha256(data).hexdigest()
    answer = await request(home.anna, sha256=announced)
    upload_id = answer["upload"]["id"]
    await send(home.anna, upload_id, data, 1, 2, 3)
    assert (await finalize(home.anna, upload_id))["userErrors"] == []
    await run_steps(home.runtime)
    failure = (await home.anna.graphql(FAILURE, id=answer["media"]["id"]))["media"]["failure"]
    told = {
        "__typename": "ChecksumMismatchError",
        **failure,
        "path": ["uploadId"],
        "expected": announced.lower(),
        "actual": stored,
    }
    for _ in range(2):
        assert await finalize(home.anna, upload_id) == {"media": None, "userErrors": [told]}


async def test_what_was_received_is_what_the_store_lists(house: Opening, data: bytes) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna)
    await send(home.anna, upload_id, data, 2)
    found = await upload_of(home.anna, upload_id)
    assert found["target"]["missing"] == [1, 3]
    [received] = found["receivedParts"]
    assert (received["number"], received["size"]) == (2, PART)
    answer = await finalize(home.anna, upload_id)
    assert answer["media"] is None
    [error] = answer["userErrors"]
    assert (error["__typename"], error["code"], error["missing"]) == (
        "PartsMissingError",
        "PARTS_MISSING",
        [1, 3],
    )


async def test_another_client_goes_on_where_the_first_one_ended(house: Opening, data: bytes) -> None:
    """On another device: nothing is known there but the media."""
    home = await opened(house)
    answer = await request(home.anna)
    await send(home.anna, answer["upload"]["id"], data, 1)
    async with httpx.AsyncClient(base_url=home.service.address, timeout=30, trust_env=False) as http:
        other = Client(service=home.service, user=home.anna.user, http=http)
        asked = "query ($id: ID!) { media(id: $id) { upload { id receivedParts { number } } } }"
        found = (await other.graphql(asked, id=answer["media"]["id"]))["media"]["upload"]
        assert found["receivedParts"] == [{"number": 1}]
        await send(other, found["id"], data, 2, 3)
        assert (await finalize(other, found["id"]))["userErrors"] == []
    await run_steps(home.runtime)
    assert (await media(home.anna, answer["media"]["id"]))["status"] == "READY"


async def test_an_address_is_signed_as_often_as_it_takes(house: Opening, data: bytes) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna)
    first, again = [(await sign(home.anna, upload_id, 1))["parts"][0] for _ in range(2)]
    for signed in (first, again, first):
        assert (await home.anna.put(signed, part(data, 1))).status_code == 200
    assert (await upload_of(home.anna, upload_id))["target"]["missing"] == [2, 3]


async def test_a_part_of_another_length_is_refused(house: Opening, data: bytes) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna)
    [signed] = (await sign(home.anna, upload_id, 3))["parts"]
    for body in (part(data, 3)[:-1], part(data, 3) + b"!"):
        assert (await home.anna.put(signed, body)).status_code == 400
    assert (await upload_of(home.anna, upload_id))["receivedParts"] == []


async def test_a_part_of_another_hash_than_claimed_is_refused(house: Opening, data: bytes) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna, blocks={"size": PART, "sha256s": hashes(data)})
    signed = {each["number"]: each for each in (await sign(home.anna, upload_id, 1, 2, 3))["parts"]}
    assert (await home.anna.put(signed[1], part(data, 2))).status_code == 400
    assert (await home.anna.put(signed[1], part(data, 1))).status_code == 200
    # One part's address does not take another part.
    assert (await home.anna.put(signed[2], part(data, 1))).status_code == 400
    assert (await upload_of(home.anna, upload_id))["target"]["missing"] == [2, 3]


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([], "numbers must be 1 to 100, not 0."),
        ([1] * 101, "numbers must be 1 to 100, not 101."),
        ([0], "numbers must be from 1 to 3, not 0."),
        ([4], "numbers must be from 1 to 3, not 4."),
    ],
)
async def test_numbers_that_there_are_no_parts_of_are_refused(
    house: Opening, numbers: list[int], message: str
) -> None:
    home = await opened(house)
    [error] = (await sign(home.anna, await begin(home.anna), *numbers))["userErrors"]
    assert (error["code"], error["message"], error["path"]) == ("INVALID_INPUT", message, ["numbers"])


async def test_parts_are_signed_for_their_owner_and_uploads_in_parts_alone(house: Opening) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna)
    [error] = (await sign(home.bert, upload_id, 1))["userErrors"]
    assert error["code"] == "NOT_FOUND"
    [error] = (await sign(home.anna, await begin(home.anna, size=PART), 1))["userErrors"]
    assert (error["code"], error["path"]) == ("INVALID_INPUT", ["uploadId"])


@pytest.mark.parametrize(
    ("blocks", "path", "message"),
    [
        (
            {"size": PART + 1, "sha256s": ["0" * 64] * 3},
            ["blocks", "size"],
            "blocks.size must be 5,242,880 bytes, the part size of this file, not 5,242,881.",
        ),
        (
            {"size": PART, "sha256s": ["0" * 64] * 2},
            ["blocks", "sha256s"],
            "blocks.sha256s must be 3, one for each block, not 2.",
        ),
        (
            {"size": PART, "sha256s": ["0" * 64, "0" * 64, "0" * 63]},
            ["blocks", "sha256s"],
            "blocks.sha256s must be SHA-256 digests of 64 hex digits.",
        ),
    ],
)
async def test_blocks_are_those_of_the_part_size(
    house: Opening, blocks: Json, path: list[str], message: str
) -> None:
    home = await opened(house)
    answer = await request(home.anna, blocks=blocks)
    assert answer["media"] is None
    [error] = answer["userErrors"]
    assert (error["code"], error["path"], error["message"]) == ("INVALID_INPUT", path, message)


async def test_finalized_at_once_by_many_it_is_finalized_once(house: Opening, data: bytes) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna)
    await send(home.anna, upload_id, data, 1, 2, 3)
    answers = await asyncio.gather(*[finalize(home.anna, upload_id) for _ in range(10)])
    assert [answer["userErrors"] for answer in answers] == [[]] * 10
    assert {(answer["media"]["status"], answer["media"]["version"]) for answer in answers} == {
        ("PROCESSING", 2)
    }
    counts = await home.service.row_counts()
    assert (counts["processing_steps"], counts["pgqueuer"]) == (2, 1)


@pytest.mark.parametrize("end", ["abort", "expire", "delete"])
async def test_parts_of_what_has_ended_are_forgotten(house: Opening, data: bytes, end: str) -> None:
    home = await opened(house)
    answer = await request(home.anna)
    upload_id = answer["upload"]["id"]
    await send(home.anna, upload_id, data, 1)
    [signed] = (await sign(home.anna, upload_id, 2))["parts"]
    match end:
        case "abort":
            await home.anna.abort(upload_id)
        case "expire":
            await home.service.execute("UPDATE uploads SET expires_at = now() - interval '1 second'")
            await home.runtime.services.upload_endings.expire()
        case _:
            await home.anna.graphql(DELETE, id=answer["media"]["id"])
            await collect(home.runtime)
    assert [each async for each in home.runtime.store.list_multiparts("")] == []
    assert (await home.anna.put(signed, part(data, 2))).status_code == 404
    [error] = (await sign(home.anna, upload_id, 2))["userErrors"]
    assert error["code"] == {"abort": "CONFLICT", "expire": "UPLOAD_EXPIRED", "delete": "NOT_FOUND"}[end]


async def test_parts_that_the_store_has_lost_are_sent_anew(house: Opening, data: bytes) -> None:
    """As when a lifecycle rule has aborted the store's own upload behind ours."""
    home = await opened(house)
    upload_id = await begin(home.anna)
    await send(home.anna, upload_id, data, 1, 2, 3)
    store = home.runtime.store
    for each in [each async for each in store.list_multiparts("")]:
        await store.abort_multipart(each.key, each.upload_id)
    [error] = (await finalize(home.anna, upload_id))["userErrors"]
    assert (error["code"], error["missing"]) == ("PARTS_MISSING", [1, 2, 3])
    await send(home.anna, upload_id, data, 1, 2, 3)
    assert (await finalize(home.anna, upload_id))["userErrors"] == []


async def test_blocks_that_are_not_as_claimed_are_a_failure_where_the_store_compares_none(
    house: Opening, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = await opened(house)
    store = home.runtime.store
    sign_part, list_parts, complete = store.sign_part, store.list_parts, store.complete_multipart

    def sign_without_hash(*args: Any, **options: Any) -> SignedPut:
        return sign_part(*args, **{**options, "sha256": None})

    async def list_without_hashes(key: str, upload_id: str) -> list[StoredPart]:
        return [replace(each, sha256=None) for each in await list_parts(key, upload_id)]

    async def complete_what_is_there(key: str, upload_id: str, _: object, **options: Any) -> ObjectInfo:
        return await complete(key, upload_id, await list_parts(key, upload_id), **options)

    monkeypatch.setattr(store, "complete_multipart", complete_what_is_there)
    monkeypatch.setattr(store, "sign_part", sign_without_hash)
    monkeypatch.setattr(store, "list_parts", list_without_hashes)
    claimed = hashes(data)
    for claims, status in ((claimed, "READY"), ([claimed[0], "0" * 64, claimed[2]], "FAILED")):
        answer = await request(home.bert, blocks={"size": PART, "sha256s": claims})
        await send(home.bert, answer["upload"]["id"], data, *answer["upload"]["target"]["missing"])
        assert (await finalize(home.bert, answer["upload"]["id"]))["userErrors"] == []
        await run_steps(home.runtime)
        assert (await media(home.bert, answer["media"]["id"]))["status"] == status
    failure = (await home.bert.graphql(FAILURE, id=answer["media"]["id"]))["media"]["failure"]
    assert failure["code"] == "CHECKSUM_MISMATCH"
    assert failure["message"] == (
        f"Block 2 of the stored file has the SHA-256 {claimed[1]}, and {'0' * 64} was announced."
    )
    assert (await finalize(home.bert, answer["upload"]["id"]))["userErrors"] == [
        {
            "__typename": "ChecksumMismatchError",
            **failure,
            "path": ["uploadId"],
            "expected": "0" * 64,
            "actual": claimed[1],
        }
    ]
    # Given up: one copy of the bytes is counted and kept.
    assert (await home.bert.graphql("{ viewer { usedBytes } }"))["viewer"]["usedBytes"] == SIZE
    await collect(home.runtime)
    kept = [each.key async for each in store.list("") if each.byte_size == SIZE]
    assert len(kept) == 1


async def test_a_store_that_takes_too_long_is_asked_again(
    house: Opening, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna)
    await send(home.anna, upload_id, data, 1, 2, 3)
    store = home.runtime.store
    complete = store.complete_multipart

    async def complete_slowly(*args: Any, **options: Any) -> ObjectInfo:
        await asyncio.sleep(60)
        return await complete(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(store, "complete_multipart", complete_slowly)
        patch.setattr(finalizing, "COMPLETION_SECONDS", 0.2)
        [error] = (await finalize(home.anna, upload_id))["userErrors"]
    assert error["code"] == "STORAGE_UNAVAILABLE"
    assert error["message"].startswith(f"The object store has not put {SIZE:,} bytes in their place within ")
    answer = await finalize(home.anna, upload_id)
    assert (answer["userErrors"], answer["media"]["status"]) == ([], "PROCESSING")


@pytest.mark.parametrize(
    ("size", "seconds"), [(1, 300), (9_000 * MIB, 300), (96_000 * MIB, 3_000), (5 * MIB * MIB, 163_840)]
)
async def test_a_large_object_may_be_put_together_for_longer(size: int, seconds: float) -> None:
    assert finalizing.completion_seconds(size) == seconds


async def test_an_object_of_another_size_is_a_failure(house: Opening, data: bytes, tmp_path: Path) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna)
    asked = "query ($id: ID!) { node(id: $id) { ... on Upload { key } } }"
    key: str = (await home.anna.graphql(asked, id=upload_id))["node"]["key"]
    (tmp_path / "small").write_bytes(b"small")
    await home.runtime.store.put_file(key, tmp_path / "small", content_type="image/tiff")
    [error] = (await finalize(home.anna, upload_id))["userErrors"]
    assert error["code"] == "SIZE_MISMATCH"


class Asked:
    """Of the store, only how many uploads it is asked to list, and how many at once."""

    def __init__(self, *, away: bool = False) -> None:
        self.listed: list[str] = []
        self.at_once = self.most_at_once = 0
        self._away = away

    async def list_parts(self, key: str, upload_id: str) -> list[StoredPart]:
        self.listed.append(key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        if self._away:
            raise StorageUnavailableError
        return []


async def asking(home: House, asked: Asked) -> Client:
    """Anna, whose queries ask `asked`."""
    listings = PartListings(store=cast(ObjectStore, asked))
    services = replace(home.runtime.services, part_listings=listings)
    runtime = replace(home.runtime, services=services, viewer=home.anna.user)
    home.service.gateway.applications[str(home.anna.user.id)] = create_app(runtime)
    return home.anna


async def test_a_query_lists_each_upload_once_a_level_however_often_it_asks(house: Opening) -> None:
    home = await opened(house)
    await asyncio.gather(*[begin(home.anna) for _ in range(20)])
    await home.service.execute("UPDATE uploads SET multipart_id = 'bound'")
    missing = "target { ... on MultipartUploadTarget { missing } }"
    aliases = " ".join(f"a{number}: {missing} b{number}: receivedParts {{ number }}" for number in range(10))
    asked = Asked()
    anna = await asking(home, asked)
    found = await anna.graphql(f"{{ mediaItems(first: 100) {{ nodes {{ upload {{ {aliases} }} }} }} }}")
    nodes = found["mediaItems"]["nodes"]
    assert [node["upload"]["a9"] for node in nodes] == [{"missing": [1, 2, 3]}] * 20
    assert [node["upload"]["b9"] for node in nodes] == [[]] * 20
    assert len(set(asked.listed)) == 20
    assert max(Count(asked.listed).values()) <= 2
    assert asked.most_at_once <= AT_ONCE


async def test_parts_that_cannot_be_listed_are_null_and_missing_is_an_error(house: Opening) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna)
    await home.service.execute("UPDATE uploads SET multipart_id = 'bound'")
    anna = await asking(home, Asked(away=True))
    received = "query ($id: ID!) { node(id: $id) { ... on Upload { receivedParts { number } } } }"
    assert (await anna.graphql(received, id=upload_id))["node"] == {"receivedParts": None}
    [error] = await anna.errors(UPLOAD, id=upload_id)
    assert error["message"] == "The object store does not answer: try again later."


async def test_a_query_writes_nothing_and_signing_lets_go_of_what_the_store_has_lost(
    house: Opening, data: bytes
) -> None:
    home = await opened(house)
    upload_id = await begin(home.anna)
    await send(home.anna, upload_id, data, 1)
    store = home.runtime.store
    for each in [each async for each in store.list_multiparts("")]:
        await store.abort_multipart(each.key, each.upload_id)
    with home.service.statements() as statements:
        assert (await upload_of(home.anna, upload_id))["target"]["missing"] == [1, 2, 3]
    assert [each for each in statements if not each.startswith("SELECT")] == []
    await send(home.anna, upload_id, data, 1, 2, 3)
    assert (await finalize(home.anna, upload_id))["userErrors"] == []


async def test_the_hashes_of_ten_thousand_blocks_pass_in_one_request(house: Opening) -> None:
    home = await house(multipart_bytes=PART, max_upload_bytes=10_000 * PART)
    blocks = {"size": PART, "sha256s": [f"{number:064x}" for number in range(10_000)]}
    began = time.monotonic()
    answer = await request(home.anna, size=10_000 * PART, blocks=blocks)
    assert time.monotonic() - began < 10
    assert answer["userErrors"] == []
    assert answer["upload"]["target"]["partCount"] == 10_000
