"""What holds of the disk store's multipart uploads alone: their directory, their races, their full disk."""

import asyncio
import errno
import fcntl
import os
import resource
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import disk_multipart
from storage.disk import STALE_AFTER, DiskStore
from storage.disk_part_signing import PartGrant
from storage.errors import (
    ChecksumMismatchError,
    MultipartMissingError,
    ObjectExistsError,
    PartsChangedError,
    SizeMismatchError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from storage.objects import StoredPart
from tests.contracts.object_store import SECRET, sha256
from tests.contracts.test_disk_store import small_disk as small_disk
from tests.serving import until

KEY = "0197/2026/11/20/film.mp4"
OTHER = "0197/2026/11/20/other.mp4"
MEBIBYTE = 1024 * 1024
FIRST, LAST = b"f" * 3 * MEBIBYTE, b"the last part"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(root: Path) -> DiskStore:
    return disk_store(root)


def disk_store(root: Path, *, later: timedelta = timedelta(0)) -> DiskStore:
    return DiskStore(
        root,
        base_url="http://127.0.0.1/objects",
        secret=SECRET,
        clock=lambda: datetime.now(UTC) + later,
    )


def grant(upload_id: str, number: int, data: bytes, *, key: str = KEY, sha: str | None = None) -> PartGrant:
    return PartGrant(
        key=key,
        upload_id=upload_id,
        number=number,
        byte_size=len(data),
        sha256=sha,
        expires_at=datetime.now(UTC) + timedelta(minutes=5),
    )


async def chunks(data: bytes, *, size: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[start : start + size]


async def received_part(store: DiskStore, upload_id: str, number: int, data: bytes) -> StoredPart:
    return await store.receive_part(grant(upload_id, number, data), chunks(data))


async def begun(store: DiskStore, *parts: bytes, key: str = KEY) -> tuple[str, list[StoredPart]]:
    upload_id = await store.create_multipart(key, content_type="video/mp4", part_hashes=True)
    stored = [
        await store.receive_part(grant(upload_id, number, data, key=key), chunks(data))
        for number, data in enumerate(parts, 1)
    ]
    return upload_id, stored


async def completed(store: DiskStore, upload_id: str, parts: list[StoredPart]) -> None:
    await store.complete_multipart(KEY, upload_id, parts, content_type="video/mp4")


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def upload_files(root: Path) -> list[str]:
    return [file for file in files(root) if file.startswith(".multipart/")]


def modes(root: Path) -> set[tuple[bool, int]]:
    """Whether it is a directory, and who may do what."""
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in root.rglob("*")}


def age(path: Path, by: timedelta) -> None:
    then = (datetime.now(UTC) - by).timestamp()
    os.utime(path, (then, then))


async def test_an_upload_leaves_its_object_and_nothing_else(store: DiskStore, root: Path) -> None:
    upload_id, parts = await begun(store, FIRST, LAST)
    await completed(store, upload_id, parts)
    assert files(root) == [KEY]
    assert list((root / ".multipart").iterdir()) == []
    assert (root / KEY).read_bytes() == FIRST + LAST
    assert (root / KEY).stat().st_nlink == 1


async def test_an_upload_of_one_part_is_that_file(store: DiskStore, root: Path) -> None:
    """Nothing is copied: a file of one part may be as large as 5 GiB."""
    upload_id, parts = await begun(store, FIRST)
    [part] = [root / file for file in upload_files(root) if not file.endswith("manifest")]
    inode = part.stat().st_ino
    await completed(store, upload_id, parts)
    assert (root / KEY).stat().st_ino == inode
    assert (root / KEY).stat().st_nlink == 1
    assert files(root) == [KEY]


async def test_the_hash_of_every_part_is_known(store: DiskStore) -> None:
    upload_id, parts = await begun(store, FIRST, LAST)
    assert [part.sha256 for part in parts] == [sha256(FIRST), sha256(LAST)]
    assert await store.list_parts(KEY, upload_id) == parts


async def test_a_copied_part_has_its_hash_too(store: DiskStore, root: Path) -> None:
    data = os.urandom(3 * MEBIBYTE + 17)
    source, parts = await begun(store, data, key=OTHER)
    await store.complete_multipart(OTHER, source, parts, content_type="a/b")
    upload_id, _ = await begun(store)
    part = await store.copy_part(KEY, upload_id, 7, source=OTHER, offset=5, length=2 * MEBIBYTE + 3)
    assert part.sha256 == sha256(data[5 : 2 * MEBIBYTE + 8])
    assert await store.list_parts(KEY, upload_id) == [part]


async def test_files_and_directories_are_private(store: DiskStore, root: Path) -> None:
    previous = os.umask(0)
    try:
        await begun(store, FIRST, LAST)
    finally:
        os.umask(previous)
    assert modes(root) == {(True, 0o700), (False, 0o600)}


@pytest.mark.parametrize("refusal", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, None])
async def test_bytes_are_copied_where_the_kernel_does_not(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch, refusal: int | None
) -> None:
    def copy_file_range(*args: object, **kwargs: object) -> int:
        if refusal is None:
            return 0
        raise OSError(refusal, "not in this kernel")

    monkeypatch.setattr(os, "copy_file_range", copy_file_range)
    upload_id, parts = await begun(store, FIRST, LAST)
    await completed(store, upload_id, parts)
    assert (root / KEY).read_bytes() == FIRST + LAST
    again, _ = await begun(store, key=OTHER)
    part = await store.copy_part(OTHER, again, 1, source=KEY, offset=1, length=2 * MEBIBYTE)
    assert part.sha256 == sha256(FIRST[1 : 2 * MEBIBYTE + 1])


