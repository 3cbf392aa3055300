"""What holds of the disk store alone: its directory, its crashes, its full disk."""

import asyncio
import os
import resource
import stat
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.disk import STALE_AFTER, DiskStore
from storage.disk_signing import PutGrant
from storage.disk_tree import DiskTree
from storage.errors import (
    ChecksumMismatchError,
    InvalidKeyError,
    ObjectExistsError,
    SizeMismatchError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from storage.local_files import NewFile
from tests.contracts.object_store import SECRET, running_disk_store, send, sha256, sign_put

KEY = "0197/2026/11/20/blob.jpg"
MEGABYTE = 1024 * 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(root: Path) -> DiskStore:
    return disk_store(root)


def disk_store(root: Path) -> DiskStore:
    return DiskStore(root, base_url="http://127.0.0.1/objects", secret=SECRET)


def grant(data: bytes, *, key: str = KEY, sha: str | None = None) -> PutGrant:
    return PutGrant(
        key=key,
        content_type="image/jpeg",
        byte_size=len(data),
        sha256=sha,
        md5=None,
        expires_at=datetime.now(UTC) + timedelta(minutes=5),
    )


async def chunks(data: bytes, *, size: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[start : start + size]


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def directories(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir())


def directories_of(key: str) -> list[str]:
    """All that stand above it, the uppermost first."""
    return sorted(str(parent) for parent in Path(key).parents)[1:]


def modes(root: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}


async def test_a_body_is_stored_under_its_key_and_nowhere_else(store: DiskStore, root: Path) -> None:
    data = os.urandom(3 * MEGABYTE + 17)
    info = await store.receive(grant(data, sha=sha256(data)), chunks(data))
    assert files(root) == [KEY]
    assert (root / KEY).read_bytes() == data
    assert (root / KEY).stat().st_nlink == 1
    assert info == await store.head(KEY)


async def test_files_and_directories_are_private(store: DiskStore, root: Path) -> None:
    await store.receive(grant(b"abc"), chunks(b"abc"))
    assert modes(root) == {0o700, 0o600}


@pytest.mark.parametrize("sent", [b"", b"ab", b"abcd"])
async def test_a_body_of_another_length_leaves_nothing(store: DiskStore, root: Path, sent: bytes) -> None:
    with pytest.raises(SizeMismatchError):
        await store.receive(grant(b"abc"), chunks(sent, size=1))
    assert files(root) == []


async def test_a_body_that_is_too_long_is_read_no_further(store: DiskStore) -> None:
    body = chunks(b"abcdefgh", size=1)
    with pytest.raises(SizeMismatchError):
        await store.receive(grant(b"abc"), body)
    assert await anext(body) == b"e"


async def test_a_body_with_another_hash_leaves_nothing(store: DiskStore, root: Path) -> None:
    with pytest.raises(ChecksumMismatchError, match="SHA-256"):
        await store.receive(grant(b"abc", sha=sha256(b"abd")), chunks(b"abc"))
    assert files(root) == []


async def test_a_body_that_fails_midway_leaves_nothing(store: DiskStore, root: Path) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield bytes(2 * MEGABYTE)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.receive(grant(bytes(3 * MEGABYTE)), failing())
    assert files(root) == []


async def test_a_cancelled_upload_leaves_nothing(store: DiskStore, root: Path) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MEGABYTE)
            begun.set()
            await asyncio.sleep(0)

    promised = grant(bytes(100 * MEGABYTE))
    receiving = asyncio.create_task(store.receive(promised, endless()))
    await begun.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert files(root) == []


async def test_a_cancelled_copy_leaves_nothing_or_the_whole(store: DiskStore, root: Path) -> None:
    data = os.urandom(30 * MEGABYTE)
    await store.receive(grant(data), chunks(data, size=MEGABYTE))
    for milliseconds in range(0, 40, 4):
        copying = asyncio.create_task(store.copy(KEY, "public/a/b.webp", content_type="image/webp"))
        await asyncio.sleep(milliseconds / 1000)
        copying.cancel()
        with suppress(asyncio.CancelledError):
            await copying
        assert set(files(root)) <= {KEY, "public/a/b.webp"}
        if (root / "public/a/b.webp").exists():
            assert (root / "public/a/b.webp").read_bytes() == data
        await store.delete(["public/a/b.webp"])
    assert directories(root) == [".incoming", *directories_of(KEY)]


async def test_a_copy_is_a_file_of_its_own(store: DiskStore, root: Path) -> None:
    await store.receive(grant(b"abc"), chunks(b"abc"))
    await store.copy(KEY, "public/a/b.webp", content_type="image/webp")
    assert (root / "public/a/b.webp").stat().st_nlink == 1
    assert modes(root) == {0o700, 0o600}


async def test_a_copy_follows_no_symlink(store: DiskStore, root: Path, secret_outside: Path) -> None:
    (root / "link").symlink_to(secret_outside / "blob.jpg")
    (root / "public").symlink_to(secret_outside)
    await store.receive(grant(b"abc"), chunks(b"abc"))
    with pytest.raises(StorageError):
        await store.copy("link", "a", content_type="image/webp")
    with pytest.raises(InvalidKeyError):
        await store.copy(KEY, "public/b.webp", content_type="image/webp")
    assert files(secret_outside) == ["blob.jpg"]


async def test_no_grant_opens_the_way_into_public(store: DiskStore, root: Path) -> None:
    for key in ("public", "public/a/b.webp"):
        with pytest.raises(InvalidKeyError):
            await store.receive(grant(b"abc", key=key), chunks(b"abc"))
    assert files(root) == []


async def test_of_two_processes_one_wins(store: DiskStore, root: Path) -> None:
    """Two stores on one directory share nothing but the directory, as two processes do."""
    other = disk_store(root)
    results = await asyncio.gather(
        store.receive(grant(b"aaa"), chunks(b"aaa")),
        other.receive(grant(b"bbb"), chunks(b"bbb")),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in results) == ["ObjectExistsError", "ObjectInfo"]
    assert (root / KEY).read_bytes() == (b"bbb" if isinstance(results[0], ObjectExistsError) else b"aaa")
    assert files(root) == [KEY]


@pytest.mark.parametrize("key", ["a", "a/b/c"])
async def test_a_key_that_begins_another_is_refused(store: DiskStore, root: Path, key: str) -> None:
    await store.receive(grant(b"abc", key="a/b"), chunks(b"abc"))
    source = root.parent / "source"
    source.write_bytes(b"x")
    with pytest.raises(InvalidKeyError, match="beginning"):
        await store.receive(grant(b"abc", key=key), chunks(b"abc"))
    with pytest.raises(InvalidKeyError, match="beginning"):
        await store.put_file(key, source, content_type="a/b")
    assert await store.head(key) is None
    await store.delete([key])
    assert files(root) == ["a/b"]


async def test_directories_go_with_their_last_object(store: DiskStore, root: Path) -> None:
    for key in ["a/b/c/1", "a/b/2", "d/3"]:
        await store.receive(grant(b"x", key=key), chunks(b"x"))
    await store.delete(["a/b/c/1", "d/3"])
    assert directories(root) == [".incoming", "a", "a/b"]
    await store.delete(["a/b/2"])
    assert directories(root) == [".incoming"]


def test_a_directory_that_goes_while_its_file_comes_is_made_again(root: Path) -> None:
    tree, made = DiskTree(root), threading.Event()

    def take_empty_directories_away() -> None:
        while not made.is_set():
            tree.remove(["a/b/c/never"])

    with ThreadPoolExecutor() as pool:
        taking = pool.submit(take_empty_directories_away)
        try:
            for number in range(200):
                path = tree.incoming / "new"
                path.write_bytes(b"x")
                tree.replace(path, f"a/b/c/{number}")
                assert tree.stat(f"a/b/c/{number}") is not None
                tree.remove([f"a/b/c/{number}"])
        finally:
            made.set()
        taking.result()


async def test_an_open_object_keeps_its_bytes(store: DiskStore, root: Path) -> None:
    await store.receive(grant(b"old bytes"), chunks(b"old bytes"))
    source = root.parent / "source"
    source.write_bytes(b"new")
    async with store.open(KEY) as stored:
        await store.put_file(KEY, source, content_type="a/b")
        await store.delete([KEY])
        assert b"".join([block async for block in stored.blocks(0, stored.info.byte_size)]) == b"old bytes"


# --- what can't lead out ---------------------------------------------------------------------------


@pytest.fixture
def secret_outside(root: Path) -> Path:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "blob.jpg").write_bytes(b"a secret")
    return outside


