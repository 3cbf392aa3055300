"""What a process that is killed leaves of a multipart upload: the state before, or the state after.

Each method is killed before its first system call, before its second, and so on to its end.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.disk import DiskStore
from storage.errors import MultipartMissingError
from storage.objects import StoredPart
from tests.contracts.disk_crash import SECRET, SOURCE, CrashingProcess
from tests.contracts.test_disk_multipart import KEY, files, received_part, upload_files

FIRST, LAST, NEW = b"f" * 70_000, b"the last part", "another first part"
SOURCE_DATA = os.urandom(60_000)


@pytest.fixture(scope="module")
def process() -> Iterator[CrashingProcess]:
    process = CrashingProcess()
    try:
        yield process
    finally:
        process.close()


def tomorrows_store(root: Path) -> DiskStore:
    """To it, everything is old enough to be swept."""
    return DiskStore(
        root,
        base_url="http://127.0.0.1/objects",
        secret=SECRET,
        clock=lambda: datetime.now(UTC) + timedelta(days=1),
    )


class Crash:
    """One directory with one upload on which one method was killed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = tomorrows_store(root)
        self.upload_id = ""
        self.parts: list[StoredPart] = []

    async def prepare(self, *parts: bytes) -> None:
        self.upload_id = await self.store.create_multipart(KEY, content_type="a/b", part_hashes=True)
        for number, data in enumerate(parts, 1):
            await received_part(self.store, self.upload_id, number, data)
        self.parts = list(await self.store.list_parts(KEY, self.upload_id))
        source = self.root.parent / "source"
        source.write_bytes(SOURCE_DATA)
        await self.store.put_file(SOURCE, source, content_type="a/b")

    async def listed(self) -> list[StoredPart] | None:
        try:
            return list(await self.store.list_parts(KEY, self.upload_id))
        except MultipartMissingError:
            return None

    async def complete(self) -> bytes:
        parts = await self.store.list_parts(KEY, self.upload_id)
        await self.store.complete_multipart(KEY, self.upload_id, parts, content_type="a/b")
        return (self.root / KEY).read_bytes()


def crash_points(directory: Path, process: CrashingProcess, method: str, *parts: bytes) -> "CrashPoints":
    return CrashPoints(directory, process, method, parts)


class CrashPoints:
    """Goes through all points at which the method can be killed, a fresh directory for each."""

    def __init__(
        self, directory: Path, process: CrashingProcess, method: str, parts: tuple[bytes, ...]
    ) -> None:
        self._directory = directory
        self._process = process
        self._method = method
        self._parts = parts
        self._number = 0
        self._ended = False

    def __aiter__(self) -> "CrashPoints":
        return self

    async def __anext__(self) -> Crash:
        if self._ended:
            # Fewer points than that would mean that the calls are not counted any more.
            assert self._number > 10
            raise StopAsyncIteration
        self._number += 1
        crash = Crash(self._directory / str(self._number) / "objects")
        if self._method != "create":
            await crash.prepare(*self._parts)
        self._ended = not self._process.run(
            crash.root,
            self._method,
            kill_before=self._number,
            key=KEY,
            upload_id=crash.upload_id,
            data=NEW,
        )
        return crash

    @property
    def ended(self) -> bool:
        """Whether the method was not killed this time."""
        return self._ended


async def test_an_upload_is_begun_or_not(tmp_path: Path, process: CrashingProcess) -> None:
    points = crash_points(tmp_path, process, "create")
    async for crash in points:
        found = [upload async for upload in crash.store.list_multiparts("")]
        await crash.store.sweep_incoming()
        assert files(crash.root) == [f".multipart/{upload.upload_id}/manifest" for upload in found]
        assert [upload.key for upload in found] == [KEY] * len(found)
        for upload in found:
            await received_part(crash.store, upload.upload_id, 1, FIRST)
            await crash.store.abort_multipart(KEY, upload.upload_id)
        assert files(crash.root) == []
        assert (len(found) == 1) or not points.ended


@pytest.mark.parametrize("method", ["receive_part", "copy_part"])
async def test_a_part_is_the_old_or_the_new(tmp_path: Path, process: CrashingProcess, method: str) -> None:
    new = NEW.encode() if method == "receive_part" else SOURCE_DATA[3:50_003]
    points, seen = crash_points(tmp_path, process, method, FIRST, LAST), set()
    async for crash in points:
        listed = await crash.listed()
        assert listed is not None
        await crash.store.sweep_incoming()
        assert [file for file in files(crash.root) if file.startswith(".incoming")] == []
        assert await crash.listed() == listed
        assert listed[1:] == crash.parts[1:]
        expected = FIRST if listed[0] == crash.parts[0] else new
        seen.add(expected)
        if points.ended:
            assert expected == new
        assert await crash.complete() == expected + LAST
        assert files(crash.root) == sorted([KEY, SOURCE])
    assert seen == {FIRST, new}


async def test_a_part_that_was_killed_can_be_sent_again(tmp_path: Path, process: CrashingProcess) -> None:
    async for crash in crash_points(tmp_path, process, "receive_part", FIRST, LAST):
        await received_part(crash.store, crash.upload_id, 1, b"again")
        assert len(upload_files(crash.root)) == 3
        assert await crash.complete() == b"again" + LAST


@pytest.mark.parametrize("parts", [(FIRST, LAST), (FIRST,)])
async def test_an_upload_is_completed_or_as_it_was(
    tmp_path: Path, process: CrashingProcess, parts: tuple[bytes, ...]
) -> None:
    points, ends = crash_points(tmp_path, process, "complete", *parts), set()
    async for crash in points:
        done = (crash.root / KEY).exists()
        ends.add(done)
        open_uploads = [upload.upload_id async for upload in crash.store.list_multiparts("")]
        assert open_uploads == ([] if done else [crash.upload_id])
        assert await crash.listed() == (None if done else crash.parts)
        await crash.store.sweep_incoming()
        if done:
            with pytest.raises(MultipartMissingError):
                await crash.store.complete_multipart(KEY, crash.upload_id, crash.parts, content_type="a/b")
            await crash.store.abort_multipart(KEY, crash.upload_id)
        else:
            assert not points.ended
            assert len(files(crash.root)) == len(parts) + 2
            await crash.complete()
        assert (crash.root / KEY).read_bytes() == b"".join(parts)
        assert files(crash.root) == sorted([KEY, SOURCE])
        assert (crash.root / KEY).stat().st_nlink == 1
    assert ends == {True, False}


async def test_the_sweep_alone_ends_what_was_completed(tmp_path: Path, process: CrashingProcess) -> None:
    """Nobody may ever ask for the upload again."""
    async for crash in crash_points(tmp_path, process, "complete", FIRST, LAST):
        await crash.store.sweep_incoming()
        assert all("/object" not in file and ".incoming" not in file for file in files(crash.root))
        assert (crash.root / KEY).exists() != bool(upload_files(crash.root))


async def test_an_upload_is_aborted_or_as_it_was(tmp_path: Path, process: CrashingProcess) -> None:
    points, ends = crash_points(tmp_path, process, "abort", FIRST, LAST), set()
    async for crash in points:
        listed = await crash.listed()
        ends.add(listed is None)
        assert listed in (None, crash.parts)
        assert listed is None or not points.ended
        await crash.store.sweep_incoming()
        await crash.store.abort_multipart(KEY, crash.upload_id)
        assert files(crash.root) == [SOURCE]
    assert ends == {True, False}
