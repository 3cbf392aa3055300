"""`/objects` on the wire: what exactly a client of the disk store is told, by a real server."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import get_args
from urllib.parse import unquote

import httpx
import pytest

from storage.objects import Disposition, SignedPut
from tests.contracts.object_store import (
    FIVE_MINUTES,
    RunningDiskStore,
    begin_upload,
    running_disk_store,
    send,
    sign_get,
    sign_put,
    upload,
)
from tests.serving import HttpParser, until

KEY = "0197/2026/11/20/blob.jpg"
DATA = bytes(range(256)) * 1200


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningDiskStore]:
    async with running_disk_store(tmp_path / "objects") as running:
        yield running


@pytest.fixture(params=get_args(HttpParser))
async def either_parser(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningDiskStore]:
    """What depends on the server's HTTP parser is shown with both that exist."""
    async with running_disk_store(tmp_path / "objects", parser=request.param) as running:
        yield running


def assert_error(response: httpx.Response, status: int, code: str, *words: str) -> None:
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error.keys() == {"code", "message"}
    assert all(word in error["message"] for word in words), error["message"]
    assert response.headers["cache-control"] == "no-store"


def with_url(signed: SignedPut, url: str) -> SignedPut:
    return SignedPut(url=url, headers=signed.headers, expires_at=signed.expires_at)


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("signature=", "signature=A"),
        ("length=307200", "length=307201"),
        ("type=image%2Fjpeg", "type=text%2Fhtml"),
        ("expires=", "expires=9"),
        ("&sha256=", "&sha256=0"),
        ("&md5=", "&md6="),
        ("&length=", "&unknown=1&length="),
        ("&length=", "&length=307200&length="),
        ("&signature=", "&signature=A&signature="),
        ("&length=", "&&length="),
        ("type=image%2Fjpeg", "type=%ff"),
        ("/objects/0197", "/objects/%2e%2e/0197"),
        ("/objects/0197", "/objects//0197"),
        ("/objects/0197", "/objects/%00"),
    ],
)
async def test_any_change_of_an_address_is_refused(running: RunningDiskStore, old: str, new: str) -> None:
    signed = sign_put(running, KEY, DATA)
    assert old in signed.url
    response = await send(running, with_url(signed, signed.url.replace(old, new)), DATA)
    assert_error(response, 403, "SIGNATURE_INVALID", "altered")
    assert running.files() == []


async def test_the_parameters_may_come_in_any_order(running: RunningDiskStore) -> None:
    signed = sign_put(running, KEY, DATA)
    path, query = signed.url.split("?")
    url = f"{path}?{'&'.join(reversed(query.split('&')))}"
    assert (await send(running, with_url(signed, url), DATA)).status_code == 200


async def test_an_address_without_a_query_is_refused(running: RunningDiskStore) -> None:
    response = await running.http.get(f"{running.address}/objects/{KEY}")
    assert_error(response, 403, "SIGNATURE_INVALID")


async def test_an_expired_address_says_so(running: RunningDiskStore) -> None:
    signed = sign_put(running, KEY, DATA)
    await running.pass_time(timedelta(minutes=6))
    assert_error(await send(running, signed, DATA), 403, "SIGNATURE_EXPIRED", "expired")


async def test_an_expired_address_that_was_altered_says_only_that(running: RunningDiskStore) -> None:
    signed = sign_put(running, KEY, DATA)
    await running.pass_time(timedelta(minutes=6))
    altered = with_url(signed, signed.url.replace("blob.jpg", "else.jpg"))
    assert_error(await send(running, altered, DATA), 403, "SIGNATURE_INVALID")


async def test_another_length_names_both(running: RunningDiskStore) -> None:
    response = await send(running, sign_put(running, KEY, DATA), DATA[:-1])
    assert_error(response, 400, "SIZE_MISMATCH", "Content-Length", "'307200'", "'307199'")


async def test_another_type_names_both(running: RunningDiskStore) -> None:
    response = await send(running, sign_put(running, KEY, DATA), DATA, Content_Type="text/html")
    assert_error(response, 400, "CONTENT_TYPE_MISMATCH", "Content-Type", "'image/jpeg'", "'text/html'")


