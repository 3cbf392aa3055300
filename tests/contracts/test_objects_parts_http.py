"""Parts and S3's own requests on the wire: what exactly a client of the disk store is told."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import httpx
import pytest

from storage.objects import MAX_PARTS, MIN_PART_BYTES, MultipartRequest, SignedRequest, StoredPart
from tests.contracts.object_store import (
    FIVE_MINUTES,
    RunningDiskStore,
    begin_upload,
    running_disk_store,
    send,
    send_part,
    sign_get,
    sign_part,
    sign_put,
    upload,
    upload_parts,
)
from tests.contracts.test_disk_multipart import small_files as small_files
from tests.contracts.test_objects_http import answer, assert_error, with_url
from tests.serving import HttpParser, until

KEY = "0197/2026/11/20/film.mp4"
TYPE = "video/mp4"
DATA = bytes(range(256)) * 1200
FIRST = b"f" * MIN_PART_BYTES


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningDiskStore]:
    async with running_disk_store(tmp_path / "objects") as running:
        yield running


@pytest.fixture(params=get_args(HttpParser))
async def either_parser(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningDiskStore]:
    async with running_disk_store(tmp_path / "objects", parser=request.param) as running:
        yield running


async def begin(running: RunningDiskStore) -> str:
    return await running.store.create_multipart(KEY, content_type=TYPE, part_hashes=True)


async def parts_of(running: RunningDiskStore, upload_id: str) -> list[StoredPart]:
    return list(await running.store.list_parts(KEY, upload_id))


def sign(running: RunningDiskStore, request: MultipartRequest, upload_id: str | None) -> SignedRequest:
    return running.store.sign_multipart_request(
        request, KEY, upload_id=upload_id, content_type=TYPE, expires_in=FIVE_MINUTES
    )


async def complete(running: RunningDiskStore, upload_id: str, body: str | bytes) -> httpx.Response:
    signed = sign(running, MultipartRequest.COMPLETE, upload_id)
    return await running.http.post(signed.url, content=body, headers=signed.headers)


def completion(*parts: tuple[object, str]) -> str:
    lines = [f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts]
    return f"<CompleteMultipartUpload>{''.join(lines)}</CompleteMultipartUpload>"


def assert_xml_error(response: httpx.Response, status: int, code: str) -> None:
    """S3's form, as browsers' clients read it: they compare the whole Content-Type."""
    assert response.headers["content-type"] == "application/xml"
    assert response.headers["cache-control"] == "no-store"
    error = ElementTree.fromstring(response.content)
    assert (response.status_code, error.tag, error.findtext("Code")) == (status, "Error", code)
    assert error.findtext("Message")


# --- how many ---------------------------------------------------------------------------------------


async def test_one_address_begins_no_more_than_ten_uploads(running: RunningDiskStore) -> None:
    signed = sign(running, MultipartRequest.CREATE, None)
    begun = await asyncio.gather(
        *(running.http.post(signed.url, headers=signed.headers) for _ in range(13)),
    )
    accepted = [each for each in begun if each.status_code == 200]
    assert 1 <= len(accepted) <= 10
    for _ in range(10 - len(accepted)):
        accepted.append(await running.http.post(signed.url, headers=signed.headers))
    assert {each.status_code for each in accepted} == {200}
    refused = await running.http.post(signed.url, headers=signed.headers)
    assert_xml_error(refused, 409, "TooManyMultiparts")
    assert "abort one" in refused.text
    uploads = [each async for each in running.store.list_multiparts("")]
    assert len(uploads) == 10
    assert len(list((running.root / ".multipart").iterdir())) == 10
    await running.store.create_multipart(f"{KEY}.other", content_type=TYPE, part_hashes=False)
    await running.store.abort_multipart(KEY, uploads[0].upload_id)
    assert (await running.http.post(signed.url, headers=signed.headers)).status_code == 200


# --- parts -----------------------------------------------------------------------------------------


async def test_bodies_of_one_part_left_open_hold_one_file(running: RunningDiskStore) -> None:
    upload_id = await begin(running)
    signed = {number: sign_part(running, KEY, upload_id, number, DATA) for number in (1, 2)}
    length = f"Content-Length: {len(DATA)}\r\n"
    connections = [await begin_upload(signed[number], DATA[:-1], extra=length) for number in (1, 1, 2, 1)]
    for reader, _ in connections[:2]:
        status, error = await answer(reader)
        assert (status, error["code"]) == (409, "UPLOAD_SUPERSEDED")
    incoming = running.root / ".incoming"
    await until(lambda: len(list(incoming.iterdir())) == 2)
    for reader, writer in connections[2:]:
        writer.write(DATA[-1:])
        assert (await answer(reader))[0] == 200
    assert [part.number for part in await parts_of(running, upload_id)] == [1, 2]
    for _, writer in connections:
        writer.close()


async def test_a_part_is_answered_with_its_tag(running: RunningDiskStore) -> None:
    upload_id = await begin(running)
    response = await send_part(running, KEY, upload_id, 1, DATA)
    [part] = await parts_of(running, upload_id)
    assert (response.status_code, response.headers["etag"]) == (200, f'"{part.etag}"')


async def test_a_part_has_no_type(running: RunningDiskStore) -> None:
    """Browsers send that of the Blob, or none."""
    upload_id = await begin(running)
    for content_type in ("application/octet-stream", "", "text/html"):
        signed = sign_part(running, KEY, upload_id, 1, DATA)
        assert signed.headers == {}
        assert (await send(running, signed, DATA, Content_Type=content_type)).status_code == 200


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("signature=", "signature=A"),
        ("length=307200", "length=307201"),
        ("partNumber=1", "partNumber=2"),
        ("partNumber=1", "partNumber=10001"),
        ("uploadId=", "uploadId=0"),
        ("uploadId=", "uploadid="),
        ("expires=", "expires=9"),
        ("&sha256=", "&sha256=0"),
        ("&length=", "&unknown=1&length="),
        ("&length=", "&partNumber=1&length="),
        ("&length=", "&type=a%2Fb&length="),
        ("film.mp4", "else.mp4"),
    ],
)
async def test_any_change_of_a_parts_address_is_refused(
    running: RunningDiskStore, old: str, new: str
) -> None:
    upload_id = await begin(running)
    signed = sign_part(running, KEY, upload_id, 1, DATA)
    assert old in signed.url
    response = await send(running, with_url(signed, signed.url.replace(old, new)), DATA)
    assert_error(response, 403, "SIGNATURE_INVALID", "altered")
    assert await parts_of(running, upload_id) == []


async def test_a_part_of_another_upload_is_refused(running: RunningDiskStore) -> None:
    one, two = await begin(running), await begin(running)
    signed = sign_part(running, KEY, one, 1, DATA)
    response = await send(running, with_url(signed, signed.url.replace(one, two)), DATA)
    assert_error(response, 403, "SIGNATURE_INVALID")
    assert await parts_of(running, two) == []


async def test_a_parts_address_stores_no_object_and_an_objects_address_no_part(
    running: RunningDiskStore,
) -> None:
    upload_id = await begin(running)
    part, whole = sign_part(running, KEY, upload_id, 1, DATA), sign_put(running, KEY, DATA)
    without_id = "&".join(pair for pair in part.url.split("&") if "partNumber" not in pair)
    without_id = without_id.replace(f"uploadId={upload_id}&", "")
    with_id = whole.url.replace("?", f"?uploadId={upload_id}&partNumber=1&")
    for signed, url in ((part, without_id), (whole, with_id)):
        assert_error(await send(running, with_url(signed, url), DATA), 403, "SIGNATURE_INVALID")
    assert await parts_of(running, upload_id) == []
    assert await running.store.head(KEY) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PATCH"])
async def test_a_parts_address_serves_no_other_method(running: RunningDiskStore, method: str) -> None:
    upload_id = await begin(running)
    await send_part(running, KEY, upload_id, 1, DATA)
    signed = sign_part(running, KEY, upload_id, 1, DATA)
    response = await running.http.request(method, signed.url)
    assert response.status_code in {403, 405}
    assert len(await parts_of(running, upload_id)) == 1


async def test_an_expired_part_says_so(running: RunningDiskStore) -> None:
    upload_id = await begin(running)
    signed = sign_part(running, KEY, upload_id, 1, DATA)
    await running.clock.pass_time(timedelta(minutes=6))
    assert_error(await send(running, signed, DATA), 403, "SIGNATURE_EXPIRED", "expired")


async def test_a_part_of_another_length_names_both(running: RunningDiskStore) -> None:
    upload_id = await begin(running)
    response = await send(running, sign_part(running, KEY, upload_id, 1, DATA), DATA[:-1])
    assert_error(response, 400, "SIZE_MISMATCH", "Content-Length", "'307200'", "'307199'")


async def test_a_part_with_another_hash_names_both(running: RunningDiskStore) -> None:
    upload_id = await begin(running)
    response = await send(running, sign_part(running, KEY, upload_id, 1, b"abd"), b"abc")
    assert_error(response, 400, "CHECKSUM_MISMATCH", "SHA-256", "ba7816bf")
    assert await parts_of(running, upload_id) == []


async def test_a_part_of_undeclared_length_is_refused(running: RunningDiskStore) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield DATA

    upload_id = await begin(running)
    response = await running.http.put(sign_part(running, KEY, upload_id, 1, DATA).url, content=pieces())
    assert_error(response, 411, "LENGTH_REQUIRED", "Content-Length", "307200")


async def test_a_range_is_no_part(running: RunningDiskStore) -> None:
    upload_id = await begin(running)
    signed = sign_part(running, KEY, upload_id, 1, DATA)
    response = await send(running, signed, DATA, Content_Range="bytes 0-307199/999999")
    assert_error(response, 400, "PARTIAL_PUT", "Content-Range")


async def test_a_part_after_the_end_is_404(either_parser: RunningDiskStore) -> None:
    """Told before the body is read, to a client that sends it without asking."""
    data = bytes(30_000_000)
    upload_id = await begin(either_parser)
    signed = sign_part(either_parser, KEY, upload_id, 1, data, hashed=False)
    await either_parser.store.abort_multipart(KEY, upload_id)
    assert_error(await send(either_parser, signed, data), 404, "MULTIPART_MISSING", "no such")
    assert either_parser.files() == []


@pytest.mark.usefixtures("small_files")
async def test_a_part_on_a_full_disk_is_507(running: RunningDiskStore) -> None:
    upload_id, data = await begin(running), bytes(MIN_PART_BYTES)
    assert_error(await send_part(running, KEY, upload_id, 1, data), 507, "STORAGE_FULL")
    assert await parts_of(running, upload_id) == []
    assert len(running.files()) == 1


async def test_a_part_that_stalls_is_ended_with_408(tmp_path: Path) -> None:
    timeout = timedelta(seconds=0.2)
    async with running_disk_store(tmp_path / "objects", body_timeout=timeout) as running:
        upload_id = await begin(running)
        signed = sign_part(running, KEY, upload_id, 1, DATA)
        reader, writer = await begin_upload(signed, DATA[:1000], extra=f"Content-Length: {len(DATA)}\r\n")
        status, error = await answer(reader)
        assert (status, error["code"]) == (408, "BODY_STALLED")
        writer.close()
        assert await parts_of(running, upload_id) == []


async def test_a_client_that_goes_away_leaves_the_part_as_it_was(either_parser: RunningDiskStore) -> None:
    upload_id, before = await upload_parts(either_parser, KEY, [b"was"])
    kept = either_parser.files()
    signed = sign_part(either_parser, KEY, upload_id, 1, DATA)
    _, writer = await begin_upload(signed, DATA[:200_000], extra=f"Content-Length: {len(DATA)}\r\n")
    await until(lambda: either_parser.files() != kept)
    writer.transport.abort()
    await until(lambda: either_parser.files() == kept)
    assert await parts_of(either_parser, upload_id) == before


# --- S3's requests ---------------------------------------------------------------------------------


async def test_the_requests_are_refused_in_xml(running: RunningDiskStore) -> None:
    upload_id, _ = await upload_parts(running, KEY, [DATA])
    for request in MultipartRequest:
        signed = sign(running, request, None if request is MultipartRequest.CREATE else upload_id)
        response = await running.http.request(signed.method, f"{signed.url}A", headers=signed.headers)
        assert_xml_error(response, 403, "SignatureDoesNotMatch")
    await running.clock.pass_time(timedelta(minutes=6))
    response = await running.http.request(signed.method, signed.url, headers=signed.headers)
    assert_xml_error(response, 403, "AccessDenied")


async def test_an_upload_that_has_ended_is_no_such_upload(running: RunningDiskStore) -> None:
    upload_id, [part] = await upload_parts(running, KEY, [DATA])
    await running.store.abort_multipart(KEY, upload_id)
    listing = await running.http.get(sign(running, MultipartRequest.LIST_PARTS, upload_id).url)
    assert_xml_error(listing, 404, "NoSuchUpload")
    assert_xml_error(await complete(running, upload_id, completion((1, part.etag))), 404, "NoSuchUpload")
    aborting = sign(running, MultipartRequest.ABORT, upload_id)
    assert (await running.http.delete(aborting.url)).status_code == 204


async def test_a_key_that_is_taken_is_a_failed_precondition(running: RunningDiskStore) -> None:
    upload_id, [part] = await upload_parts(running, KEY, [DATA])
    await upload(running, KEY, b"was there")
    response = await complete(running, upload_id, completion((1, part.etag)))
    assert_xml_error(response, 412, "PreconditionFailed")


async def test_what_is_completed_says_where_it_is(running: RunningDiskStore) -> None:
    """A browser's client insists on Location and Key; no signature is in them."""
    upload_id, parts = await upload_parts(running, KEY, [FIRST, DATA])
    response = await complete(running, upload_id, completion(*((part.number, part.etag) for part in parts)))
    result = ElementTree.fromstring(response.content)
    told = {child.tag.partition("}")[2]: child.text for child in result}
    assert told["Location"] == f"{running.address}/objects/{KEY}"
    assert told["Key"] == KEY
    assert response.headers["content-type"] == "application/xml"


