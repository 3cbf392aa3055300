"""The object store contract: every backend in `BACKENDS` keeps each of these sentences."""

import asyncio
import os
import random
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from storage.errors import InvalidKeyError, ObjectChangedError, ObjectMissingError
from storage.objects import Disposition, SignedPut
from tests.contracts.object_store import (
    FIVE_MINUTES,
    RunningStore,
    begin_upload,
    keys,
    md5,
    send,
    sha256,
    sign_get,
    sign_put,
    stored_bytes,
    upload,
)
from tests.serving import until

KEY = "0197/2026/11/20/blob.jpg"
COPY = "public/5f2c/image-1/webp-320.webp"
DATA = bytes(range(256)) * 1200
MEBIBYTE = 1024**2
BAD_KEYS = [
    *["", "/", "a//b", "/a", "a/", "..", "a/../b", "./a", ".hidden", "a/.b", "%2e%2e/a"],
    *["A", "a b", "ä", "a\0", "a\n", "a\\b", "a?b", "x" * 256, "x/" * 256 + "x"],
]


def altered(signed: SignedPut, old: str, new: str) -> SignedPut:
    assert old in signed.url
    return SignedPut(url=signed.url.replace(old, new), headers=signed.headers, expires_at=signed.expires_at)


async def assert_refused(running: RunningStore, response: httpx.Response) -> None:
    assert 400 <= response.status_code < 500
    assert await keys(running) == []


async def test_what_was_signed_is_stored_as_it_was_sent(running: RunningStore, tmp_path: Path) -> None:
    response = await send(running, sign_put(running, KEY, DATA), DATA)
    info = await running.store.head(KEY)
    assert response.is_success
    assert info is not None
    assert (info.key, info.byte_size) == (KEY, len(DATA))
    assert response.headers["etag"] == f'"{info.etag}"'
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=1)
    assert await stored_bytes(running, KEY, tmp_path) == DATA


async def test_an_upload_without_hashes_is_stored(running: RunningStore, tmp_path: Path) -> None:
    signed = running.store.sign_put(
        KEY, content_type="image/png", byte_size=3, sha256=None, md5=None, expires_in=FIVE_MINUTES
    )
    assert signed.headers["Content-Type"] == "image/png"
    assert not {name.lower() for name in signed.headers} & {"content-md5", "x-amz-checksum-sha256"}
    assert (await send(running, signed, b"abc")).is_success
    assert await stored_bytes(running, KEY, tmp_path) == b"abc"


async def test_an_empty_object_is_stored_and_served(running: RunningStore) -> None:
    await upload(running, KEY, b"")
    response = await running.http.get(sign_get(running, KEY))
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.needs("checks_requests")
async def test_an_altered_signature_is_refused(running: RunningStore) -> None:
    signed = sign_put(running, KEY, DATA)
    last = signed.url[-1]
    forged = SignedPut(
        url=signed.url[:-1] + ("A" if last != "A" else "Q"),
        headers=signed.headers,
        expires_at=signed.expires_at,
    )
    await assert_refused(running, await send(running, forged, DATA))


@pytest.mark.needs("checks_requests")
async def test_an_address_for_another_key_is_refused(running: RunningStore) -> None:
    forged = altered(sign_put(running, KEY, DATA), "blob.jpg", "other.jpg")
    await assert_refused(running, await send(running, forged, DATA))


@pytest.mark.needs("checks_requests")
async def test_an_expired_upload_is_refused(running: RunningStore) -> None:
    with running.clock.back(timedelta(seconds=3)):
        signed = sign_put(running, KEY, DATA, expires_in=timedelta(seconds=1))
    await assert_refused(running, await send(running, signed, DATA))