async def test_a_missing_md5_header_is_named(running: RunningDiskStore) -> None:
    signed = sign_put(running, KEY, DATA)
    response = await running.http.put(signed.url, content=DATA, headers={"Content-Type": "image/jpeg"})
    assert_error(response, 400, "CHECKSUM_MISMATCH", "Content-MD5", "was not sent")


async def test_another_hash_names_both(running: RunningDiskStore) -> None:
    signed = running.store.sign_put(
        KEY, content_type="a/b", byte_size=3, sha256="0" * 64, md5=None, expires_in=FIVE_MINUTES
    )
    response = await send(running, signed, b"abc")
    assert_error(response, 400, "CHECKSUM_MISMATCH", "SHA-256", "0" * 64, "ba7816bf")
    assert running.files() == []


async def test_a_part_is_not_stored_as_the_whole(running: RunningDiskStore) -> None:
    signed = sign_put(running, KEY, DATA)
    response = await send(running, signed, DATA, Content_Range="bytes 0-307199/999999")
    assert_error(response, 400, "PARTIAL_PUT", "Content-Range")


async def test_a_body_of_undeclared_length_is_refused(running: RunningDiskStore) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield DATA

    signed = sign_put(running, KEY, DATA)
    response = await running.http.put(signed.url, content=pieces(), headers=signed.headers)
    assert_error(response, 411, "LENGTH_REQUIRED", "Content-Length", "307200")


async def test_a_second_upload_is_told_to_finalize(running: RunningDiskStore) -> None:
    await upload(running, KEY, DATA)
    response = await send(running, sign_put(running, KEY, DATA), DATA)
    assert_error(response, 412, "OBJECT_EXISTS", "already", "finalize")


async def test_a_missing_object_says_so(running: RunningDiskStore) -> None:
    assert_error(await running.http.get(sign_get(running, KEY)), 404, "OBJECT_MISSING")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused(running: RunningDiskStore, method: str) -> None:
    response = await running.http.request(method, sign_get(running, KEY))
    assert_error(response, 405, "METHOD_NOT_ALLOWED", method)
    assert response.headers["allow"] == "GET, HEAD, PUT"


async def test_a_store_that_does_not_work_is_503_and_names_no_path(running: RunningDiskStore) -> None:
    (running.root / ".incoming").rmdir()
    response = await running.http.get(sign_get(running, KEY))
    assert_error(response, 503, "STORAGE_UNAVAILABLE")
    assert str(running.root) not in response.text