async def test_a_small_part_is_for_the_end_only(running: RunningDiskStore) -> None:
    upload_id, parts = await upload_parts(running, KEY, [DATA, DATA])
    response = await complete(running, upload_id, completion(*((part.number, part.etag) for part in parts)))
    assert_xml_error(response, 400, "EntityTooSmall")
    assert await parts_of(running, upload_id) == parts


async def test_parts_may_be_left_out(running: RunningDiskStore) -> None:
    upload_id, [_, last] = await upload_parts(running, KEY, [FIRST, DATA])
    assert (await complete(running, upload_id, completion((2, last.etag)))).status_code == 200
    assert (running.root / KEY).read_bytes() == DATA


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))
PART = "<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (f"<!DOCTYPE x [{LAUGHS}]><CompleteMultipartUpload>&l9;</CompleteMultipartUpload>", "MalformedXML"),
        ("<!DOCTYPE x><CompleteMultipartUpload>" + PART + "</CompleteMultipartUpload>", "MalformedXML"),
        (
            '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><CompleteMultipartUpload>'
            "<Part><PartNumber>1</PartNumber><ETag>&f;</ETag></Part></CompleteMultipartUpload>",
            "MalformedXML",
        ),
        ("<CompleteMultipartUpload>&f;" + PART + "</CompleteMultipartUpload>", "MalformedXML"),
        ("<Other>" + PART + "</Other>", "MalformedXML"),
        ("<CompleteMultipartUpload><Other/>" + PART + "</CompleteMultipartUpload>", "MalformedXML"),
        ("<CompleteMultipartUpload>" + PART, "MalformedXML"),
        ("<CompleteMultipartUpload>" + PART + "</CompleteMultipartUpload>x", "MalformedXML"),
        ("<a>" * 100_000, "MalformedXML"),
        ("<CompleteMultipartUpload></CompleteMultipartUpload>", "MalformedXML"),
        (completion((1, "{etag}</ETag><ETag>x")), "MalformedXML"),
        (completion((1, "x" * 2000)), "MalformedXML"),
        (completion(("", "{etag}")), "MalformedXML"),
        (completion(("-1", "{etag}")), "MalformedXML"),
        (completion(("1.0", "{etag}")), "MalformedXML"),
        (completion(("１", "{etag}")), "MalformedXML"),
        (completion(("9" * 5000, "{etag}")), "MalformedXML"),
        (completion(("9" * 900, "{etag}")), "MalformedXML"),
        (completion((999_999_999, "{etag}")), "InvalidPart"),
        (completion((0, "{etag}")), "InvalidPart"),
        (completion((1, "x")), "InvalidPart"),
        (completion((2, "{etag}")), "InvalidPart"),
        (completion((1, "{etag}"), (3, "{etag}")), "InvalidPart"),
        (completion((1, "{etag}"), (1, "{etag}")), "InvalidPartOrder"),
        (completion((2, "{etag}"), (1, "{etag}")), "InvalidPartOrder"),
        (completion(*((1, "e") for _ in range(MAX_PARTS + 1))), "MalformedXML"),
        (" " * 2 * 1024 * 1024, "MaxMessageLengthExceeded"),
        (f"<!DOCTYPE x [{LAUGHS}]><CompleteMultipartUpload/>".encode("utf-16"), "MalformedXML"),
        (b"\xff\xfe<\x00", "MalformedXML"),
        (b"\0", "MalformedXML"),
    ],
)
async def test_a_hostile_list_of_parts_completes_nothing(
    running: RunningDiskStore, body: str | bytes, code: str
) -> None:
    upload_id, parts = await upload_parts(running, KEY, [DATA, b"2"])
    if isinstance(body, str):
        body = body.replace("{etag}", parts[0].etag)
    response = await complete(running, upload_id, body)
    assert_xml_error(response, 400, code)
    assert "root:" not in response.text
    assert await running.store.head(KEY) is None
    assert await parts_of(running, upload_id) == parts


