"""Uploads from the announcement to PROCESSING, and every way in which one ends before that."""

import asyncio
import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from app.worker import running_worker
from storage.objects import ObjectInfo
from tests import pictures
from tests.api.client import PICTURE, REQUEST_UPLOAD, REQUEST_UPLOADS, Client, Json
from tests.api.conftest import OwnService

pytestmark = pytest.mark.asyncio(loop_scope="session")

TARGET = """
    query ($id: ID!) { node(id: $id) { ... on Upload {
      status target { ... on SingleUploadTarget { method url expiresAt headers { name value } } }
    } } }
"""
STATUS = "query ($id: ID!) { media(id: $id) { version status failure { code message retryable } } }"

VALID = {"filename": "cat.jpg", "mimeType": "image/jpeg", "size": 10}


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


async def status_of(client: Client, media_id: str) -> str:
    status: str = (await client.graphql(STATUS, id=media_id))["media"]["status"]
    return status


async def test_an_upload_that_was_sent_and_finalized_is_processed(client: Client) -> None:
    requested = await client.request(tags=["Summer Holiday"])
    assert (await client.put(requested.target)).status_code == 200
    assert await status_of(client, requested.media_id) == "UPLOADING"
    media = (await client.finalize(requested.upload_id))["media"]
    assert (media["id"], media["version"], media["status"]) == (requested.media_id, 2, "PROCESSING")


async def test_an_upload_is_ready_with_renditions_when_a_worker_runs(own: OwnService) -> None:
    async with running_worker(own.service.runtime):
        requested = await own.client.upload(pictures.jpeg(700, 500))
        async with own.client.socket() as socket:
            await socket.follow_until_ready(requested.media_id)
    text = """query ($id: ID!) { media(id: $id) {
        status detectedMimeType sha256 sha256Verified details { ... on ImageDetails { width height } }
        renditions { name width url { url } } download { url } upload { status target { __typename } } } }"""
    media = (await own.client.graphql(text, id=requested.media_id))["media"]
    assert (media["status"], media["detectedMimeType"]) == ("READY", "image/jpeg")
    assert media["details"] == {"width": 700, "height": 500}
    assert media["sha256Verified"]
    assert [rendition["width"] for rendition in media["renditions"]] == sorted(
        rendition["width"] for rendition in media["renditions"]
    )
    for address in [media["download"], *(rendition["url"] for rendition in media["renditions"])]:
        assert (await own.client.http.get(address["url"])).status_code == 200
    assert media["upload"] == {"status": "COMPLETED", "target": None}


async def test_finalize_twice_returns_the_same_media(client: Client) -> None:
    requested = await client.upload()
    before = await client.service.row_counts()
    media = (await client.finalize(requested.upload_id))["media"]
    assert (media["id"], media["version"], media["status"]) == (requested.media_id, 2, "PROCESSING")
    assert await client.service.row_counts() == before


async def test_finalize_many_times_at_once_changes_the_media_once(client: Client) -> None:
    requested = await client.request()
    await client.put(requested.target)
    answers = await asyncio.gather(*(client.finalize(requested.upload_id) for _ in range(5)))
    assert {answer["media"]["version"] for answer in answers} == {2}


