"""The requests that a client such as Uppy makes by itself: real HTTP with S3's XML, on every backend."""

from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from storage.errors import InvalidKeyError
from storage.objects import MIN_PART_BYTES, MultipartRequest, SignedRequest
from tests.contracts.object_store import (
    FIVE_MINUTES,
    RunningStore,
    keys,
    multiparts,
    send_part,
    sign_get,
    stored_bytes,
    upload,
)

KEY = "0197/2026/11/20/film.mp4"
TYPE = "video/mp4"
S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
FIRST, LAST = b"f" * MIN_PART_BYTES, b"the last part"


def sign(
    running: RunningStore,
    request: MultipartRequest,
    upload_id: str | None,
    *,
    key: str = KEY,
    expires_in: timedelta = FIVE_MINUTES,
) -> SignedRequest:
    return running.store.sign_multipart_request(
        request, key, upload_id=upload_id, content_type=TYPE, expires_in=expires_in
    )


async def ask(running: RunningStore, signed: SignedRequest, body: str = "") -> httpx.Response:
    return await running.http.request(
        signed.method, signed.url, headers=signed.headers, content=body.encode() or None
    )


def texts(answer: httpx.Response, name: str) -> list[str]:
    """The texts of all elements of that name; S3's XML has its own namespace."""
    return [each.text or "" for each in ElementTree.fromstring(answer.content).iter(f"{S3}{name}")]


def completion(parts: dict[int, str]) -> str:
    """The body of CompleteMultipartUpload, as Uppy makes it: numbers and ETags."""
    lines = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag.replace(chr(34), '&quot;')}</ETag></Part>"
        for number, etag in parts.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<CompleteMultipartUpload xmlns="{S3[1:-1]}">{lines}</CompleteMultipartUpload>'
    )


async def create(running: RunningStore) -> str:
    answer = await ask(running, sign(running, MultipartRequest.CREATE, None))
    assert answer.status_code == 200, answer.text
    [upload_id] = texts(answer, "UploadId")
    return upload_id


async def begun(running: RunningStore) -> tuple[str, dict[int, str]]:
    """Begin as a client and send two parts; return the id and the ETags that were answered."""
    upload_id = await create(running)
    etags = {}
    for number, data in enumerate([FIRST, LAST], 1):
        answer = await send_part(running, KEY, upload_id, number, data, hashed=False)
        assert answer.status_code == 200
        etags[number] = answer.headers["etag"]
    return upload_id, etags


async def test_a_client_uploads_all_by_itself(running: RunningStore, tmp_path: Path) -> None:
    upload_id, etags = await begun(running)
    assert await multiparts(running) == [(KEY, upload_id)]
    listed = await ask(running, sign(running, MultipartRequest.LIST_PARTS, upload_id))
    assert listed.status_code == 200
    assert listed.headers["content-type"].partition(";")[0] in {"application/xml", "text/xml"}
    assert (texts(listed, "Key"), texts(listed, "UploadId")) == ([KEY], [upload_id])
    assert texts(listed, "PartNumber") == ["1", "2"]
    assert texts(listed, "Size") == [str(len(FIRST)), str(len(LAST))]
    assert texts(listed, "ETag") == list(etags.values())
    assert texts(listed, "IsTruncated") == ["false"]
    signed = sign(running, MultipartRequest.COMPLETE, upload_id)
    answer = await ask(running, signed, completion(etags))
    assert answer.status_code == 200
    info = await running.store.head(KEY)
    assert info is not None
    assert texts(answer, "ETag") == [f'"{info.etag}"']
    assert texts(answer, "Key") == [KEY]
    assert await stored_bytes(running, KEY, tmp_path) == FIRST + LAST
    assert await multiparts(running) == []


async def test_what_a_client_began_the_server_can_end(running: RunningStore, tmp_path: Path) -> None:
    upload_id, _ = await begun(running)
    parts = await running.store.list_parts(KEY, upload_id)
    await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == FIRST + LAST


async def test_a_client_aborts(running: RunningStore) -> None:
    upload_id, _ = await begun(running)
    assert (await ask(running, sign(running, MultipartRequest.ABORT, upload_id))).status_code == 204
    assert await multiparts(running) == []
    answer = await ask(running, sign(running, MultipartRequest.LIST_PARTS, upload_id))
    assert answer.status_code == 404


async def test_a_client_cannot_complete_where_the_key_is_taken(running: RunningStore, tmp_path: Path) -> None:
    upload_id, etags = await begun(running)
    await upload(running, KEY, b"was there before")
    signed = sign(running, MultipartRequest.COMPLETE, upload_id)
    assert (await ask(running, signed, completion(etags))).status_code == 412
    assert await stored_bytes(running, KEY, tmp_path) == b"was there before"
    assert len(await running.store.list_parts(KEY, upload_id)) == 2