async def test_a_list_as_other_clients_write_it_is_read(running: RunningDiskStore) -> None:
    """With namespace, line breaks, quoted tags first, and checksums that nobody asked for."""
    upload_id, [part] = await upload_parts(running, KEY, [DATA])
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n  <Part>\n'
        f"    <ETag>&quot;{part.etag}&#34;</ETag>\n    <ChecksumSHA256>AAAA</ChecksumSHA256>\n"
        "    <PartNumber> 1 </PartNumber>\n  </Part>\n</CompleteMultipartUpload>\n"
    )
    assert (await complete(running, upload_id, body)).status_code == 200


async def test_ten_thousand_parts_are_listed_and_completed_at_once(running: RunningDiskStore) -> None:
    """As long as a list can be it is below the limit, with tags in quotes, as some clients send them."""
    upload_id, [part] = await upload_parts(running, KEY, [DATA])
    directory = running.root / ".multipart" / upload_id
    digest = next(path.name for path in directory.iterdir() if path.name != "manifest").partition(".")[2]
    for number in range(2, MAX_PARTS + 1):
        (directory / f"{number:05}.{digest}").touch()
    listing = await running.http.get(sign(running, MultipartRequest.LIST_PARTS, upload_id).url)
    numbers = [each.text for each in ElementTree.fromstring(listing.content).iter() if "Number" in each.tag]
    assert numbers[1:] == [str(number) for number in range(1, MAX_PARTS + 1)]
    body = completion(*((number, f"&quot;{part.etag}&quot;") for number in range(1, MAX_PARTS + 1)))
    # Nothing is too long or out of order: only then are the sizes looked at.
    assert_xml_error(await complete(running, upload_id, body), 400, "EntityTooSmall")


