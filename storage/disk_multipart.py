"""Multipart uploads of the disk store: its half of the contract that deals with parts.

A part goes the way of an object, through `.incoming`, hashed and synced, to its place in the upload's
directory (`storage/disk_uploads.py`). Its SHA-256 is always known and listed; half of that is its tag, so a
tag stands for bytes. Completing hashes nothing again: parts are copied one after the other inside the kernel,
sharing blocks where the file system can, and an upload of one part becomes the object as it is.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from datetime import timedelta
from functools import partial
from typing import TypeVar

from storage.disk_objects import object_info, opened_object
from storage.disk_part_signing import PartGrant
from storage.disk_signatures import Clock
from storage.disk_transfer import body_blocks, compare_hashes, copy_range, incoming_file, on_disk, reading
from storage.disk_tree import DiskTree
from storage.disk_upload import PartFile, UploadBusyError, UploadDirectory
from storage.disk_uploads import DiskUploads, new_upload_id
from storage.errors import (
    MultipartMissingError,
    ObjectExistsError,
    PartsChangedError,
    StorageError,
    StorageUnavailableError,
)
from storage.keys import check_prefix, check_private_key
from storage.local_files import NewFile, SourceFile
from storage.objects import ObjectInfo, OpenMultipart, StoredPart
from storage.promises import check_part_number, check_part_range
from storage.response_headers import check_content_type

# A lock is held for milliseconds; whoever holds one so long is stopped, or its disk is.
_LOCK_PATIENCE = timedelta(seconds=30)
_LOCK_PAUSES_SECONDS = (0.001, 0.02)
_LOOK_BATCH = 100
_ETAG_DIGITS = 32

T = TypeVar("T")


class DiskMultiparts:
    """What `DiskStore` does with multipart uploads; see `ObjectStore` for the methods it shares."""

    def __init__(self, tree: DiskTree, clock: Clock) -> None:
        self._objects = tree
        self._uploads = DiskUploads(tree)
        self._now = clock

    async def create_multipart(self, key: str, *, content_type: str, part_hashes: bool) -> str:
        # Every part is hashed here, promised or not; types come from the addresses.
        check_private_key(key)
        check_content_type(content_type)
        upload_id = new_upload_id(key)
        try:
            await on_disk(partial(self._uploads.create, upload_id, key, self._now()))
        except BaseException:
            with suppress(StorageError):
                await self.abort_multipart(key, upload_id)
                await self._remove(upload_id)
            raise
        return upload_id

    async def receive_part(self, grant: PartGrant, chunks: AsyncIterator[bytes]) -> StoredPart:
        """Store the part that `grant` permits, as it arrives; the next chunk waits until this one is kept.

        Durable before it returns. Raises `MultipartMissingError` (before the body is read, too),
        `SizeMismatchError`, `ChecksumMismatchError`, `StorageFullError`, and whatever `chunks` raises; then
        the part is as it was. Cancelled at the very end, it may be stored all the same.
        """
        await self.check_multipart(grant.key, grant.upload_id)
        async with incoming_file(self._objects.incoming, ["sha256"]) as file:
            async with aclosing(body_blocks(chunks, grant.byte_size)) as blocks:
                async for block in blocks:
                    await on_disk(partial(file.write, block))
            compare_hashes(file, {"sha256": grant.sha256})
            return await self._keep_part(grant.key, grant.upload_id, grant.number, file)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[StoredPart]:
        check_private_key(key)
        return [_stored(part) for part in await self._parts(key, upload_id)]

    async def check_multipart(self, key: str, upload_id: str) -> None:
        check_private_key(key)
        await self._locked(key, upload_id, lambda directory: None)

    async def copy_part(
        self, key: str, upload_id: str, number: int, *, source: str, offset: int, length: int
    ) -> StoredPart:
        check_part_number(number)
        await self.check_multipart(key, upload_id)
        async with (
            opened_object(self._objects, source) as opened,
            incoming_file(self._objects.incoming, ["sha256"]) as file,
        ):
            check_part_range(offset, length, opened.stat.st_size)
            await copy_range(opened, file, offset=offset, byte_size=length)
            return await self._keep_part(key, upload_id, number, file)

    async def complete_multipart(
        self, key: str, upload_id: str, parts: Sequence[StoredPart], *, content_type: str
    ) -> ObjectInfo:
        check_private_key(key)
        check_content_type(content_type)
        wanted = _in_order(parts)
        files = _chosen(await self._parts(key, upload_id), wanted)
        if await on_disk(partial(self._objects.stat, key)) is not None:
            # Told before gigabytes are copied; the link tells those apart that come at once.
            raise ObjectExistsError
        if len(files) == 1:
            written = await self._complete_with_part(key, upload_id, wanted, files[0])
        else:
            written = await self._complete_with_copy(key, upload_id, wanted, files)
        await self._remove(upload_id)
        return object_info(key, written)

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        check_private_key(key)
        try:
            await self._locked(key, upload_id, lambda directory: directory.end())
        except MultipartMissingError:
            return
        await self._remove(upload_id)

    async def list_multiparts(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        check_prefix(prefix)
        found: list[OpenMultipart] = []
        for batch in _batches(await on_disk(self._uploads.ids)):
            open_uploads = await on_disk(partial(self._uploads.look, batch))
            found += [upload for upload in open_uploads if upload.key.startswith(prefix)]
        for upload in sorted(found, key=lambda upload: (upload.key, upload.upload_id)):
            yield upload

    async def sweep_uploads(self, *, older_than: timedelta) -> int:
        """Remove what killed processes left of uploads that never began, or have ended; return how many.

        An open upload is left alone, however old: whoever began it aborts it.
        """
        before, removed = (self._now() - older_than).timestamp(), 0
        for batch in _batches(await on_disk(self._uploads.ids)):
            for upload_id in await on_disk(partial(self._uploads.left, batch, before=before)):
                await self._remove(upload_id)
                removed += 1
        return removed

    async def _complete_with_part(
        self, key: str, upload_id: str, wanted: Sequence[StoredPart], part: PartFile
    ) -> os.stat_result:
        def complete(directory: UploadDirectory) -> os.stat_result:
            _chosen(directory.parts(), wanted)
            return directory.complete_with_part(part)

        return await self._locked(key, upload_id, complete)

    async def _complete_with_copy(
        self, key: str, upload_id: str, wanted: Sequence[StoredPart], files: Sequence[PartFile]
    ) -> os.stat_result:
        """Copy without the lock, as that takes long; then look again whether the parts are still the same."""
        async with incoming_file(self._objects.incoming) as file:
            for part in files:
                async with self._opened_part(key, upload_id, part) as source:
                    await copy_range(source, file, offset=0, byte_size=part.byte_size)
            await on_disk(file.sync)

            def complete(directory: UploadDirectory) -> os.stat_result:
                _chosen(directory.parts(), wanted)
                return directory.complete_with_file(file.path)

            return await self._locked(key, upload_id, complete)

    def _opened_part(
        self, key: str, upload_id: str, part: PartFile
    ) -> AbstractAsyncContextManager[SourceFile]:
        def open_part() -> int:
            with self._uploads.opened(upload_id, key) as directory:
                try:
                    return directory.open_part(part)
                except FileNotFoundError as error:
                    raise PartsChangedError from error

        return reading(open_part, on_disk)

    async def _keep_part(self, key: str, upload_id: str, number: int, file: NewFile) -> StoredPart:
        await on_disk(file.sync)
        sha256 = file.hexdigest("sha256")
        await self._locked(key, upload_id, lambda directory: directory.keep_part(file.path, number, sha256))
        return StoredPart(number=number, byte_size=file.byte_size, etag=_etag(sha256), sha256=sha256)

    async def _parts(self, key: str, upload_id: str) -> list[PartFile]:
        return await self._locked(key, upload_id, lambda directory: directory.parts())

    async def _remove(self, upload_id: str) -> None:
        while await on_disk(partial(self._uploads.remove, upload_id)):
            pass

    async def _locked(self, key: str, upload_id: str, work: Callable[[UploadDirectory], T]) -> T:
        """Do `work`, a few system calls, in a thread on the upload that nobody else changes meanwhile."""

        def attempt() -> T:
            with self._uploads.opened(upload_id, key) as directory:
                directory.lock()
                return work(directory)

        deadline = time.monotonic() + _LOCK_PATIENCE.total_seconds()
        while True:
            try:
                return await on_disk(attempt)
            except UploadBusyError as error:
                if time.monotonic() > deadline:
                    raise StorageUnavailableError("Another process keeps the upload locked.") from error
            # Without a thread, so that many who wait can't keep the one who works from it.
            await asyncio.sleep(random.uniform(*_LOCK_PAUSES_SECONDS))


def _batches(upload_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as a thread looks at in some milliseconds."""
    return (upload_ids[start : start + _LOOK_BATCH] for start in range(0, len(upload_ids), _LOOK_BATCH))


def _in_order(parts: Sequence[StoredPart]) -> Sequence[StoredPart]:
    wanted = sorted(parts, key=lambda part: part.number)
    if not wanted or len({part.number for part in wanted}) != len(wanted):
        raise ValueError("An upload is completed with one part or more, each of them named once.")
    return wanted


def _chosen(stored: Sequence[PartFile], wanted: Sequence[StoredPart]) -> list[PartFile]:
    """Return the files of the parts that were listed; raises `PartsChangedError` where one is another now."""
    by_number = {part.number: part for part in stored}
    files = [by_number.get(part.number) for part in wanted]
    chosen = [file for file, part in zip(files, wanted, strict=True) if file and _stored(file) == part]
    if len(chosen) != len(wanted):
        raise PartsChangedError
    return chosen


def _stored(part: PartFile) -> StoredPart:
    return StoredPart(
        number=part.number, byte_size=part.byte_size, etag=_etag(part.sha256), sha256=part.sha256
    )


def _etag(sha256: str) -> str:
    # Half of it, so that the list of 10,000 parts that S3's clients complete with stays below 1 MiB.
    return sha256[:_ETAG_DIGITS]