async def assert_no_way(store: DiskStore, key: str, outside: Path) -> None:
    source = outside.parent / "source"
    source.write_bytes(b"intruder")
    assert await store.head(key) is None
    assert [info.key async for info in store.list("")] == []
    with pytest.raises(StorageError):
        await store.fetch(key, outside.parent / "target")
    with pytest.raises(StorageError):
        await store.receive(grant(b"abc", key=key), chunks(b"abc"))
    await store.delete([key])
    assert files(outside) == ["blob.jpg"]
    assert (outside / "blob.jpg").read_bytes() == b"a secret"


async def test_a_symlink_for_a_directory_leads_nowhere(
    store: DiskStore, root: Path, secret_outside: Path
) -> None:
    (root / "a").mkdir()
    (root / "a/link").symlink_to(secret_outside)
    await assert_no_way(store, "a/link/blob.jpg", secret_outside)
    with pytest.raises(InvalidKeyError):
        await store.put_file("a/link/new", root.parent / "source", content_type="a/b")


async def test_a_symlink_for_an_object_leads_nowhere(
    store: DiskStore, root: Path, secret_outside: Path
) -> None:
    (root / "a").mkdir()
    (root / "a/link").symlink_to(secret_outside / "blob.jpg")
    await assert_no_way(store, "a/link", secret_outside)