@pytest.mark.parametrize("etags", [{1: '"0123456789abcdef0123456789abcdef"'}, {3: '"abc"'}])
async def test_parts_that_were_not_sent_complete_nothing(
    running: RunningStore, etags: dict[int, str]
) -> None:
    upload_id, _ = await begun(running)
    answer = await ask(running, sign(running, MultipartRequest.COMPLETE, upload_id), completion(etags))
    assert answer.status_code == 400
    assert await keys(running) == []


@pytest.mark.needs("refuses_empty_completions")
@pytest.mark.parametrize("body", ["", "no xml", "<CompleteMultipartUpload>", completion({})])
async def test_a_completion_that_says_nothing_completes_nothing(running: RunningStore, body: str) -> None:
    upload_id, _ = await begun(running)
    answer = await ask(running, sign(running, MultipartRequest.COMPLETE, upload_id), body)
    assert 400 <= answer.status_code < 500
    assert await keys(running) == []


@pytest.mark.needs("checks_requests")
@pytest.mark.parametrize("request_", list(MultipartRequest))
async def test_an_altered_or_expired_request_is_refused(
    running: RunningStore, request_: MultipartRequest
) -> None:
    upload_id, etags = await begun(running)
    about = None if request_ is MultipartRequest.CREATE else upload_id
    signed = sign(running, request_, about)
    with running.clock.back(timedelta(minutes=10)):
        expired = sign(running, request_, about)
    last = "A" if signed.url[-1] != "A" else "Q"
    for url in (
        expired.url,
        signed.url[:-1] + last,
        signed.url.replace("film.mp4", "other.mp4"),
        signed.url.replace(upload_id, upload_id[:-1] + ("0" if upload_id[-1] != "0" else "1")),
    ):
        if url == signed.url:  # CREATE has no id that could be exchanged
            continue
        wrong = SignedRequest(
            method=signed.method, url=url, headers=signed.headers, expires_at=signed.expires_at
        )
        assert (await ask(running, wrong, completion(etags))).status_code == 403
    assert await multiparts(running) == [(KEY, upload_id)]
    assert len(await running.store.list_parts(KEY, upload_id)) == 2
    assert await keys(running) == []


@pytest.mark.needs("checks_requests")
@pytest.mark.parametrize("request_", list(MultipartRequest))
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "HEAD"])
async def test_a_request_is_signed_for_its_method_only(
    running: RunningStore, request_: MultipartRequest, method: str
) -> None:
    upload_id, etags = await begun(running)
    signed = sign(running, request_, None if request_ is MultipartRequest.CREATE else upload_id)
    if method == signed.method:
        return
    wrong = SignedRequest(method=method, url=signed.url, headers=signed.headers, expires_at=signed.expires_at)
    assert 400 <= (await ask(running, wrong, completion(etags))).status_code < 500
    assert len(await running.store.list_parts(KEY, upload_id)) == 2
    assert await keys(running) == []


@pytest.mark.needs("checks_requests")
async def test_the_promised_headers_can_not_be_left_out(running: RunningStore) -> None:
    created = sign(running, MultipartRequest.CREATE, None)
    other_type = await running.http.post(
        created.url, headers={**created.headers, "Content-Type": "text/html"}
    )
    assert other_type.status_code == 403
    assert await multiparts(running) == []


async def test_a_multipart_request_lives_no_longer_than_asked(running: RunningStore) -> None:
    now = running.clock()
    signed = sign(running, MultipartRequest.CREATE, None)
    assert timedelta(minutes=5) <= signed.expires_at - now <= timedelta(minutes=5, seconds=2)


@pytest.mark.parametrize("key", ["", "/a", "public", "public/a"])
async def test_a_request_for_a_key_that_no_upload_may_have_is_refused(
    running: RunningStore, key: str
) -> None:
    with pytest.raises(InvalidKeyError):
        sign(running, MultipartRequest.CREATE, None, key=key)


@pytest.mark.parametrize("request_", list(MultipartRequest))
async def test_a_request_that_cannot_be_meant_is_a_value_error(
    running: RunningStore, request_: MultipartRequest
) -> None:
    with pytest.raises(ValueError, match="lives"):
        sign(
            running,
            request_,
            None if request_ is MultipartRequest.CREATE else "an-upload",
            expires_in=timedelta(0),
        )
    with pytest.raises(ValueError, match="upload"):
        sign(running, request_, "an-upload" if request_ is MultipartRequest.CREATE else None)


async def test_what_a_client_created_has_its_type(running: RunningStore) -> None:
    """As far as a store keeps types: a signed address says its own."""
    upload_id, etags = await begun(running)
    await ask(running, sign(running, MultipartRequest.COMPLETE, upload_id), completion(etags))
    answer = await running.http.get(sign_get(running, KEY, content_type="image/webp"))
    assert answer.headers["content-type"] == "image/webp"