# --- the body on its way ---------------------------------------------------------------------------


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read one status, and the JSON body if there is one."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().lower()
    lengths = [line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:")]
    body = await reader.readexactly(int(lengths[0])) if lengths else b""
    return int(head.split()[1]), json.loads(body)["error"] if body else {}


EXPECTING = f"Content-Length: {len(DATA)}\r\nExpect: 100-continue\r\n"


async def test_a_client_that_asks_first_is_told_to_go_on(either_parser: RunningDiskStore) -> None:
    reader, writer = await begin_upload(sign_put(either_parser, KEY, DATA), b"", extra=EXPECTING)
    assert (await answer(reader))[0] == 100
    writer.write(DATA)
    assert (await answer(reader))[0] == 200
    writer.close()
    assert either_parser.files() == [KEY]


async def test_a_client_that_asks_first_is_refused_before_it_sends(either_parser: RunningDiskStore) -> None:
    await upload(either_parser, KEY, DATA)
    reader, writer = await begin_upload(sign_put(either_parser, KEY, DATA), b"", extra=EXPECTING)
    status, error = await answer(reader)
    assert (status, error["code"]) == (412, "OBJECT_EXISTS")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_client_that_sends_without_asking_can_read_the_refusal(
    either_parser: RunningDiskStore,
) -> None:
    """The server may not reset the connection while the body is on its way: the answer would be lost."""
    data = bytes(30_000_000)
    signed = sign_put(either_parser, KEY, data)
    await upload(either_parser, KEY, b"other")
    for _ in range(3):
        assert (await send(either_parser, signed, data)).status_code == 412


async def test_a_body_that_stalls_is_ended_with_408(tmp_path: Path) -> None:
    timeout = timedelta(seconds=0.2)
    async with running_disk_store(tmp_path / "objects", body_timeout=timeout) as running:
        reader, writer = await begin_upload(
            sign_put(running, KEY, DATA), DATA[:1000], extra=f"Content-Length: {len(DATA)}\r\n"
        )
        status, error = await answer(reader)
        assert (status, error["code"]) == (408, "BODY_STALLED")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert running.files() == []


async def test_a_client_that_goes_away_leaves_no_file(either_parser: RunningDiskStore) -> None:
    signed = sign_put(either_parser, KEY, DATA)
    _, writer = await begin_upload(signed, DATA[:200_000], extra=f"Content-Length: {len(DATA)}\r\n")
    await until(lambda: either_parser.files() != [])
    writer.transport.abort()
    await until(lambda: either_parser.files() == [])


async def test_bodies_left_open_hold_one_file(running: RunningDiskStore) -> None:
    """Whoever has an address could otherwise fill the disk with it, past every quota."""
    signed = sign_put(running, KEY, DATA)
    connections = []
    for _ in range(5):
        connections.append(await begin_upload(signed, DATA[:-1], extra=f"Content-Length: {len(DATA)}\r\n"))
        await until(lambda: running.files() != [])
    for reader, _ in connections[:-1]:
        status, error = await answer(reader)
        assert (status, error["code"]) == (409, "UPLOAD_SUPERSEDED")
    assert len(running.files()) == 1
    reader, writer = connections[-1]
    writer.write(DATA[-1:])
    assert (await answer(reader))[0] == 200
    assert running.files() == [KEY]
    for _, writer in connections:
        writer.close()


async def test_many_bodies_at_once_hold_one_file_and_one_is_stored(running: RunningDiskStore) -> None:
    signed = sign_put(running, KEY, DATA)
    answers = await asyncio.gather(*(send(running, signed, DATA) for _ in range(10)))
    statuses = [each.status_code for each in answers]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 412}
    assert running.files() == [KEY]


async def test_a_body_that_comes_anew_after_one_that_hangs_is_stored(
    either_parser: RunningDiskStore,
) -> None:
    """A client's connection may be gone without a word: the server waits on it for a while."""
    signed = sign_put(either_parser, KEY, DATA)
    _, writer = await begin_upload(signed, DATA[:200_000], extra=f"Content-Length: {len(DATA)}\r\n")
    await until(lambda: either_parser.files() != [])
    async with asyncio.timeout(5):
        assert (await send(either_parser, signed, DATA)).status_code == 200
    assert either_parser.files() == [KEY]
    writer.close()


async def test_bodies_for_other_keys_do_not_meet(running: RunningDiskStore) -> None:
    other = KEY.replace("blob", "other")
    hanging = sign_put(running, other, DATA)
    reader, writer = await begin_upload(hanging, DATA[:-1], extra=f"Content-Length: {len(DATA)}\r\n")
    await until(lambda: running.files() != [])
    await upload(running, KEY, DATA)
    writer.write(DATA[-1:])
    assert (await answer(reader))[0] == 200
    assert running.files() == [KEY, other]
    writer.close()


async def test_the_connection_is_kept_after_a_refusal_that_read_the_body(running: RunningDiskStore) -> None:
    signed = running.store.sign_put(
        KEY, content_type="a/b", byte_size=3, sha256="0" * 64, md5=None, expires_in=FIVE_MINUTES
    )
    response = await send(running, signed, b"abc")
    assert "connection" not in response.headers


# --- downloads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("disposition", list(Disposition))
async def test_a_download_is_fenced_in(running: RunningDiskStore, disposition: Disposition) -> None:
    await upload(running, KEY, DATA)
    headers = (await running.http.get(sign_get(running, KEY, disposition=disposition))).headers
    assert headers["content-disposition"] == f"{disposition.value}; filename*=UTF-8''photo.jpg"
    assert headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "cross-origin"