async def test_pipes_and_foreign_names_are_no_objects(store: DiskStore, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "lost+found").mkdir()
    (root / "Foreign").write_bytes(b"x")
    assert await store.head("pipe") is None
    assert [info.key async for info in store.list("")] == []
    async with running_disk_store(root) as running:
        assert await running.store.head("pipe") is None


SEGMENTS = ["..", ".", "", "%2e%2e", "%2E", "a", "\0", "link", ".incoming", "é", "..\\", "x" * 300]

hostile = st.one_of(
    st.text(max_size=600),
    st.text(alphabet="a./%2e\\\0\n~", max_size=40),
    st.lists(st.sampled_from(SEGMENTS), max_size=8).map("/".join),
)


@given(key=hostile)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_key_at_all_reaches_outside_the_root(key: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home", numbered=True)
    store = disk_store(home / "objects")
    (home / "objects/link").symlink_to(home)
    (home / "objects/a").symlink_to("/")
    before = snapshot(home)

    async def try_everything() -> None:
        for action in (
            store.head(key),
            store.receive(grant(b"abc", key=key), chunks(b"abc")),
            store.delete([key]),
            store.copy("b", key, content_type="a/b"),
            store.copy(key, "b", content_type="a/b"),
        ):
            with suppress(StorageError):
                await action

    asyncio.run(try_everything())
    outside = {name for name in snapshot(home) ^ before if not name.startswith("objects/")}
    assert outside == set()


def snapshot(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*")}


# --- what a crash leaves ---------------------------------------------------------------------------


def age(path: Path, by: timedelta) -> None:
    then = (datetime.now(UTC) - by).timestamp()
    os.utime(path, (then, then))


async def test_the_sweep_takes_what_a_killed_process_left(store: DiskStore, root: Path) -> None:
    left, young = root / ".incoming/left", root / ".incoming/young"
    left.write_bytes(b"half")
    young.write_bytes(b"half")
    age(left, STALE_AFTER + timedelta(minutes=1))
    assert await store.sweep_incoming() == 1
    assert files(root) == [".incoming/young"]


async def test_the_sweep_leaves_a_file_in_use_however_old(store: DiskStore, root: Path) -> None:
    file = NewFile(root / ".incoming/slow")
    file.open()
    age(file.path, timedelta(days=30))
    assert await store.sweep_incoming() == 0
    file.close()
    assert await store.sweep_incoming() == 1


async def test_an_object_survives_the_sweep_of_its_second_name(store: DiskStore, root: Path) -> None:
    """A process killed between giving the file its key and removing the temporary name."""
    await store.receive(grant(b"abc"), chunks(b"abc"))
    os.link(root / KEY, root / ".incoming/second")
    age(root / KEY, timedelta(days=1))
    assert await store.sweep_incoming() == 1
    assert (root / KEY).read_bytes() == b"abc"


async def test_a_disk_that_is_not_mounted_is_not_an_empty_store(store: DiskStore, root: Path) -> None:
    (root / ".incoming").rmdir()
    with pytest.raises(StorageUnavailableError, match="mounted"):
        await store.head(KEY)
    with pytest.raises(StorageUnavailableError, match="mounted"):
        await store.delete([KEY])
    with pytest.raises(StorageUnavailableError):
        await store.check()


def test_a_short_secret_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DiskStore(root, base_url="http://127.0.0.1/objects", secret=b"short")


# --- a full disk -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("SKIPPED: only root may mount the small file system that this test fills")
    try:
        yield mount
    finally:
        subprocess.run(["umount", str(mount)], check=True)


@pytest.fixture
def small_files() -> Iterator[None]:
    """The kernel ends every file of this process at 1 MiB, whoever runs the tests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_refuses_and_keeps_nothing(small_disk: Path) -> None:
    store, data = disk_store(small_disk / "objects"), bytes(2 * MEGABYTE)
    with pytest.raises(StorageFullError):
        await store.receive(grant(data), chunks(data))
    assert files(small_disk) == []
    await store.receive(grant(b"abc"), chunks(b"abc"))
    assert files(small_disk) == [f"objects/{KEY}"]


async def test_a_full_disk_keeps_the_object_that_put_file_would_replace(
    small_disk: Path, tmp_path: Path
) -> None:
    store = disk_store(small_disk / "objects")
    source = tmp_path / "source"
    source.write_bytes(bytes(2 * MEGABYTE))
    await store.receive(grant(b"abc"), chunks(b"abc"))
    with pytest.raises(StorageFullError):
        await store.put_file(KEY, source, content_type="a/b")
    assert files(small_disk) == [f"objects/{KEY}"]
    assert (small_disk / "objects" / KEY).read_bytes() == b"abc"


async def test_a_full_disk_refuses_a_copy_and_keeps_nothing(small_disk: Path) -> None:
    store, data = disk_store(small_disk / "objects"), bytes(700_000)
    await store.receive(grant(data), chunks(data))
    with pytest.raises(StorageFullError):
        await store.copy(KEY, "public/a/b.webp", content_type="image/webp")
    assert files(small_disk) == [f"objects/{KEY}"]


async def test_check_notices_a_full_disk(small_disk: Path) -> None:
    store = disk_store(small_disk / "objects")
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="space"):
        filler.write_bytes(bytes(2 * MEGABYTE))
    with pytest.raises(StorageFullError):
        await store.check()
    filler.unlink()
    await store.check()


@pytest.mark.usefixtures("small_files")
async def test_a_write_the_kernel_refuses_leaves_nothing(store: DiskStore, root: Path) -> None:
    data = bytes(2 * MEGABYTE)
    with pytest.raises(StorageFullError):
        await store.receive(grant(data), chunks(data))
    assert files(root) == []


@pytest.mark.usefixtures("small_files")
async def test_a_client_is_told_507_when_the_disk_is_full(root: Path) -> None:
    data = bytes(2 * MEGABYTE)
    async with running_disk_store(root) as running:
        response: httpx.Response = await send(running, sign_put(running, KEY, data), data)
        assert response.status_code == 507
        assert response.json()["error"]["code"] == "STORAGE_FULL"
        assert running.files() == []