async def test_finalize_before_the_bytes_are_there_says_so_and_may_be_repeated(client: Client) -> None:
    requested = await client.request()
    before = await client.service.row_counts()
    payload = await client.finalize(requested.upload_id)
    assert payload["media"] is None
    [error] = payload["userErrors"]
    assert (error["code"], error["path"]) == ("OBJECT_MISSING", ["uploadId"])
    assert "send the bytes" in error["message"]
    assert await client.service.row_counts() == before
    await client.put(requested.target)
    assert (await client.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"


async def test_finalize_after_abort_is_a_conflict(client: Client) -> None:
    requested = await client.request()
    await client.abort(requested.upload_id)
    [error] = (await client.finalize(requested.upload_id))["userErrors"]
    assert (error["__typename"], error["code"]) == ("ConflictError", "CONFLICT")
    assert (error["message"], error["currentVersion"]) == ("This upload was aborted.", 2)


async def test_an_aborted_upload_fails_its_media_as_cancelled(client: Client) -> None:
    requested = await client.request()
    upload = (await client.abort(requested.upload_id))["upload"]
    assert upload == {"id": requested.upload_id, "status": "ABORTED", "target": None}
    media = (await client.graphql(STATUS, id=requested.media_id))["media"]
    assert (media["version"], media["status"]) == (2, "FAILED")
    assert media["failure"] == {"code": "CANCELLED", "message": "The upload was aborted.", "retryable": False}


async def test_abort_twice_changes_the_media_once(client: Client) -> None:
    requested = await client.request()
    first = await client.abort(requested.upload_id)
    before = await client.service.row_counts()
    assert await client.abort(requested.upload_id) == first
    assert await client.service.row_counts() == before


async def test_abort_after_finalize_is_a_conflict(client: Client) -> None:
    requested = await client.upload()
    payload = await client.abort(requested.upload_id)
    assert payload["upload"] is None
    [error] = payload["userErrors"]
    assert (error["__typename"], error["currentVersion"]) == ("ConflictError", 2)
    assert await status_of(client, requested.media_id) == "PROCESSING"


async def test_stored_bytes_of_another_size_fail_the_media_for_good(client: Client) -> None:
    requested = await client.request(size=len(PICTURE) + 1)
    await store_directly(client, requested.key, PICTURE)
    payload = await client.finalize(requested.upload_id)
    [error] = payload["userErrors"]
    assert error["code"] == "SIZE_MISMATCH"
    assert f"{len(PICTURE):,} bytes" in error["message"]
    assert await status_of(client, requested.media_id) == "FAILED"
    assert await client.finalize(requested.upload_id) == payload


async def test_an_address_that_expired_is_signed_anew(client: Client) -> None:
    requested = await client.request()
    short_lived = client.service.runtime.store.sign_put(
        requested.key,
        content_type="image/jpeg",
        byte_size=len(PICTURE),
        sha256=None,
        md5=None,
        expires_in=timedelta(milliseconds=1),
    )
    await asyncio.sleep(1.1)  # an address lives whole seconds
    expired = await client.put({**requested.target, "url": short_lived.url})
    assert (expired.status_code, expired.json()["error"]["code"]) == (403, "SIGNATURE_EXPIRED")
    target = (await client.graphql(TARGET, id=requested.upload_id))["node"]["target"]
    assert target["expiresAt"] > requested.target["expiresAt"]
    assert (await client.put(target)).status_code == 200


async def test_an_address_never_outlives_its_upload(client: Client) -> None:
    requested = await client.request()
    await let_time_pass(client, requested.key, "interval '24 hours' - interval '1 minute'")
    target = (await client.graphql(TARGET, id=requested.upload_id))["node"]["target"]
    assert target["expiresAt"] < requested.target["expiresAt"]


async def test_an_upload_that_ran_out_of_time_expires(client: Client) -> None:
    await client.service.runtime.services.upload_endings.expire()  # what other tests have left
    requested = await client.request()
    await let_time_pass(client, requested.key, "interval '25 hours'")
    [error] = (await client.finalize(requested.upload_id))["userErrors"]
    assert error["code"] == "UPLOAD_EXPIRED"
    assert await client.service.runtime.services.upload_endings.expire() == 1
    media = (await client.graphql(STATUS, id=requested.media_id))["media"]
    assert (media["version"], media["status"], media["failure"]["code"]) == (2, "FAILED", "UPLOAD_EXPIRED")
    assert (await client.graphql(TARGET, id=requested.upload_id))["node"] == {
        "status": "EXPIRED",
        "target": None,
    }
    assert await client.service.runtime.services.upload_endings.expire() == 0


async def test_a_second_put_does_not_overwrite_the_first(client: Client) -> None:
    requested = await client.request()
    assert (await client.put(requested.target)).status_code == 200
    assert (await client.put(requested.target, bytes(len(PICTURE)))).status_code == 412


async def test_bytes_with_another_hash_than_was_announced_are_not_stored(client: Client) -> None:
    claimed = hashlib.sha256(PICTURE).hexdigest()
    requested = await client.request(sha256=claimed.upper(), md5=hashlib.md5(PICTURE).hexdigest())
    refused = await client.put(requested.target, bytes(len(PICTURE)))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "CHECKSUM_MISMATCH")
    [error] = (await client.finalize(requested.upload_id))["userErrors"]
    assert error["code"] == "OBJECT_MISSING"
    assert (await client.put(requested.target)).status_code == 200


async def test_an_md5_is_sent_as_the_header_that_the_target_names(client: Client) -> None:
    digest = hashlib.md5(PICTURE)
    requested = await client.request(md5=digest.hexdigest())
    encoded = base64.b64encode(digest.digest()).decode()
    assert {"name": "Content-MD5", "value": encoded} in requested.target["headers"]