async def test_bytes_are_copied_on_a_system_without_the_call(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range")
    upload_id, parts = await begun(store, FIRST, LAST)
    await completed(store, upload_id, parts)
    assert (root / KEY).read_bytes() == FIRST + LAST


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"ab", b"abcd"])
async def test_a_part_of_another_length_leaves_the_one_before(
    store: DiskStore, root: Path, sent: bytes
) -> None:
    upload_id, parts = await begun(store, b"was")
    before = files(root)
    with pytest.raises(SizeMismatchError):
        await store.receive_part(grant(upload_id, 1, b"abc"), chunks(sent, size=1))
    assert files(root) == before
    assert await store.list_parts(KEY, upload_id) == parts


async def test_a_part_with_another_hash_leaves_the_one_before(store: DiskStore, root: Path) -> None:
    upload_id, _ = await begun(store, b"was")
    before = files(root)
    with pytest.raises(ChecksumMismatchError, match="SHA-256"):
        await store.receive_part(grant(upload_id, 1, b"abc", sha=sha256(b"abd")), chunks(b"abc"))
    assert files(root) == before


async def test_a_part_of_an_upload_that_has_ended_is_not_read(store: DiskStore) -> None:
    upload_id, _ = await begun(store, b"was")
    await store.abort_multipart(KEY, upload_id)
    body = chunks(b"abc", size=1)
    with pytest.raises(MultipartMissingError):
        await store.receive_part(grant(upload_id, 1, b"abc"), body)
    assert await anext(body) == b"a"


async def test_a_cancelled_part_leaves_the_one_before(store: DiskStore, root: Path) -> None:
    upload_id, parts = await begun(store, b"was")
    before, begun_event = files(root), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MEBIBYTE)
            begun_event.set()
            await asyncio.sleep(0)

    receiving = asyncio.create_task(store.receive_part(grant(upload_id, 1, bytes(100 * MEBIBYTE)), endless()))
    await begun_event.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert files(root) == before
    assert await store.list_parts(KEY, upload_id) == parts


async def test_a_cancelled_completion_leaves_the_upload_or_the_object(store: DiskStore, root: Path) -> None:
    for milliseconds in range(0, 40, 4):
        upload_id, parts = await begun(store, os.urandom(20 * MEBIBYTE), LAST)
        completing = asyncio.create_task(completed(store, upload_id, parts))
        await asyncio.sleep(milliseconds / 1000)
        completing.cancel()
        with suppress(asyncio.CancelledError):
            await completing
        if (root / KEY).exists():
            assert (root / KEY).stat().st_size == 20 * MEBIBYTE + len(LAST)
            with pytest.raises(MultipartMissingError):
                await store.list_parts(KEY, upload_id)
            await disk_store(root, later=timedelta(days=1)).sweep_incoming()
        else:
            assert await store.list_parts(KEY, upload_id) == parts
            await store.abort_multipart(KEY, upload_id)
        await store.delete([KEY])
        assert files(root) == []