async def test_a_list_that_stalls_is_ended_with_408(tmp_path: Path) -> None:
    timeout = timedelta(seconds=0.2)
    async with running_disk_store(tmp_path / "objects", body_timeout=timeout) as running:
        signed = sign(running, MultipartRequest.COMPLETE, await begin(running))
        url = httpx.URL(signed.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = f"POST {url.raw_path.decode()} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: 100\r\n\r\n"
        writer.write(head.encode() + b"<Comp")
        response = (await asyncio.wait_for(reader.read(), 10)).decode()
        assert response.startswith("HTTP/1.1 408")
        assert "<Code>RequestTimeout</Code>" in response
        writer.close()


async def test_a_public_object_is_read_whatever_its_query_says(running: RunningDiskStore) -> None:
    await upload(running, KEY, DATA)
    await running.store.copy(KEY, "public/a/b.webp", content_type="image/webp")
    url = running.store.public_url("public/a/b.webp")
    assert (await running.http.get(f"{url}?uploadId=x")).content == DATA
    for method in ("POST", "DELETE"):
        response = await running.http.request(method, f"{url}?uploadId=x")
        assert_error(response, 405, "METHOD_NOT_ALLOWED")


async def test_a_store_that_does_not_work_is_503_and_names_no_path(running: RunningDiskStore) -> None:
    upload_id = await begin(running)
    (running.root / ".incoming").rmdir()
    response = await running.http.get(sign(running, MultipartRequest.LIST_PARTS, upload_id).url)
    assert_xml_error(response, 503, "ServiceUnavailable")
    assert str(running.root) not in response.text


async def test_no_log_record_holds_an_address_of_a_part(
    running: RunningDiskStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.CRITICAL, logger=name)
    upload_id = await begin(running)
    signed = sign_part(running, KEY, upload_id, 1, DATA)
    await send(running, signed, DATA)
    await send(running, signed, DATA[:-1])
    await complete(running, upload_id, "hostile")
    await running.http.get(sign_get(running, KEY))
    assert upload_id not in caplog.text
    assert "signature" not in caplog.text
