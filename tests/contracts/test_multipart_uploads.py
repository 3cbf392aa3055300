"""The contract of multipart uploads: every backend in `BACKENDS` keeps each of these sentences."""

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from storage.errors import (
    InvalidKeyError,
    MultipartMissingError,
    ObjectExistsError,
    ObjectMissingError,
    PartsChangedError,
)
from storage.objects import MAX_PARTS, MIN_PART_BYTES, SignedPut, StoredPart
from tests.contracts.object_store import (
    FIVE_MINUTES,
    RunningStore,
    keys,
    multiparts,
    send,
    send_part,
    sha256,
    sign_get,
    sign_part,
    stored_bytes,
    upload,
    upload_parts,
)

KEY = "0197/2026/11/20/film.mp4"
OTHER = "0197/2026/11/20/other.mp4"
TYPE = "video/mp4"
FIRST, SECOND = (random.Random(seed).randbytes(MIN_PART_BYTES) for seed in (1, 2))
LAST = random.Random(3).randbytes(70_000)


async def begin(running: RunningStore, key: str = KEY, *, part_hashes: bool = True) -> str:
    return await running.store.create_multipart(key, content_type=TYPE, part_hashes=part_hashes)


async def received(running: RunningStore, upload_id: str, key: str = KEY) -> list[tuple[int, int]]:
    return [(part.number, part.byte_size) for part in await running.store.list_parts(key, upload_id)]


def forged(signed: SignedPut, old: str, new: str) -> SignedPut:
    assert old in signed.url
    return SignedPut(url=signed.url.replace(old, new), headers=signed.headers, expires_at=signed.expires_at)


async def assert_part_refused(running: RunningStore, upload_id: str, response: httpx.Response) -> None:
    assert 400 <= response.status_code < 500
    assert await received(running, upload_id) == []


async def test_parts_become_one_object(running: RunningStore, tmp_path: Path) -> None:
    upload_id, parts = await upload_parts(running, KEY, [FIRST, SECOND, LAST])
    assert await running.store.head(KEY) is None
    info = await running.store.complete_multipart(KEY, upload_id, parts, content_type="image/jpeg")
    assert info == await running.store.head(KEY)
    assert (info.key, info.byte_size) == (KEY, len(FIRST + SECOND + LAST))
    assert await stored_bytes(running, KEY, tmp_path) == FIRST + SECOND + LAST
    assert await multiparts(running) == []


async def test_an_upload_of_one_part_is_fine(running: RunningStore, tmp_path: Path) -> None:
    upload_id, parts = await upload_parts(running, KEY, [LAST])
    await running.store.complete_multipart(KEY, upload_id, parts, content_type="image/jpeg")
    assert await stored_bytes(running, KEY, tmp_path) == LAST


