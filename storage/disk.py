"""Objects in a local directory, with signed addresses that the application itself serves.

A write goes to `.incoming`, is hashed on the way, synced, and then linked or renamed to its key, followed by
a sync of every directory above it: an object is never there in part, and what was acknowledged survives.
Multipart uploads do the same with their parts (`storage/disk_multipart.py`), in `.multipart`. Many processes
may share the directory, which needs a local file system with hard links and locks. Content types are not
stored: they come from the signed address.

Blocking calls run in threads, one block at a time; a transfer holds at most about 2 MiB of memory.
"""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from storage.disk_incoming import probe, sweep
from storage.disk_multipart import DiskMultiparts
from storage.disk_objects import OpenObject, object_info, opened_object
from storage.disk_signatures import Clock
from storage.disk_signing import DiskSigner, PutGrant
from storage.disk_transfer import (
    body_blocks,
    compare_hashes,
    copy_bytes,
    copy_range,
    incoming_file,
    on_disk,
    reading,
    translated,
)
from storage.disk_tree import DiskTree, TreeEntry
from storage.errors import ObjectChangedError
from storage.keys import check_key, check_prefix, check_private_key
from storage.local_files import NewFile, open_regular
from storage.objects import FetchedObject, ObjectInfo
from storage.promises import check_block_size, check_read
from storage.response_headers import check_content_type
from storage.threads import in_thread

LONGEST_PUT = timedelta(hours=2)
"""Whoever serves PUTs ends them after this time; collectors and the sweep may rely on it."""

STALE_AFTER = timedelta(minutes=10)
"""Nobody who still writes has paused that long: a body that stalls is given up much earlier."""


# Deletions between two looks at the cancellation.
_DELETE_BATCH = 100


def utc_now() -> datetime:
    return datetime.now(UTC)