async def test_a_download_may_be_kept_until_it_expires(running: RunningDiskStore) -> None:
    await upload(running, KEY, DATA)
    url = sign_get(running, KEY)
    await running.pass_time(timedelta(minutes=2))
    private, age, immutable = (await running.http.get(url)).headers["cache-control"].split(", ")
    assert (private, immutable) == ("private", "immutable")
    assert 110 <= int(age.removeprefix("max-age=")) <= 180


async def test_addresses_signed_close_together_are_equal(running: RunningDiskStore) -> None:
    """A client that reloads its list must not download every picture again."""
    addresses = {sign_get(running, KEY) for _ in range(200)}
    assert len(addresses) <= 2


@pytest.mark.parametrize(
    "filename",
    [
        *['a"; filename=b.html', "a\r\nX-Evil: 1", "a\0b", "../../etc/passwd", "%41'*"],
        *["größe 日本.jpg", "a\ud800b"],
    ],
)
async def test_no_filename_breaks_out_of_its_header(running: RunningDiskStore, filename: str) -> None:
    await upload(running, KEY, DATA)
    response = await running.http.get(sign_get(running, KEY, filename=filename))
    kind, encoded = response.headers["content-disposition"].split("; filename*=UTF-8''")
    assert (response.status_code, kind) == (200, "attachment")
    assert unquote(encoded) == filename.encode(errors="replace").decode()
    assert "x-evil" not in response.headers
    assert not set(encoded) & set("\"'; \\")


async def test_an_empty_filename_is_left_out(running: RunningDiskStore) -> None:
    await upload(running, KEY, DATA)
    response = await running.http.get(sign_get(running, KEY, filename=""))
    assert response.headers["content-disposition"] == "attachment"


async def test_head_has_an_address_of_its_own(running: RunningDiskStore) -> None:
    await upload(running, KEY, DATA)
    signed = running.store.signer.sign_get(
        KEY,
        disposition=Disposition.ATTACHMENT,
        filename="a",
        content_type="image/jpeg",
        expires_in=FIVE_MINUTES,
        method="HEAD",
    )
    response = await running.http.head(signed.url, headers={"Range": "bytes=0-9"})
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(DATA))
    assert response.headers["content-type"] == "image/jpeg"
    assert (await running.http.get(signed.url)).status_code == 403


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, 307200),
        ("bytes=-100", 307100, 307200),
        ("bytes=-999999999", 0, 307200),
        ("bytes=307199-999999999", 307199, 307200),
        ("Bytes=5-9", 5, 10),
    ],
)
async def test_one_range_is_answered_with_206(
    running: RunningDiskStore, wanted: str, start: int, end: int
) -> None:
    await upload(running, KEY, DATA)
    response = await running.http.get(sign_get(running, KEY), headers={"Range": wanted})
    assert (response.status_code, response.content) == (206, DATA[start:end])
    assert response.headers["content-length"] == str(end - start)
    assert response.headers["content-range"] == f"bytes {start}-{end - 1}/307200"


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=0-1,5-6",
        "bytes=",
        "bytes=-",
        "bytes=9-5",
        "items=0-1",
        "bytes=a-b",
        "bytes=0-" + "9" * 30,
        "0-1",
    ],
)
async def test_what_is_not_one_range_is_answered_in_full(running: RunningDiskStore, wanted: str) -> None:
    await upload(running, KEY, DATA)
    response = await running.http.get(sign_get(running, KEY), headers={"Range": wanted})
    assert (response.status_code, response.content) == (200, DATA)


@pytest.mark.parametrize("wanted", ["bytes=307200-", "bytes=999999-9999999", "bytes=-0"])
async def test_a_range_beyond_the_end_is_416(running: RunningDiskStore, wanted: str) -> None:
    await upload(running, KEY, DATA)
    response = await running.http.get(sign_get(running, KEY), headers={"Range": wanted})
    assert_error(response, 416, "RANGE_NOT_SATISFIABLE", "307200")
    assert response.headers["content-range"] == "bytes */307200"