async def test_parts_come_in_any_order_and_at_once(running: RunningStore, tmp_path: Path) -> None:
    upload_id = await begin(running)
    bodies = {3: LAST, 1: FIRST, 2: SECOND}
    answers = await asyncio.gather(
        *(send_part(running, KEY, upload_id, number, data) for number, data in bodies.items())
    )
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    parts = await running.store.list_parts(KEY, upload_id)
    await running.store.complete_multipart(KEY, upload_id, list(reversed(parts)), content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == FIRST + SECOND + LAST


async def test_what_was_received_is_what_the_store_lists(running: RunningStore) -> None:
    upload_id = await begin(running)
    await running.store.check_multipart(KEY, upload_id)
    assert await running.store.list_parts(KEY, upload_id) == []
    answer = await send_part(running, KEY, upload_id, 2, LAST)
    [part] = await running.store.list_parts(KEY, upload_id)
    assert (part.number, part.byte_size) == (2, len(LAST))
    assert answer.headers["etag"] == f'"{part.etag}"'
    assert part.sha256 in {sha256(LAST), None}
    await send_part(running, KEY, upload_id, 1, FIRST)
    assert await received(running, upload_id) == [(1, len(FIRST)), (2, len(LAST))]


async def test_parts_are_listed_by_number_however_many(running: RunningStore) -> None:
    upload_id = await begin(running)
    numbers = [MAX_PARTS, *range(1, 1_100)]
    for start in range(0, len(numbers), 50):
        await asyncio.gather(
            *(send_part(running, KEY, upload_id, number, b"x") for number in numbers[start : start + 50])
        )
    assert [number for number, _ in await received(running, upload_id)] == sorted(numbers)


async def test_a_part_without_a_hash_is_taken(running: RunningStore, tmp_path: Path) -> None:
    upload_id = await begin(running, part_hashes=False)
    assert (await send_part(running, KEY, upload_id, 1, LAST, hashed=False)).is_success
    parts = await running.store.list_parts(KEY, upload_id)
    await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == LAST


async def test_a_part_sent_again_replaces_the_one_before(running: RunningStore, tmp_path: Path) -> None:
    upload_id = await begin(running)
    await send_part(running, KEY, upload_id, 1, b"the first try, which was longer")
    [before] = await running.store.list_parts(KEY, upload_id)
    await send_part(running, KEY, upload_id, 1, LAST)
    [after] = await running.store.list_parts(KEY, upload_id)
    assert after.etag != before.etag
    assert after.byte_size == len(LAST)
    await running.store.complete_multipart(KEY, upload_id, [after], content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == LAST


async def test_the_same_address_sends_a_part_as_often_as_it_takes(running: RunningStore) -> None:
    upload_id = await begin(running)
    signed = sign_part(running, KEY, upload_id, 1, LAST)
    assert [(await send(running, signed, LAST)).status_code for _ in range(3)] == [200, 200, 200]
    assert await received(running, upload_id) == [(1, len(LAST))]


async def test_a_part_that_was_replaced_since_is_found_out(running: RunningStore) -> None:
    upload_id, parts = await upload_parts(running, KEY, [FIRST, LAST])
    await send_part(running, KEY, upload_id, 2, LAST[:-1] + b"?")
    with pytest.raises(PartsChangedError):
        await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await keys(running) == []
    parts = await running.store.list_parts(KEY, upload_id)
    await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)


async def test_a_part_that_was_never_sent_is_found_out(running: RunningStore) -> None:
    upload_id, [part] = await upload_parts(running, KEY, [FIRST])
    invented = StoredPart(number=2, byte_size=part.byte_size, etag=part.etag, sha256=None)
    with pytest.raises(PartsChangedError):
        await running.store.complete_multipart(KEY, upload_id, [part, invented], content_type=TYPE)
    assert await keys(running) == []


async def test_an_object_of_no_parts_cannot_be_meant(running: RunningStore) -> None:
    upload_id = await begin(running)
    with pytest.raises(ValueError, match="part"):
        await running.store.complete_multipart(KEY, upload_id, [], content_type=TYPE)


@pytest.mark.needs("checks_requests")
@pytest.mark.parametrize("body", [LAST[:-1], LAST + b"x", b""])
async def test_a_part_of_another_length_is_refused(running: RunningStore, body: bytes) -> None:
    upload_id = await begin(running)
    signed = sign_part(running, KEY, upload_id, 1, LAST)
    await assert_part_refused(running, upload_id, await send(running, signed, body))


@pytest.mark.needs("checks_requests")
async def test_a_part_with_another_hash_is_refused(running: RunningStore) -> None:
    upload_id = await begin(running)
    signed = sign_part(running, KEY, upload_id, 1, LAST)
    await assert_part_refused(running, upload_id, await send(running, signed, LAST[:-1] + b"?"))


@pytest.mark.needs("checks_requests")
async def test_what_is_refused_leaves_the_part_as_it_was(running: RunningStore, tmp_path: Path) -> None:
    upload_id, parts = await upload_parts(running, KEY, [LAST])
    signed = sign_part(running, KEY, upload_id, 1, LAST)
    assert 400 <= (await send(running, signed, LAST[:-1] + b"?")).status_code < 500
    assert await running.store.list_parts(KEY, upload_id) == parts
    await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == LAST


@pytest.mark.needs("checks_requests")
async def test_an_altered_part_address_is_refused(running: RunningStore) -> None:
    upload_id = await begin(running)
    signed = sign_part(running, KEY, upload_id, 1, LAST)
    last = "A" if signed.url[-1] != "A" else "Q"
    altered = SignedPut(url=signed.url[:-1] + last, headers=signed.headers, expires_at=signed.expires_at)
    await assert_part_refused(running, upload_id, await send(running, altered, LAST))


@pytest.mark.needs("checks_requests")
async def test_a_part_address_is_for_its_key_and_upload_and_number_only(running: RunningStore) -> None:
    upload_id, another = await begin(running), await begin(running)
    elsewhere = await begin(running, OTHER)
    signed = sign_part(running, KEY, upload_id, 1, LAST)
    for wrong in (
        forged(signed, "film.mp4", "other.mp4"),
        forged(signed, upload_id, another),
        forged(signed, upload_id, elsewhere),
        forged(signed, "partNumber=1", "partNumber=2"),
    ):
        assert 400 <= (await send(running, wrong, LAST)).status_code < 500
    for key, each in ((KEY, upload_id), (KEY, another), (OTHER, elsewhere)):
        assert await received(running, each, key) == []


@pytest.mark.needs("checks_requests")
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
async def test_a_part_address_serves_no_other_method(running: RunningStore, method: str) -> None:
    upload_id, parts = await upload_parts(running, KEY, [LAST])
    signed = sign_part(running, KEY, upload_id, 1, LAST)
    response = await running.http.request(method, signed.url, headers=signed.headers)
    assert 400 <= response.status_code < 500
    assert await running.store.list_parts(KEY, upload_id) == parts


@pytest.mark.needs("checks_requests")
async def test_an_expired_part_address_is_refused(running: RunningStore) -> None:
    upload_id = await begin(running)
    with running.clock.back(timedelta(minutes=10)):
        signed = sign_part(running, KEY, upload_id, 1, LAST)
    await assert_part_refused(running, upload_id, await send(running, signed, LAST))


async def test_a_part_address_lives_no_longer_than_asked(running: RunningStore) -> None:
    upload_id = await begin(running)
    now = running.clock()
    signed = sign_part(running, KEY, upload_id, 1, LAST)
    assert timedelta(minutes=5) <= signed.expires_at - now <= timedelta(minutes=5, seconds=2)


@pytest.mark.needs("answers_ended_uploads")
async def test_after_an_abort_no_part_is_taken(running: RunningStore) -> None:
    upload_id, parts = await upload_parts(running, KEY, [LAST])
    await running.store.abort_multipart(KEY, upload_id)
    assert (await send_part(running, KEY, upload_id, 1, LAST)).status_code == 404
    with pytest.raises(MultipartMissingError):
        await running.store.list_parts(KEY, upload_id)
    with pytest.raises(MultipartMissingError):
        await running.store.check_multipart(KEY, upload_id)
    with pytest.raises(MultipartMissingError):
        await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await keys(running) == []


async def test_an_abort_forgets_the_upload_and_can_be_done_twice(running: RunningStore) -> None:
    upload_id, _ = await upload_parts(running, KEY, [LAST])
    await running.store.abort_multipart(KEY, upload_id)
    await running.store.abort_multipart(KEY, upload_id)
    assert await multiparts(running) == []
    with pytest.raises(MultipartMissingError):
        await running.store.list_parts(KEY, upload_id)
    with pytest.raises(MultipartMissingError):
        await running.store.check_multipart(KEY, upload_id)


@pytest.mark.needs("answers_ended_uploads")
async def test_after_completing_the_upload_has_ended(running: RunningStore, tmp_path: Path) -> None:
    upload_id, parts = await upload_parts(running, KEY, [LAST])
    done = await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert (await send_part(running, KEY, upload_id, 1, LAST[:-1] + b"?")).status_code == 404
    with pytest.raises(MultipartMissingError):
        await running.store.list_parts(KEY, upload_id)
    with pytest.raises(MultipartMissingError):
        await running.store.check_multipart(KEY, upload_id)
    with pytest.raises(MultipartMissingError):
        await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    await running.store.abort_multipart(KEY, upload_id)
    assert await running.store.head(KEY) == done
    assert await stored_bytes(running, KEY, tmp_path) == LAST


async def test_completing_again_does_not_bring_a_deleted_object_back(running: RunningStore) -> None:
    upload_id, parts = await upload_parts(running, KEY, [LAST])
    await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    await running.store.delete([KEY])
    with pytest.raises(MultipartMissingError):
        await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await keys(running) == []


async def test_a_key_that_is_taken_is_found_out_by_completing(running: RunningStore, tmp_path: Path) -> None:
    upload_id, parts = await upload_parts(running, KEY, [LAST])
    await upload(running, KEY, b"was there before")
    with pytest.raises(ObjectExistsError):
        await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == b"was there before"
    assert await running.store.list_parts(KEY, upload_id) == parts
    await running.store.delete([KEY])
    await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == LAST


@pytest.mark.needs("decides_races")
async def test_of_uploads_that_complete_at_once_one_wins(running: RunningStore, tmp_path: Path) -> None:
    bodies = [bytes([letter]) * 70_000 for letter in b"abcd"]
    begun = [await upload_parts(running, KEY, [body]) for body in bodies]
    ends = await asyncio.gather(
        *(
            running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
            for upload_id, parts in begun
        ),
        return_exceptions=True,
    )
    [winner] = [number for number, end in enumerate(ends) if not isinstance(end, BaseException)]
    assert all(isinstance(end, ObjectExistsError) for number, end in enumerate(ends) if number != winner)
    assert await stored_bytes(running, KEY, tmp_path) == bodies[winner]


async def test_one_upload_completed_from_two_sides_is_one_object(
    running: RunningStore, tmp_path: Path
) -> None:
    upload_id, parts = await upload_parts(running, KEY, [FIRST, LAST])
    ends = await asyncio.gather(
        *(running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE) for _ in range(4)),
        return_exceptions=True,
    )
    assert any(not isinstance(end, BaseException) for end in ends)
    refusals = [end for end in ends if isinstance(end, BaseException)]
    assert all(isinstance(end, MultipartMissingError | ObjectExistsError) for end in refusals)
    assert await stored_bytes(running, KEY, tmp_path) == FIRST + LAST