class DiskStore(DiskMultiparts):
    """The `ObjectStore` below the directory `root`, served at `base_url` (the public address of `/objects`).

    `secret` (at least 32 bytes) is the same in all processes of an installation. The constructor creates the
    directory if needed and blocks for that moment. Whoever serves the store verifies addresses by `signer`.
    """

    def __init__(self, root: Path, *, base_url: str, secret: bytes, clock: Clock = utc_now) -> None:
        self.signer = signer = DiskSigner(base_url=base_url, secret=secret, clock=clock)
        self.public_url = signer.public_url
        self.sign_get = signer.sign_get
        self.sign_put = signer.sign_put
        self.sign_part = signer.multipart.sign_part
        self.sign_multipart_request = signer.multipart.sign_request
        self._clock = clock
        with translated():
            self._tree = DiskTree(root)
        super().__init__(self._tree, clock)

    async def head(self, key: str) -> ObjectInfo | None:
        check_key(key)
        found = await on_disk(partial(self._tree.stat, key))
        return object_info(key, found) if found is not None else None

    async def receive(self, grant: PutGrant, chunks: AsyncIterator[bytes]) -> ObjectInfo:
        """Store the body that `grant` permits, as it arrives; the next chunk waits until this one is kept.

        Durable before it returns. Stops at the first byte too many. Raises `ObjectExistsError` (also to all
        but one of several at once), `SizeMismatchError`, `ChecksumMismatchError`, `StorageFullError`,
        `InvalidKeyError`, and whatever `chunks` raises; then nothing is left. Cancelled at the very end, the
        whole object may be stored all the same.
        """
        check_private_key(grant.key)
        promised = {"sha256": grant.sha256, "md5": grant.md5}
        hashes = [name for name, digest in promised.items() if digest is not None]
        async with incoming_file(self._tree.incoming, hashes) as file:
            async with aclosing(body_blocks(chunks, grant.byte_size)) as blocks:
                async for block in blocks:
                    await on_disk(partial(file.write, block))
            compare_hashes(file, promised)
            return object_info(grant.key, await on_disk(partial(_keep, file, self._tree.link, grant.key)))

    async def put_file(self, key: str, path: Path, *, content_type: str) -> ObjectInfo:
        check_key(key)
        check_content_type(content_type)
        async with (
            reading(partial(open_regular, path), in_thread) as source,
            incoming_file(self._tree.incoming) as file,
        ):
            await copy_bytes(source, file, read=in_thread, write=on_disk)
            return object_info(key, await on_disk(partial(_keep, file, self._tree.replace, key)))

    async def copy(
        self, source: str, key: str, *, content_type: str, if_etag: str | None = None
    ) -> ObjectInfo:
        # Not by a hard link: a file system has few for one file (65,000 on ext4), and the sweep of
        # `.incoming` goes by the age that a link shares with its source.
        check_key(key)
        check_content_type(content_type)
        async with (
            opened_object(self._tree, source) as opened,
            incoming_file(self._tree.incoming) as file,
        ):
            if if_etag is not None and object_info(source, opened.stat).etag != if_etag:
                raise ObjectChangedError
            await copy_range(opened, file, offset=0, byte_size=opened.stat.st_size)
            return object_info(key, await on_disk(partial(_keep, file, self._tree.replace, key)))

    async def fetch(self, key: str, path: Path, *, block_size: int | None = None) -> FetchedObject:
        check_block_size(block_size)
        file = NewFile(path, hashes=["sha256"], block_size=block_size)
        try:
            async with opened_object(self._tree, key) as source:
                await in_thread(file.open)
                await copy_bytes(source, file, read=on_disk, write=in_thread)
            await in_thread(file.close)
        except BaseException:
            await in_thread(file.discard)
            raise
        return FetchedObject(
            byte_size=file.byte_size,
            sha256=file.hexdigest("sha256"),
            block_sha256s=file.block_hexdigests(),
        )

    async def read(self, key: str, *, offset: int, length: int) -> bytes:
        check_read(offset, length)
        async with self.open(key) as stored:
            end = min(offset + length, stored.info.byte_size)
            return b"".join([block async for block in stored.blocks(offset, end)])

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key)
        for start in range(0, len(keys), _DELETE_BATCH):
            await on_disk(partial(self._tree.remove, keys[start : start + _DELETE_BATCH]))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        check_prefix(prefix)
        *parents, start = prefix.split("/")
        open_directories = [iter(await self._entries(tuple(parents), start))]
        while open_directories:
            entry = next(open_directories[-1], None)
            if entry is None:
                open_directories.pop()
            elif entry.stat is None:
                open_directories.append(iter(await self._entries(tuple(entry.key.split("/")), "")))
            else:
                yield object_info(entry.key, entry.stat)

    async def check(self) -> None:
        await on_disk(partial(probe, self._tree.incoming))

    async def sweep_incoming(self, *, older_than: timedelta = STALE_AFTER) -> int:
        """Remove what killed processes left half-done; return the number of files and uploads. Run it often.

        Takes only files last written longer than `older_than` ago that no living process has locked, and
        in the same way directories of uploads that never began or have ended. Open uploads stay.
        """
        before = (self._clock() - older_than).timestamp()
        files = await on_disk(partial(sweep, self._tree.incoming, written_before=before))
        return files + await self.sweep_uploads(older_than=older_than)

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[OpenObject]:
        """Hold the object open: its bytes stay the same and readable whatever happens to the key meanwhile.

        Raises `ObjectMissingError`.
        """
        async with opened_object(self._tree, key) as source:
            yield OpenObject(key, source)

    async def _entries(self, parents: tuple[str, ...], start: str) -> Sequence[TreeEntry]:
        return await on_disk(partial(self._tree.entries, parents, start))


def _keep(file: NewFile, place: Callable[[Path, str], None], key: str) -> os.stat_result:
    """Sync the bytes before they get their name, so that no crash can show a name with other bytes."""
    written = file.sync()
    place(file.path, key)
    return written