async def test_a_cancelled_beginning_leaves_nothing(store: DiskStore, root: Path) -> None:
    for turns in range(6):
        creating = asyncio.create_task(
            store.create_multipart(KEY, content_type="video/mp4", part_hashes=True)
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert files(root) == []


# --- who come at once ------------------------------------------------------------------------------


async def test_two_who_send_one_part_at_once_leave_one_of_the_two(store: DiskStore, root: Path) -> None:
    """Two stores on one directory share nothing but the directory, as two processes do."""
    other = disk_store(root)
    upload_id, _ = await begun(store)
    for _ in range(20):
        one, two = os.urandom(70_000), os.urandom(90_000)
        sent = await asyncio.gather(
            received_part(store, upload_id, 1, one), received_part(other, upload_id, 1, two)
        )
        [part] = await store.list_parts(KEY, upload_id)
        assert part in sent
        assert len(upload_files(root)) == 2


async def test_the_same_bytes_sent_twice_at_once_are_one_part(store: DiskStore, root: Path) -> None:
    upload_id, _ = await begun(store)
    sent = await asyncio.gather(*(received_part(store, upload_id, 1, LAST) for _ in range(8)))
    assert await store.list_parts(KEY, upload_id) == sent[:1]
    assert len(upload_files(root)) == 2


async def test_a_part_that_is_replaced_while_the_upload_completes_is_not_lost_in_silence(
    store: DiskStore, root: Path
) -> None:
    """Either the object has the part that was acknowledged before, or completing says that it changed."""
    ends: set[str] = set()
    for pause in range(30):
        upload_id, parts = await begun(store, FIRST, LAST)
        completing = asyncio.create_task(completed(store, upload_id, parts))
        await asyncio.sleep(pause / 2000)
        with suppress(MultipartMissingError):
            await received_part(store, upload_id, 2, b"another")
            ends.add("replaced")
        try:
            await completing
        except PartsChangedError:
            [_, part] = await store.list_parts(KEY, upload_id)
            assert part.sha256 == sha256(b"another")
            assert not (root / KEY).exists()
            await store.abort_multipart(KEY, upload_id)
            ends.add("changed")
        else:
            assert (root / KEY).read_bytes() == FIRST + LAST
            ends.add("completed")
        await store.delete([KEY])
        assert files(root) == []
    assert ends >= {"changed", "completed"}


async def test_a_part_that_is_replaced_once_it_was_copied_is_noticed(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was acknowledged before the object is there is not left out of it."""
    upload_id, parts = await begun(store, FIRST, LAST)
    copied, go_on, real = threading.Event(), threading.Event(), os.copy_file_range

    def copy_file_range(source: int, target: int, count: int, offset_src: int) -> int:
        done = real(source, target, count, offset_src=offset_src)
        copied.set()
        assert go_on.wait(10)
        return done

    monkeypatch.setattr(os, "copy_file_range", copy_file_range)
    completing = asyncio.create_task(completed(store, upload_id, parts))
    await until(copied.is_set)
    await received_part(store, upload_id, 1, b"another")
    go_on.set()
    with pytest.raises(PartsChangedError):
        await completing
    assert not (root / KEY).exists()
    assert len(upload_files(root)) == 3


async def test_a_part_that_comes_while_the_upload_is_aborted_is_not_kept(
    store: DiskStore, root: Path
) -> None:
    for pause in range(30):
        upload_id, _ = await begun(store, FIRST)
        receiving = asyncio.create_task(received_part(store, upload_id, 2, LAST))
        await asyncio.sleep(pause / 5000)
        await store.abort_multipart(KEY, upload_id)
        with suppress(MultipartMissingError):
            await receiving
        assert files(root) == []
        with pytest.raises(MultipartMissingError):
            await store.list_parts(KEY, upload_id)


async def test_a_part_that_is_there_is_listed_whatever_replaces_it(store: DiskStore) -> None:
    upload_id, _ = await begun(store, b"0", LAST)
    replaced = asyncio.Event()

    async def replace() -> None:
        for number in range(60):
            await received_part(store, upload_id, 1, str(number).encode())
        replaced.set()

    replacing = asyncio.create_task(replace())
    while not replaced.is_set():
        assert [part.number for part in await store.list_parts(KEY, upload_id)] == [1, 2]
    await replacing


async def test_a_lock_that_is_held_is_waited_for(store: DiskStore, root: Path) -> None:
    upload_id, parts = await begun(store, LAST)
    holder = os.open(root / ".multipart" / upload_id, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    listing = asyncio.create_task(store.list_parts(KEY, upload_id))
    await asyncio.sleep(0.2)
    assert not listing.done()
    os.close(holder)
    assert await listing == parts


async def test_a_lock_that_is_never_given_back_is_not_waited_for_for_ever(
    store: DiskStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_multipart, "_LOCK_PATIENCE", timedelta(seconds=0.1))
    upload_id, _ = await begun(store, LAST)
    holder = os.open(root / ".multipart" / upload_id, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(StorageUnavailableError, match="locked"):
            await store.list_parts(KEY, upload_id)
    finally:
        os.close(holder)


# --- what can't lead out ---------------------------------------------------------------------------

PIECES = ["..", ".", "", "/", "a" * 32, "0" * 31, "0" * 33, "A" * 32, "link", "\0", "\n", "é", "%2e"]
hostile = st.one_of(
    st.text(max_size=80),
    st.lists(st.sampled_from(PIECES), max_size=4).map("/".join),
    st.lists(st.sampled_from(PIECES), max_size=4).map("".join),
)


@given(upload_id=hostile)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_upload_id_at_all_reaches_outside(
    upload_id: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home", numbered=True)
    store = disk_store(home / "objects")

    async def try_everything() -> None:
        real, parts = await begun(store, LAST)
        outside = home / "outside"
        (home / "objects/.multipart" / real).rename(outside)
        (home / "objects/.multipart/link").symlink_to(outside)
        (home / "objects/.multipart" / ("a" * 32)).symlink_to(outside)
        before = files(home)
        for action in (
            store.list_parts(KEY, upload_id),
            store.receive_part(grant(upload_id, 1, b"abc"), chunks(b"abc")),
            store.complete_multipart(KEY, upload_id, parts, content_type="a/b"),
            store.copy_part(KEY, upload_id, 1, source=OTHER, offset=0, length=1),
        ):
            with pytest.raises(MultipartMissingError):
                await action
        await store.abort_multipart(KEY, upload_id)
        await store.sweep_uploads(older_than=timedelta(days=-1))
        assert files(home) == before

    asyncio.run(try_everything())


async def test_a_symlink_for_a_part_is_no_part(store: DiskStore, root: Path) -> None:
    outside = root.parent / "secret"
    outside.write_bytes(b"a secret")
    upload_id, parts = await begun(store, LAST)
    name = f"00002.{sha256(b'a secret')}"
    (root / ".multipart" / upload_id / name).symlink_to(outside)
    assert await store.list_parts(KEY, upload_id) == parts
    await completed(store, upload_id, parts)
    assert outside.read_bytes() == b"a secret"


# --- what is swept ---------------------------------------------------------------------------------


async def test_the_sweep_takes_a_directory_that_never_became_an_upload(store: DiskStore, root: Path) -> None:
    await begun(store, LAST)
    before = files(root)
    left, young = root / ".multipart" / ("1" * 32), root / ".multipart" / ("2" * 32)
    for directory in (left, young):
        directory.mkdir()
        (directory / "manifest.new").write_bytes(b"{")
    age(left, STALE_AFTER + timedelta(minutes=1))
    assert await store.sweep_incoming() == 1
    assert files(root) == sorted([*before, f".multipart/{'2' * 32}/manifest.new"])


async def test_the_sweep_leaves_a_directory_that_somebody_is_making(store: DiskStore, root: Path) -> None:
    await begun(store)
    making = root / ".multipart" / ("1" * 32)
    making.mkdir()
    age(making, timedelta(days=1))
    maker = os.open(making, os.O_RDONLY)
    fcntl.flock(maker, fcntl.LOCK_EX)
    assert await store.sweep_incoming() == 0
    os.close(maker)
    assert await store.sweep_incoming() == 1


async def test_the_sweep_leaves_open_uploads_however_old(store: DiskStore, root: Path) -> None:
    upload_id, parts = await begun(store, FIRST, LAST)
    for path in (root / ".multipart").rglob("*"):
        age(path, timedelta(days=400))
    assert await disk_store(root, later=timedelta(days=400)).sweep_incoming() == 0
    await completed(store, upload_id, parts)
    assert (root / KEY).read_bytes() == FIRST + LAST


async def test_an_upload_of_more_files_than_one_batch_is_removed(store: DiskStore, root: Path) -> None:
    upload_id, _ = await begun(store, LAST)
    directory = root / ".multipart" / upload_id
    for number in range(2, 351):
        (directory / f"{number:05}.{sha256(b'')}").touch()
    assert len(await store.list_parts(KEY, upload_id)) == 350
    await store.abort_multipart(KEY, upload_id)
    assert not directory.exists()


async def test_a_manifest_that_is_damaged_is_no_missing_upload(store: DiskStore, root: Path) -> None:
    upload_id, _ = await begun(store, LAST)
    (root / ".multipart" / upload_id / "manifest").write_bytes(b'{"key": ')
    with pytest.raises(StorageUnavailableError, match="manifest"):
        await store.list_parts(KEY, upload_id)


# --- a full disk -----------------------------------------------------------------------------------


@pytest.fixture
def small_files() -> Iterator[None]:
    """The kernel ends every file of this process at 4 MiB, whoever runs the tests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MEBIBYTE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
async def test_a_part_the_kernel_refuses_leaves_the_one_before(store: DiskStore, root: Path) -> None:
    upload_id, parts = await begun(store, LAST)
    before = files(root)
    with pytest.raises(StorageFullError):
        await received_part(store, upload_id, 1, bytes(5 * MEBIBYTE))
    assert files(root) == before
    assert await store.list_parts(KEY, upload_id) == parts


@pytest.mark.usefixtures("small_files")
async def test_a_completion_the_kernel_refuses_leaves_the_upload(store: DiskStore, root: Path) -> None:
    upload_id, parts = await begun(store, FIRST, FIRST)
    before = files(root)
    with pytest.raises(StorageFullError):
        await completed(store, upload_id, parts)
    assert files(root) == before
    assert await store.list_parts(KEY, upload_id) == parts


async def test_a_full_disk_refuses_parts_and_completions_and_keeps_what_was_there(small_disk: Path) -> None:
    store = disk_store(small_disk / "objects")
    upload_id, parts = await begun(store, bytes(300_000), bytes(300_000))
    before = files(small_disk)
    with pytest.raises(StorageFullError):
        await completed(store, upload_id, parts)
    with pytest.raises(StorageFullError):
        await received_part(store, upload_id, 3, bytes(700_000))
    assert files(small_disk) == before
    assert await store.list_parts(KEY, upload_id) == parts
    await received_part(store, upload_id, 2, b"little")
    parts = list(await store.list_parts(KEY, upload_id))
    await completed(store, upload_id, parts)
    assert (small_disk / "objects" / KEY).stat().st_size == 300_006


async def test_a_completion_that_comes_late_leaves_the_upload(store: DiskStore, root: Path) -> None:
    """The key is taken while the parts are copied: the link tells it, not the look before."""
    upload_id, parts = await begun(store, os.urandom(20 * MEBIBYTE), LAST)
    rival, rival_parts = await begun(store, b"rival")
    completing = asyncio.create_task(completed(store, upload_id, parts))
    await until(lambda: any((root / ".incoming").iterdir()))
    await completed(store, rival, rival_parts)
    with pytest.raises(ObjectExistsError):
        await completing
    assert (root / KEY).read_bytes() == b"rival"
    assert await store.list_parts(KEY, upload_id) == parts
    assert len(upload_files(root)) == 3


async def test_a_disk_that_is_not_mounted_is_not_a_missing_upload(store: DiskStore, root: Path) -> None:
    upload_id, _ = await begun(store, LAST)
    (root / ".incoming").rmdir()
    with pytest.raises(StorageUnavailableError, match="mounted"):
        await store.list_parts(KEY, upload_id)
    with pytest.raises(StorageError):
        await store.create_multipart(KEY, content_type="a/b", part_hashes=False)