async def test_uploads_to_one_key_do_not_know_each_other(running: RunningStore, tmp_path: Path) -> None:
    first, _ = await upload_parts(running, KEY, [b"of the first"])
    second, parts = await upload_parts(running, KEY, [b"of the second one"])
    assert first != second
    await running.store.abort_multipart(KEY, first)
    await running.store.complete_multipart(KEY, second, parts, content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == b"of the second one"


@pytest.mark.needs("binds_uploads_to_keys")
async def test_an_upload_id_is_of_use_under_its_own_key_only(running: RunningStore) -> None:
    upload_id, parts = await upload_parts(running, KEY, [LAST])
    assert (await send_part(running, OTHER, upload_id, 1, LAST)).status_code == 404
    with pytest.raises(MultipartMissingError):
        await running.store.list_parts(OTHER, upload_id)
    with pytest.raises(MultipartMissingError):
        await running.store.check_multipart(OTHER, upload_id)
    with pytest.raises(MultipartMissingError):
        await running.store.complete_multipart(OTHER, upload_id, parts, content_type=TYPE)
    await running.store.abort_multipart(OTHER, upload_id)
    await running.store.check_multipart(KEY, upload_id)
    assert await running.store.list_parts(KEY, upload_id) == parts
    assert await keys(running) == []


@pytest.mark.parametrize(
    "upload_id", ["never-begun", "../../etc", "x" * 300, "a b?c&d=e/%2e", "0" * 32, "ä", "a\0b"]
)
async def test_an_id_that_was_never_given_is_no_upload(running: RunningStore, upload_id: str) -> None:
    part = StoredPart(number=1, byte_size=1, etag="d41d8cd98f00b204e9800998ecf8427e", sha256=None)
    with pytest.raises(MultipartMissingError):
        await running.store.list_parts(KEY, upload_id)
    with pytest.raises(MultipartMissingError):
        await running.store.check_multipart(KEY, upload_id)
    with pytest.raises(MultipartMissingError):
        await running.store.complete_multipart(KEY, upload_id, [part], content_type=TYPE)
    await running.store.abort_multipart(KEY, upload_id)
    assert await multiparts(running) == []


@pytest.mark.needs("serves_everybody")
async def test_parts_are_seen_by_nobody_else(running: RunningStore) -> None:
    upload_id, _ = await upload_parts(running, KEY, [LAST])
    assert await running.store.head(KEY) is None
    assert await keys(running) == []
    assert (await running.http.get(sign_get(running, KEY))).status_code == 404
    with pytest.raises(ObjectMissingError):
        await running.store.read(KEY, offset=0, length=10)
    await running.store.delete([KEY])
    assert await received(running, upload_id) == [(1, len(LAST))]


async def test_a_part_is_copied_within_the_store(running: RunningStore, tmp_path: Path) -> None:
    await upload(running, OTHER, FIRST + SECOND)
    upload_id = await begin(running)
    copied = await running.store.copy_part(
        KEY, upload_id, 1, source=OTHER, offset=1_000, length=MIN_PART_BYTES
    )
    await send_part(running, KEY, upload_id, 2, LAST)
    parts = await running.store.list_parts(KEY, upload_id)
    assert (copied.number, copied.byte_size) == (1, MIN_PART_BYTES)
    assert (parts[0].number, parts[0].byte_size, parts[0].etag) == (1, MIN_PART_BYTES, copied.etag)
    await running.store.delete([OTHER])
    await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == (FIRST + SECOND)[1_000:][:MIN_PART_BYTES] + LAST


async def test_a_copied_part_replaces_the_one_that_was_sent(running: RunningStore, tmp_path: Path) -> None:
    await upload(running, OTHER, LAST)
    upload_id = await begin(running)
    await send_part(running, KEY, upload_id, 1, FIRST)
    await running.store.copy_part(KEY, upload_id, 1, source=OTHER, offset=0, length=len(LAST))
    parts = await running.store.list_parts(KEY, upload_id)
    await running.store.complete_multipart(KEY, upload_id, parts, content_type=TYPE)
    assert await stored_bytes(running, KEY, tmp_path) == LAST


@pytest.mark.parametrize(
    ("number", "offset", "length"),
    [(0, 0, 10), (10_001, 0, 10), (1, -1, 10), (1, 0, 0)],
)
async def test_a_range_that_is_none_is_a_value_error(
    running: RunningStore, number: int, offset: int, length: int
) -> None:
    await assert_no_range(running, number, offset, length)


@pytest.mark.needs("checks_ranges")
@pytest.mark.parametrize(("offset", "length"), [(0, 70_001), (70_000, 1), (69_999, 2), (80_000, 10)])
async def test_a_range_beyond_the_source_is_a_value_error(
    running: RunningStore, offset: int, length: int
) -> None:
    await assert_no_range(running, 1, offset, length)


async def assert_no_range(running: RunningStore, number: int, offset: int, length: int) -> None:
    await upload(running, OTHER, LAST)
    upload_id = await begin(running)
    with pytest.raises(ValueError, match=r"range|part"):
        await running.store.copy_part(KEY, upload_id, number, source=OTHER, offset=offset, length=length)
    assert await received(running, upload_id) == []


@pytest.mark.needs("answers_ended_uploads")
async def test_a_part_of_nothing_or_to_nowhere_is_refused(running: RunningStore) -> None:
    upload_id = await begin(running)
    with pytest.raises(ObjectMissingError):
        await running.store.copy_part(KEY, upload_id, 1, source=OTHER, offset=0, length=10)
    await upload(running, OTHER, LAST)
    with pytest.raises(MultipartMissingError):
        await running.store.copy_part(KEY, "never-begun", 1, source=OTHER, offset=0, length=10)


@pytest.mark.needs("lists_uploads_by_key")
async def test_open_uploads_are_listed_by_key(running: RunningStore) -> None:
    names = ["a-b", "a.b", "a/b", "a/b-c/d", "ab", "b/a"]
    begun = {key: await begin(running, key) for key in reversed(names)}
    again = await begin(running, "a/b")
    assert [key for key, _ in await multiparts(running)] == sorted([*names, "a/b"])
    assert {each for key, each in await multiparts(running, "a/b") if key == "a/b"} == {begun["a/b"], again}
    for prefix in ["a", "a/", "a/b-", "b", "zzz"]:
        expected = sorted(key for key in [*names, "a/b"] if key.startswith(prefix))
        assert [key for key, _ in await multiparts(running, prefix)] == expected
    async for each in running.store.list_multiparts("ab"):
        assert abs(running.clock() - each.started_at) < timedelta(minutes=1)
    with pytest.raises(InvalidKeyError):
        await multiparts(running, "../")


@pytest.mark.parametrize("key", ["", "/a", "a//b", "..", "A", "public", "public/a"])
async def test_a_key_that_no_upload_may_have_is_refused(running: RunningStore, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        await begin(running, key)
    with pytest.raises(InvalidKeyError):
        sign_part(running, key, "an-upload", 1, LAST)
    with pytest.raises(InvalidKeyError):
        await running.store.complete_multipart(
            key, "an-upload", [StoredPart(number=1, byte_size=1, etag="e", sha256=None)], content_type=TYPE
        )


@pytest.mark.parametrize(
    ("number", "byte_size", "digest", "lifetime"),
    [
        (0, 1, None, FIVE_MINUTES),
        (10_001, 1, None, FIVE_MINUTES),
        (1, -1, None, FIVE_MINUTES),
        (1, 1, "A" * 64, FIVE_MINUTES),
        (1, 1, None, timedelta(0)),
        (1, 1, None, timedelta(days=8)),
    ],
)
async def test_an_impossible_part_is_a_value_error(
    running: RunningStore, number: int, byte_size: int, digest: str | None, lifetime: timedelta
) -> None:
    upload_id = await begin(running)
    with pytest.raises(ValueError, match=r"part|size|SHA|lives"):
        running.store.sign_part(
            KEY, upload_id, number, byte_size=byte_size, sha256=digest, expires_in=lifetime
        )


async def test_a_malformed_type_of_an_upload_is_a_value_error(running: RunningStore) -> None:
    with pytest.raises(ValueError, match="content type"):
        await running.store.create_multipart(KEY, content_type="video/mp4\r\nX: y", part_hashes=True)
    assert await multiparts(running) == []
