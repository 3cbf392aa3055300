"""Single objects of the disk store: what is known of one, and one that is held open."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from functools import partial

from storage.disk_transfer import BLOCK_BYTES, on_disk, reading
from storage.disk_tree import DiskTree
from storage.errors import ObjectMissingError, StorageUnavailableError
from storage.keys import check_key
from storage.local_files import SourceFile
from storage.objects import ObjectInfo


class OpenObject:
    """An object that is held open; only `DiskStore.open` makes one."""

    def __init__(self, key: str, source: SourceFile) -> None:
        self.info = object_info(key, source.stat)
        self._source = source

    async def blocks(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Read the bytes from offset `start` up to, not including, `end`, in blocks of at most 1 MiB."""
        while start < end:
            block = await on_disk(partial(self._source.read, start, min(BLOCK_BYTES, end - start)))
            if not block:
                raise StorageUnavailableError("An object is shorter than it was.")
            start += len(block)
            yield block


def opened_object(tree: DiskTree, key: str) -> AbstractAsyncContextManager[SourceFile]:
    """Hold the file of an object open; raises `ObjectMissingError`."""
    check_key(key)
    return reading(partial(_open_existing, tree, key), on_disk)


def object_info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        byte_size=found.st_size,
        # Objects don't change, so the time of writing tells one from its replacement; the inode would tell
        # too, but not survive a restored backup.
        etag=f"{found.st_mtime_ns:x}-{found.st_size:x}",
        modified_at=datetime.fromtimestamp(found.st_mtime_ns // 1_000_000_000, UTC),
    )


def _open_existing(tree: DiskTree, key: str) -> int:
    fd = tree.open(key)
    if fd is None:
        raise ObjectMissingError
    return fd