async def test_a_hundred_files_are_requested_in_one_call(client: Client) -> None:
    """One that is refused does not hold back the others."""
    inputs: list[Json] = [{**VALID, "filename": f"{number}.jpg"} for number in range(100)]
    inputs[41]["size"] = 0
    answers = (await client.graphql(REQUEST_UPLOADS, inputs=inputs))["requestUploads"]
    assert len(answers) == 100
    refused = answers.pop(41)
    assert (refused["media"], refused["upload"]) == (None, None)
    assert refused["userErrors"][0]["path"] == ["size"]
    assert [answer["media"]["filename"] for answer in answers] == [
        f"{number}.jpg" for number in range(100) if number != 41
    ]


async def test_a_batch_costs_the_same_few_statements_for_any_number_of_files(client: Client) -> None:
    counts = set()
    for number in (1, 10, 100):
        names = [f"{number} {each}" for each in range(number)]
        inputs = [{**VALID, "tags": ["cat", "dog"], "clientMutationId": name} for name in names]
        with client.service.statements() as statements:
            await client.graphql(REQUEST_UPLOADS, inputs=inputs)
        counts.add(len(statements))
    assert len(counts) == 1, counts
    assert max(counts) <= 12, counts


async def test_more_than_a_hundred_files_are_refused_together(client: Client) -> None:
    before = await client.service.row_counts()
    assert await client.refusal(REQUEST_UPLOADS, inputs=[VALID] * 101) == (
        "inputs must be at most 100, not 101."
    )
    assert await client.service.row_counts() == before


@pytest.mark.parametrize(
    ("field", "value", "code", "words"),
    [
        ("filename", "", "INVALID_INPUT", "1 to 255 characters, not 0"),
        ("filename", "x" * 300, "INVALID_INPUT", "1 to 255 characters, not 300"),
        ("filename", "../cat.jpg", "INVALID_INPUT", "path separator"),
        ("filename", "..\\cat.jpg", "INVALID_INPUT", "path separator"),
        ("filename", "..", "INVALID_INPUT", "must name a file"),
        ("filename", "cat\n.jpg", "INVALID_INPUT", "control characters"),
        ("filename", "cat\0.jpg", "INVALID_INPUT", "control characters"),
        ("filename", "cat\x1b[2J.jpg", "INVALID_INPUT", "control characters"),
        ("size", -1, "INVALID_INPUT", "at least 1 byte, not -1"),
        ("size", 0, "INVALID_INPUT", "at least 1 byte, not 0"),
        ("size", 6 * 10**12, "FILE_TOO_LARGE", "at most 5,368,709,120 bytes, not 6,000,000,000,000"),
        ("sha256", "ab" * 31, "INVALID_INPUT", "64 hexadecimal characters"),
        ("sha256", "xy" * 32, "INVALID_INPUT", "64 hexadecimal characters"),
        ("sha256", "", "INVALID_INPUT", "64 hexadecimal characters"),
        ("md5", "ab" * 17, "INVALID_INPUT", "32 hexadecimal characters"),
        ("mimeType", "jpeg", "INVALID_INPUT", "must look like image/jpeg"),
        ("mimeType", "image/jpeg; x=1", "INVALID_INPUT", "without parameters"),
        ("mimeType", "image/jpeg\r\nx: y", "INVALID_INPUT", "must look like image/jpeg"),
        ("mimeType", "video/mp4", "UNSUPPORTED_TYPE", "image/apng, image/avif, image/gif, image/heic"),
        ("metadata", {"a": "x" * 16 * 1024}, "INVALID_INPUT", "at most 16,384 bytes as JSON"),
        ("metadata", [1], "INVALID_INPUT", "must be a JSON object"),
        ("metadata", "text", "INVALID_INPUT", "must be a JSON object"),
        ("metadata", {"a": "x\0"}, "INVALID_INPUT", "NUL"),
        ("metadata", {"\0": 1}, "INVALID_INPUT", "NUL"),
        ("metadata", {"a": 2**70}, "INVALID_INPUT", "integers up to 64 bits"),
        ("metadata", {"a": nested(300)}, "INVALID_INPUT", "at most 250 levels"),
        ("tags", [f"tag {number}" for number in range(51)], "INVALID_INPUT", "at most 50, not 51"),
        ("tags", ["fine", ""], "INVALID_INPUT", "1 to 64 characters"),
        ("tags", ["fine", "x" * 65], "INVALID_INPUT", "1 to 64 characters"),
        ("tags", ["fine", "…"], "INVALID_INPUT", "a letter or a digit"),
        ("title", "x" * 301, "INVALID_INPUT", "at most 300 characters, not 301"),
        ("title", "a\nb", "INVALID_INPUT", "control characters"),
        ("description", "x" * 10_001, "INVALID_INPUT", "at most 10,000 characters, not 10,001"),
    ],
)
async def test_a_bad_field_is_named_with_its_limit_and_nothing_is_left(
    client: Client, field: str, value: Any, code: str, words: str
) -> None:
    before = await client.service.row_counts()
    payload = (await client.graphql(REQUEST_UPLOAD, input={**VALID, field: value}))["requestUpload"]
    assert (payload["media"], payload["upload"]) == (None, None)
    [error] = payload["userErrors"]
    assert (error["code"], error["path"]) == (code, [field])
    assert field in error["message"]
    assert words in error["message"]
    assert await client.service.row_counts() == before