@pytest.mark.needs("checks_requests")
async def test_an_expired_download_is_refused(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    with running.clock.back(timedelta(seconds=3)):
        url = sign_get(running, KEY, expires_in=timedelta(seconds=1))
    assert (await running.http.get(url)).status_code == 403


@pytest.mark.needs("checks_requests")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
async def test_an_upload_address_serves_no_other_method(running: RunningStore, method: str) -> None:
    signed = sign_put(running, KEY, DATA)
    response = await running.http.request(method, signed.url, headers=signed.headers)
    await assert_refused(running, response)


@pytest.mark.needs("checks_requests")
@pytest.mark.parametrize("method", ["PUT", "HEAD", "POST", "DELETE"])
async def test_a_download_address_serves_no_other_method(
    running: RunningStore, method: str, tmp_path: Path
) -> None:
    await upload(running, KEY, DATA)
    response = await running.http.request(method, sign_get(running, KEY))
    assert 400 <= response.status_code < 500
    assert await stored_bytes(running, KEY, tmp_path) == DATA


@pytest.mark.needs("checks_requests")
@pytest.mark.parametrize("body", [DATA[:-1], DATA + b"x", b""])
async def test_another_length_is_refused(running: RunningStore, body: bytes) -> None:
    await assert_refused(running, await send(running, sign_put(running, KEY, DATA), body))


@pytest.mark.needs("checks_requests")
async def test_another_type_is_refused(running: RunningStore) -> None:
    response = await send(running, sign_put(running, KEY, DATA), DATA, Content_Type="text/html")
    await assert_refused(running, response)


@pytest.mark.needs("checks_requests")
async def test_a_missing_type_is_refused(running: RunningStore) -> None:
    signed = running.store.sign_put(
        KEY, content_type="image/png", byte_size=3, sha256=None, md5=None, expires_in=FIVE_MINUTES
    )
    await assert_refused(running, await running.http.put(signed.url, content=b"abc"))


@pytest.mark.needs("checks_requests")
async def test_a_body_with_another_sha256_is_refused(running: RunningStore) -> None:
    body = DATA[:-1] + b"?"
    signed = running.store.sign_put(
        KEY,
        content_type="image/jpeg",
        byte_size=len(body),
        sha256=sha256(DATA),
        md5=None,
        expires_in=FIVE_MINUTES,
    )
    await assert_refused(running, await send(running, signed, body))


@pytest.mark.needs("checks_requests")
async def test_a_body_with_another_md5_is_refused(running: RunningStore) -> None:
    body = DATA[:-1] + b"?"
    signed = running.store.sign_put(
        KEY,
        content_type="image/jpeg",
        byte_size=len(body),
        sha256=None,
        md5=md5(DATA),
        expires_in=FIVE_MINUTES,
    )
    await assert_refused(running, await send(running, signed, body))


@pytest.mark.needs("checks_requests")
async def test_another_md5_header_is_refused(running: RunningStore) -> None:
    response = await send(running, sign_put(running, KEY, DATA), DATA, Content_MD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    await assert_refused(running, response)


async def test_a_second_upload_gets_412_and_changes_nothing(running: RunningStore, tmp_path: Path) -> None:
    first, second = b"the first bytes", b"other, later ones"
    late = sign_put(running, KEY, second)
    await upload(running, KEY, first)
    before = await running.store.head(KEY)
    assert (await send(running, late, second)).status_code == 412
    assert await running.store.head(KEY) == before
    assert await stored_bytes(running, KEY, tmp_path) == first


@pytest.mark.needs("decides_races")
async def test_of_racing_uploads_exactly_one_wins(running: RunningStore, tmp_path: Path) -> None:
    bodies = [bytes([letter]) * 300_000 for letter in b"abcdefgh"]
    responses = await asyncio.gather(*(send(running, sign_put(running, KEY, body), body) for body in bodies))
    codes = [response.status_code for response in responses]
    # 409: another was on its way; 412: another was stored.
    assert codes.count(200) == 1
    assert set(codes) <= {200, 409, 412}
    assert await stored_bytes(running, KEY, tmp_path) == bodies[codes.index(200)]


async def test_a_client_that_goes_away_leaves_nothing(running: RunningStore, tmp_path: Path) -> None:
    signed = sign_put(running, KEY, DATA)
    _, writer = await begin_upload(signed, DATA[:200_000], extra=f"Content-Length: {len(DATA)}\r\n")
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.1)
    assert await running.store.head(KEY) is None
    assert [entry.key async for entry in running.store.list("")] == []
    assert (await send(running, signed, DATA)).is_success


async def test_a_download_has_the_bytes_and_the_signed_type(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    response = await running.http.get(sign_get(running, KEY, content_type="image/webp"))
    assert (response.status_code, response.content) == (200, DATA)
    assert response.headers["content-type"] == "image/webp"
    assert response.headers["etag"]
    assert response.headers["last-modified"]


@pytest.mark.parametrize("disposition", list(Disposition))
async def test_a_download_has_the_signed_disposition(running: RunningStore, disposition: Disposition) -> None:
    await upload(running, KEY, b"abc")
    response = await running.http.get(sign_get(running, KEY, disposition=disposition, filename="größe.jpg"))
    header = response.headers["content-disposition"]
    assert header.startswith(disposition.value)
    assert "filename*=UTF-8''gr%C3%B6%C3%9Fe.jpg" in header


async def test_a_range_is_served(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    response = await running.http.get(sign_get(running, KEY), headers={"Range": "bytes=1000-1999"})
    assert (response.status_code, response.content) == (206, DATA[1000:2000])
    assert response.headers["content-range"] == f"bytes 1000-1999/{len(DATA)}"


async def test_a_client_that_has_the_bytes_gets_304(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    url = sign_get(running, KEY)
    etag = (await running.http.get(url)).headers["etag"]
    response = await running.http.get(url, headers={"If-None-Match": etag})
    assert (response.status_code, response.content) == (304, b"")


@pytest.mark.needs("serves_everybody")
async def test_a_missing_object_is_404(running: RunningStore) -> None:
    assert (await running.http.get(sign_get(running, KEY))).status_code == 404


async def test_an_address_lives_no_longer_than_asked(running: RunningStore) -> None:
    now = datetime.now(UTC)
    put = sign_put(running, KEY, DATA)
    get = running.store.sign_get(
        KEY,
        disposition=Disposition.INLINE,
        filename="a",
        content_type="image/png",
        expires_in=FIVE_MINUTES,
    )
    assert timedelta(minutes=5) <= put.expires_at - now <= timedelta(minutes=5, seconds=2)
    assert timedelta(minutes=4) <= get.expires_at - now <= timedelta(minutes=5, seconds=2)


@pytest.mark.parametrize("expires_in", [timedelta(0), timedelta(seconds=-1), timedelta(days=8)])
async def test_an_impossible_lifetime_is_a_value_error(running: RunningStore, expires_in: timedelta) -> None:
    with pytest.raises(ValueError, match="lives"):
        sign_put(running, KEY, DATA, expires_in=expires_in)
    with pytest.raises(ValueError, match="lives"):
        sign_get(running, KEY, expires_in=expires_in)


@pytest.mark.parametrize(
    "content_type", ["", "image", "image/png\r\nX: y", "image/png; a=\n", "ä/b", "a/" + "b" * 300]
)
async def test_a_malformed_type_is_a_value_error(running: RunningStore, content_type: str) -> None:
    with pytest.raises(ValueError, match="content type"):
        sign_put(running, KEY, DATA, content_type=content_type)
    with pytest.raises(ValueError, match="content type"):
        sign_get(running, KEY, content_type=content_type)


@pytest.mark.parametrize(
    ("byte_size", "sha", "md"),
    [(-1, None, None), (1, "A" * 64, None), (1, "a" * 63, None), (1, None, "a" * 31)],
)
async def test_a_malformed_promise_is_a_value_error(
    running: RunningStore, byte_size: int, sha: str | None, md: str | None
) -> None:
    with pytest.raises(ValueError, match=r"size|SHA|MD5"):
        running.store.sign_put(
            KEY, content_type="a/b", byte_size=byte_size, sha256=sha, md5=md, expires_in=FIVE_MINUTES
        )


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_key_outside_the_grammar_is_refused_everywhere(
    running: RunningStore, key: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    with pytest.raises(InvalidKeyError):
        sign_put(running, key, DATA)
    with pytest.raises(InvalidKeyError):
        sign_get(running, key)
    with pytest.raises(InvalidKeyError):
        await running.store.head(key)
    with pytest.raises(InvalidKeyError):
        await running.store.put_file(key, source, content_type="image/webp")
    with pytest.raises(InvalidKeyError):
        await running.store.fetch(key, tmp_path / "target")
    with pytest.raises(InvalidKeyError):
        await running.store.delete([KEY, key])
    with pytest.raises(InvalidKeyError):
        await running.store.copy(KEY, key, content_type="image/webp")
    with pytest.raises(InvalidKeyError):
        await running.store.copy(key, KEY, content_type="image/webp")
    with pytest.raises(InvalidKeyError):
        running.store.public_url(f"public/{key}")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("key", ["a", "x" * 255, "x" * 254 + "/" + "y" * 255 + "/z", "a/b-c_d.e/0"])
async def test_a_key_within_the_grammar_is_stored(running: RunningStore, key: str, tmp_path: Path) -> None:
    await upload(running, key, b"abc")
    assert await keys(running) == [key]
    assert await stored_bytes(running, key, tmp_path) == b"abc"


async def test_put_file_stores_a_copy_and_replaces_what_was_there(
    running: RunningStore, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(DATA)
    await upload(running, KEY, b"old")
    old = await running.store.head(KEY)
    info = await running.store.put_file(KEY, source, content_type="image/webp")
    source.write_bytes(b"written to later")
    assert info == await running.store.head(KEY)
    assert info.byte_size == len(DATA)
    assert old is not None
    assert info.etag != old.etag
    assert await stored_bytes(running, KEY, tmp_path) == DATA


async def test_put_file_refuses_a_symlink(running: RunningStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="link"):
        await running.store.put_file(KEY, tmp_path / "link", content_type="image/webp")
    assert await keys(running) == []


async def test_put_file_refuses_a_pipe_without_waiting(running: RunningStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe"):
        await running.store.put_file(KEY, tmp_path / "pipe", content_type="image/webp")


async def test_a_copy_has_the_bytes_and_outlives_its_source(running: RunningStore, tmp_path: Path) -> None:
    await upload(running, KEY, DATA)
    info = await running.store.copy(KEY, COPY, content_type="image/webp")
    assert info == await running.store.head(COPY)
    assert (info.key, info.byte_size) == (COPY, len(DATA))
    assert abs(datetime.now(UTC) - info.modified_at) < timedelta(minutes=1)
    await running.store.delete([KEY])
    assert await stored_bytes(running, COPY, tmp_path) == DATA


async def test_a_copy_leaves_its_source_as_it_was(running: RunningStore, tmp_path: Path) -> None:
    await upload(running, KEY, DATA)
    before = await running.store.head(KEY)
    await running.store.copy(KEY, COPY, content_type="image/webp")
    await running.store.delete([COPY])
    assert await running.store.head(KEY) == before
    assert await stored_bytes(running, KEY, tmp_path) == DATA


async def test_a_copy_can_be_made_twice_and_replaces_what_was_there(
    running: RunningStore, tmp_path: Path
) -> None:
    await upload(running, KEY, DATA)
    await upload(running, "0197/other", b"other")
    await running.store.copy("0197/other", COPY, content_type="image/webp")
    for _ in range(2):
        await running.store.copy(KEY, COPY, content_type="image/webp")
        assert await stored_bytes(running, COPY, tmp_path) == DATA
    assert await keys(running) == ["0197/2026/11/20/blob.jpg", "0197/other", COPY]


async def test_a_copy_onto_itself_changes_no_byte(running: RunningStore, tmp_path: Path) -> None:
    await upload(running, KEY, DATA)
    await running.store.copy(KEY, KEY, content_type="image/jpeg")
    assert await stored_bytes(running, KEY, tmp_path) == DATA


async def test_a_copy_of_nothing_is_refused_and_leaves_what_is_there(
    running: RunningStore, tmp_path: Path
) -> None:
    await upload(running, KEY, DATA)
    with pytest.raises(ObjectMissingError):
        await running.store.copy("0197/never", KEY, content_type="image/webp")
    with pytest.raises(ObjectMissingError):
        await running.store.copy("0197/never", COPY, content_type="image/webp")
    assert await keys(running) == [KEY]
    assert await stored_bytes(running, KEY, tmp_path) == DATA


async def test_a_copy_of_a_malformed_type_is_a_value_error(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    with pytest.raises(ValueError, match="content type"):
        await running.store.copy(KEY, COPY, content_type="image/webp\r\nX: y")
    assert await keys(running) == [KEY]


async def test_a_copy_is_made_of_what_was_looked_at_only(running: RunningStore, tmp_path: Path) -> None:
    await upload(running, KEY, DATA)
    seen = await running.store.head(KEY)
    assert seen is not None
    await running.store.copy(KEY, "0197/first", content_type="image/webp", if_etag=seen.etag)
    assert await stored_bytes(running, "0197/first", tmp_path) == DATA
    await running.store.delete([KEY])
    await upload(running, KEY, b"something else")
    with pytest.raises(ObjectChangedError):
        await running.store.copy(KEY, "0197/second", content_type="image/webp", if_etag=seen.etag)
    with pytest.raises(ObjectMissingError):
        await running.store.copy("0197/never", "0197/second", content_type="image/webp", if_etag=seen.etag)
    assert await keys(running) == ["0197/2026/11/20/blob.jpg", "0197/first"]


async def test_racing_copies_and_deletions_leave_a_whole_object_or_none(
    running: RunningStore, tmp_path: Path
) -> None:
    await upload(running, KEY, DATA)
    for _ in range(10):
        await asyncio.gather(
            *(running.store.copy(KEY, COPY, content_type="image/webp") for _ in range(4)),
            running.store.delete([COPY]),
        )
        if await running.store.head(COPY) is not None:
            assert await stored_bytes(running, COPY, tmp_path) == DATA


@pytest.mark.needs("serves_everybody")
async def test_a_public_object_is_read_by_everybody_at_its_address(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    await running.store.copy(KEY, COPY, content_type="image/webp")
    response = await running.http.get(running.store.public_url(COPY))
    assert (response.status_code, response.content) == (200, DATA)
    assert response.headers["cache-control"] == "public, max-age=86400, immutable"
    assert response.headers["content-type"] == "image/webp"
    head = await running.http.head(running.store.public_url(COPY))
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(DATA)))


@pytest.mark.needs("serves_everybody")
async def test_a_public_object_serves_ranges_and_conditions(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    await running.store.copy(KEY, COPY, content_type="image/webp")
    url = running.store.public_url(COPY)
    part = await running.http.get(url, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, DATA[1000:2000])
    known = await running.http.get(url, headers={"If-None-Match": part.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.needs("serves_everybody")
async def test_a_public_object_that_was_deleted_is_404_whatever_the_client_has(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    await running.store.copy(KEY, COPY, content_type="image/webp")
    url = running.store.public_url(COPY)
    etag = (await running.http.get(url)).headers["etag"]
    await running.store.delete([COPY])
    for headers in ({}, {"If-None-Match": etag}, {"If-None-Match": "*"}, {"Range": "bytes=0-9"}):
        assert (await running.http.get(url, headers=headers)).status_code == 404


@pytest.mark.parametrize("key", [KEY, "public", "publicx/a", "public-/a", "a/public/b", "publi/c"])
async def test_only_what_lies_beneath_public_has_a_public_address(running: RunningStore, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        running.store.public_url(key)


@pytest.mark.needs("refuses_strangers")
@pytest.mark.parametrize("key", [KEY, "publicx/a", "a/public/b"])
async def test_nothing_else_is_read_without_a_signature(running: RunningStore, key: str) -> None:
    await upload(running, key, DATA)
    url = running.store.public_url(COPY).replace(COPY, key)
    for method in ("GET", "HEAD"):
        assert (await running.http.request(method, url)).status_code == 403


@pytest.mark.parametrize("key", ["public", "public/a", "public/0197/blob.jpg"])
async def test_nobody_is_ever_permitted_to_write_what_is_public(running: RunningStore, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        sign_put(running, key, DATA)
    with pytest.raises(InvalidKeyError):
        sign_get(running, key)


@pytest.mark.needs("checks_requests")
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
async def test_a_public_address_serves_no_other_method(
    running: RunningStore, method: str, tmp_path: Path
) -> None:
    await upload(running, KEY, DATA)
    await running.store.copy(KEY, COPY, content_type="image/webp")
    other = COPY.replace("webp-320", "other")
    for key in (COPY, other):
        signed = sign_put(running, KEY, b"intruder")
        url = f"{running.store.public_url(key)}?{signed.url.partition('?')[2]}"
        response = await running.http.request(method, url, headers=signed.headers, content=b"intruder")
        assert 400 <= response.status_code < 500
    assert await stored_bytes(running, COPY, tmp_path) == DATA
    assert await running.store.head(other) is None


async def test_what_is_public_is_not_listed(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    await running.store.copy(KEY, COPY, content_type="image/webp")
    url = running.store.public_url(COPY)
    for path in (url.rpartition("/")[0], f"{url.rpartition('/')[0]}/", url.replace(COPY, "public/")):
        assert (await running.http.get(path)).status_code in {403, 404}


async def test_fetch_makes_a_private_copy_and_hashes_it(running: RunningStore, tmp_path: Path) -> None:
    await upload(running, KEY, DATA)
    target = tmp_path / "target"
    fetched = await running.store.fetch(KEY, target)
    assert (fetched.byte_size, fetched.sha256) == (len(DATA), sha256(DATA))
    assert target.read_bytes() == DATA
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    target.write_bytes(b"spoiled by a child")
    assert await stored_bytes(running, KEY, tmp_path) == DATA


@pytest.mark.parametrize("blocks", [0, 1, 2, 2.5])
async def test_fetch_hashes_each_block(running: RunningStore, tmp_path: Path, blocks: float) -> None:
    data = random.Random(int(blocks * 2)).randbytes(int(blocks * MEBIBYTE))
    await upload(running, KEY, data)
    fetched = await running.store.fetch(KEY, tmp_path / "target", block_size=MEBIBYTE)
    expected = [sha256(data[start : start + MEBIBYTE]) for start in range(0, len(data), MEBIBYTE)]
    assert fetched.block_sha256s == tuple(expected)
    assert (fetched.byte_size, fetched.sha256) == (len(data), sha256(data))


async def test_blocks_have_at_least_a_mebibyte(running: RunningStore, tmp_path: Path) -> None:
    await upload(running, KEY, DATA)
    with pytest.raises(ValueError, match="block"):
        await running.store.fetch(KEY, tmp_path / "target", block_size=MEBIBYTE - 1)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (0, 10_000), (1_000, 1), (len(DATA) - 1, 1), (len(DATA) - 1, 100), (0, 16 * MEBIBYTE)],
)
async def test_a_part_of_the_bytes_is_read(running: RunningStore, offset: int, length: int) -> None:
    await upload(running, KEY, DATA)
    assert await running.store.read(KEY, offset=offset, length=length) == DATA[offset : offset + length]


@pytest.mark.parametrize("offset", [len(DATA), len(DATA) + 1, 2**40])
async def test_beyond_the_end_there_is_nothing_to_read(running: RunningStore, offset: int) -> None:
    await upload(running, KEY, DATA)
    assert await running.store.read(KEY, offset=offset, length=10) == b""


async def test_an_empty_object_has_nothing_to_read(running: RunningStore) -> None:
    await upload(running, KEY, b"")
    assert await running.store.read(KEY, offset=0, length=10) == b""


async def test_what_is_missing_cannot_be_read(running: RunningStore) -> None:
    with pytest.raises(ObjectMissingError):
        await running.store.read(KEY, offset=0, length=10)
    with pytest.raises(InvalidKeyError):
        await running.store.read("../etc/passwd", offset=0, length=10)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, 0), (0, -1), (0, 16 * MEBIBYTE + 1)])
async def test_a_range_that_cannot_be_meant_is_a_value_error(
    running: RunningStore, offset: int, length: int
) -> None:
    await upload(running, KEY, DATA)
    with pytest.raises(ValueError, match="range"):
        await running.store.read(KEY, offset=offset, length=length)


async def test_fetch_of_a_missing_object_leaves_no_file(running: RunningStore, tmp_path: Path) -> None:
    with pytest.raises(ObjectMissingError):
        await running.store.fetch(KEY, tmp_path / "target")
    assert not (tmp_path / "target").exists()


async def test_fetch_overwrites_nothing(running: RunningStore, tmp_path: Path) -> None:
    await upload(running, KEY, DATA)
    (tmp_path / "target").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        await running.store.fetch(KEY, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"mine"


async def test_a_cancelled_fetch_leaves_no_file(running: RunningStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(256 * 1024 * 1024))
    await running.store.put_file(KEY, source, content_type="image/webp")
    fetching = asyncio.create_task(running.store.fetch(KEY, tmp_path / "target"))
    await until((tmp_path / "target").exists)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert not (tmp_path / "target").exists()


async def test_delete_can_be_done_twice(running: RunningStore) -> None:
    await upload(running, KEY, DATA)
    await upload(running, "0197/other", DATA)
    await running.store.delete([KEY, "0197/never"])
    await running.store.delete([KEY, KEY])
    await running.store.delete([])
    assert await keys(running) == ["0197/other"]


async def test_a_deleted_key_can_be_uploaded_again(running: RunningStore) -> None:
    signed = sign_put(running, KEY, DATA)
    await send(running, signed, DATA)
    await running.store.delete([KEY])
    assert (await send(running, signed, DATA)).is_success


async def test_delete_takes_many_keys(running: RunningStore) -> None:
    many = [f"many/{number % 7}/{number}" for number in range(250)]
    await asyncio.gather(*(upload(running, key, b"x") for key in many))
    await running.store.delete(many[:-1])
    assert await keys(running) == [many[-1]]


async def test_list_is_in_key_order_and_takes_any_prefix(running: RunningStore) -> None:
    names = ["a-b", "a.b", "a/b", "a/b-c/d", "a/c", "ab", "b/a", "b0"]
    for key in reversed(names):
        await upload(running, key, key.encode())
    assert await keys(running) == sorted(names)
    for prefix in ["a", "a/", "a/b", "a/b-c/", "b", "b/a", "zzz", "a/b-c/d/e"]:
        assert await keys(running, prefix) == sorted(key for key in names if key.startswith(prefix))
    assert [info.byte_size async for info in running.store.list("a/b")] == [3, 7]


@pytest.mark.parametrize("prefix", ["/", "..", "a//", "../", "A", "a\0"])
async def test_list_refuses_a_prefix_that_no_key_has(running: RunningStore, prefix: str) -> None:
    with pytest.raises(InvalidKeyError):
        await keys(running, prefix)


async def test_check_proves_the_store_and_leaves_nothing(running: RunningStore) -> None:
    await running.store.check()
    assert await keys(running) == []