async def test_if_range_decides_between_part_and_whole(running: RunningDiskStore) -> None:
    await upload(running, KEY, DATA)
    url = sign_get(running, KEY)
    headers = (await running.http.get(url)).headers
    statuses = {
        condition: (
            await running.http.get(url, headers={"Range": "bytes=0-9", "If-Range": condition})
        ).status_code
        for condition in [headers["etag"], headers["last-modified"], '"other"', f"W/{headers['etag']}"]
    }
    assert list(statuses.values()) == [206, 206, 200, 200]


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("If-None-Match", "{etag}", 304),
        ("If-None-Match", "W/{etag}", 304),
        ("If-None-Match", '"x", {etag}', 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"x"', 200),
        ("If-Modified-Since", "{date}", 304),
        ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT", 304),
        ("If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT", 200),
        ("If-Modified-Since", "yesterday", 200),
    ],
)
async def test_a_condition_decides_between_304_and_the_bytes(
    running: RunningDiskStore, name: str, value: str, status: int
) -> None:
    await upload(running, KEY, DATA)
    url = sign_get(running, KEY)
    known = (await running.http.get(url)).headers
    value = value.format(etag=known["etag"], date=known["last-modified"])
    response = await running.http.get(url, headers={name: value})
    assert response.status_code == status
    assert response.headers["etag"] == known["etag"]
    assert response.content == (b"" if status == 304 else DATA)


async def test_if_none_match_outweighs_if_modified_since(running: RunningDiskStore) -> None:
    await upload(running, KEY, DATA)
    url = sign_get(running, KEY)
    date = (await running.http.get(url)).headers["last-modified"]
    response = await running.http.get(url, headers={"If-None-Match": '"x"', "If-Modified-Since": date})
    assert response.status_code == 200


async def test_a_download_goes_on_when_its_object_is_replaced(
    running: RunningDiskStore, tmp_path: Path
) -> None:
    old, source = b"o" * 20_000_000, tmp_path / "source"
    source.write_bytes(b"new")
    await upload(running, KEY, old)
    async with running.http.stream("GET", sign_get(running, KEY)) as response:
        body = response.aiter_bytes()
        received = await anext(body)
        await running.store.put_file(KEY, source, content_type="image/jpeg")
        await running.store.delete([KEY])
        received += b"".join([chunk async for chunk in body])
    assert received == old


async def test_a_download_left_in_the_middle_closes_its_file(running: RunningDiskStore) -> None:
    await upload(running, KEY, b"o" * 50_000_000)

    async with running.http.stream("GET", sign_get(running, KEY)) as response:
        await anext(response.aiter_raw())
        assert is_open(running)
    await until(lambda: not is_open(running))


async def test_a_client_that_reads_nothing_is_given_up(tmp_path: Path) -> None:
    timeout = timedelta(seconds=0.3)
    async with running_disk_store(tmp_path / "objects", send_timeout=timeout) as running:
        await upload(running, KEY, b"o" * 50_000_000)
        url = httpx.URL(sign_get(running, KEY))
        _, writer = await asyncio.open_connection(url.host, url.port, limit=1024)
        writer.write(f"GET {url.raw_path.decode()} HTTP/1.1\r\nHost: {url.host}\r\n\r\n".encode())
        await until(lambda: is_open(running))
        await until(lambda: not is_open(running))
        writer.transport.abort()


def is_open(running: RunningDiskStore) -> bool:
    return running.root / KEY in open_files()


def open_files() -> list[Path]:
    links = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            links.append(link.readlink())
        except FileNotFoundError:
            continue
    return links


async def test_no_log_record_holds_an_address(
    running: RunningDiskStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.CRITICAL, logger=name)
    await upload(running, KEY, DATA)
    url = sign_get(running, KEY, filename="canary")
    await running.http.get(url)
    await running.http.get(url.replace("signature=", "signature=canary"))
    await send(running, sign_put(running, KEY, DATA, content_type="canary/canary"), DATA)
    assert "canary" not in caplog.text
    assert "signature" not in caplog.text