async def test_all_bad_fields_are_reported_at_once(client: Client) -> None:
    bad = {"filename": "", "mimeType": "?", "size": 0, "sha256": "?", "md5": "?", "title": "\0"}
    bad |= {"description": "\0", "tags": [""], "metadata": 1}
    before = await client.service.row_counts()
    payload = (await client.graphql(REQUEST_UPLOAD, input=bad))["requestUpload"]
    assert [error["path"] for error in payload["userErrors"]] == [
        [field]
        for field in (
            "filename",
            "mimeType",
            "size",
            "sha256",
            "md5",
            "title",
            "description",
            "tags",
            "metadata",
        )
    ]
    assert await client.service.row_counts() == before


@pytest.mark.parametrize("field", ["filename", "title"])
async def test_a_lone_surrogate_is_no_text(client: Client, field: str) -> None:
    before = await client.service.row_counts()
    message = await client.refusal(REQUEST_UPLOAD, input={**VALID, field: "cat\ud800.jpg"})
    assert "Unable to parse request body as JSON" in message
    assert "surrogate" in message
    assert await client.service.row_counts() == before


@pytest.mark.parametrize(
    ("size", "words"), [(2**70, "from -9,223"), ("10", "must be an integer"), (1.5, "must")]
)
async def test_a_size_that_is_no_big_int_is_refused(client: Client, size: Any, words: str) -> None:
    message = await client.refusal(REQUEST_UPLOAD, input={**VALID, "size": size})
    assert "size" in message
    assert words in message


async def test_metadata_comes_back_as_it_was_sent(client: Client) -> None:
    metadata = {
        "large": 2**63 - 1,
        "float": 1.0,
        "int": 1,
        "true": True,
        "text": "ü\\u0000 🦊",
        "list": [None],
    }
    requested = await client.request(metadata=metadata)
    answer = await client.graphql("query ($id: ID!) { media(id: $id) { metadata } }", id=requested.media_id)
    assert repr(sorted(answer["media"]["metadata"].items())) == repr(sorted(metadata.items()))


async def test_an_infinite_number_in_a_document_is_refused(client: Client) -> None:
    text = REQUEST_UPLOAD.replace("$input: RequestUploadInput!", "$size: BigInt!").replace(
        "input: $input",
        'input: {filename: "a.gif", mimeType: "image/gif", size: $size, metadata: {a: 1e999}}',
    )
    [error] = (await client.graphql(text, size=1))["requestUpload"]["userErrors"]
    assert error["message"] == "metadata must not contain an infinite number."


async def test_tags_of_one_slug_are_one_tag(client: Client) -> None:
    answer = await client.graphql(
        REQUEST_UPLOAD, input={**VALID, "tags": ["Summer  Holiday", "summer-holiday", " SUMMER holiday "]}
    )
    assert answer["requestUpload"]["media"]["tags"] == [{"slug": "summer-holiday"}]


@pytest.mark.parametrize("id", ["", "nonsense", "🦊", "TWVkaWE6MQ==", "VXBsb2FkOjA=", "a" * 10_000])
async def test_an_id_that_no_upload_has_is_not_found(client: Client, id: str) -> None:
    for payload in (await client.finalize(id), await client.abort(id)):
        [error] = payload["userErrors"]
        assert (error["__typename"], error["path"]) == ("NotFoundError", ["uploadId"])


async def store_directly(client: Client, key: str, data: bytes) -> ObjectInfo:
    """As if the store had not held to what was signed."""
    runtime = client.service.runtime
    path = runtime.settings.data_dir / "planted"
    path.write_bytes(data)
    return await runtime.store.put_file(key, path, content_type="image/jpeg")


async def let_time_pass(client: Client, key: str, interval: str) -> None:
    await client.service.execute(
        f"UPDATE uploads SET expires_at = expires_at - ({interval}) WHERE key = :key", key=key
    )
