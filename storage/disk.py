"""Objects in a local directory, with signed addresses that the application itself serves.

A write goes to `.incoming`, is hashed on the way, synced, and then linked or renamed to its key, followed by
a sync of every directory above it: an object is never there in part, and what was acknowledged survives.
Many processes may share the directory, which needs a local file system with hard links. Content types are
not stored: they come from the signed address.

Blocking calls run in threads, one block at a time; a transfer holds at most about 2 MiB of memory.
"""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from storage.disk_files import NewFile, SourceFile, open_regular
from storage.disk_incoming import incoming_path, probe, sweep
from storage.disk_signing import Clock, DiskSigner, PutGrant
from storage.disk_transfer import (
    BLOCK_BYTES,
    body_blocks,
    compare_hashes,
    copy_bytes,
    on_disk,
    reading,
    translated,
)
from storage.disk_tree import DiskTree, TreeEntry
from storage.errors import ObjectMissingError, StorageUnavailableError
from storage.keys import check_key, check_prefix, check_private_key
from storage.objects import Disposition, FetchedObject, ObjectInfo, SignedGet, SignedPut
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


class OpenObject:
    """An object that is held open; only `DiskStore.open` makes one."""

    def __init__(self, key: str, source: SourceFile) -> None:
        self.info = _info(key, source.stat)
        self._source = source

    async def blocks(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Read the bytes from offset `start` up to, not including, `end`, in blocks of at most 1 MiB."""
        while start < end:
            block = await on_disk(partial(self._source.read, start, min(BLOCK_BYTES, end - start)))
            if not block:
                raise StorageUnavailableError("An object is shorter than it was.")
            start += len(block)
            yield block


class DiskStore:
    """The `ObjectStore` below the directory `root`, served at `base_url` (the public address of `/objects`).

    `secret` (at least 32 bytes) is the same in all processes of an installation. The constructor creates the
    directory if needed and blocks for that moment.
    """

    def __init__(self, root: Path, *, base_url: str, secret: bytes, clock: Clock = utc_now) -> None:
        self.signer = DiskSigner(base_url=base_url, secret=secret, clock=clock)
        self._clock = clock
        with translated():
            self._tree = DiskTree(root)

    def sign_put(
        self,
        key: str,
        *,
        content_type: str,
        byte_size: int,
        sha256: str | None,
        md5: str | None,
        expires_in: timedelta,
    ) -> SignedPut:
        return self.signer.sign_put(
            key,
            content_type=content_type,
            byte_size=byte_size,
            sha256=sha256,
            md5=md5,
            expires_in=expires_in,
        )

    def sign_get(
        self,
        key: str,
        *,
        disposition: Disposition,
        filename: str,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedGet:
        return self.signer.sign_get(
            key,
            disposition=disposition,
            filename=filename,
            content_type=content_type,
            expires_in=expires_in,
        )

    def public_url(self, key: str) -> str:
        return self.signer.public_url(key)

    async def head(self, key: str) -> ObjectInfo | None:
        check_key(key)
        found = await on_disk(partial(self._tree.stat, key))
        return _info(key, found) if found is not None else None

    async def receive(self, grant: PutGrant, chunks: AsyncIterator[bytes]) -> ObjectInfo:
        """Store the body that `grant` permits, as it arrives; the next chunk waits until this one is kept.

        Durable before it returns. Stops at the first byte too many. Raises `ObjectExistsError` (also to all
        but one of several at once), `SizeMismatchError`, `ChecksumMismatchError`, `StorageFullError`,
        `InvalidKeyError`, and whatever `chunks` raises; then nothing is left. Cancelled at the very end, the
        whole object may be stored all the same.
        """
        check_private_key(grant.key)
        promised = {"sha256": grant.sha256, "md5": grant.md5}
        async with self._incoming([name for name, digest in promised.items() if digest is not None]) as file:
            async with aclosing(body_blocks(chunks, grant.byte_size)) as blocks:
                async for block in blocks:
                    await on_disk(partial(file.write, block))
            compare_hashes(file, promised)
            return _info(grant.key, await on_disk(partial(self._keep, file, self._tree.link, grant.key)))

    async def put_file(self, key: str, path: Path, *, content_type: str) -> ObjectInfo:
        check_key(key)
        check_content_type(content_type)
        async with reading(partial(open_regular, path), in_thread) as source, self._incoming() as file:
            await copy_bytes(source, file, read=in_thread, write=on_disk)
            return _info(key, await on_disk(partial(self._keep, file, self._tree.replace, key)))

    async def copy(self, source: str, key: str, *, content_type: str) -> ObjectInfo:
        # Not by a hard link: a file system has few for one file (65,000 on ext4), and the sweep of
        # `.incoming` goes by the age that a link shares with its source.
        check_key(key)
        check_content_type(content_type)
        async with self._opened(source) as opened, self._incoming() as file:
            await copy_bytes(opened, file, read=on_disk, write=on_disk)
            return _info(key, await on_disk(partial(self._keep, file, self._tree.replace, key)))

    async def fetch(self, key: str, path: Path) -> FetchedObject:
        file = NewFile(path, hashes=["sha256"])
        try:
            async with self._opened(key) as source:
                await in_thread(file.open)
                await copy_bytes(source, file, read=on_disk, write=in_thread)
            await in_thread(file.close)
        except BaseException:
            await in_thread(file.discard)
            raise
        return FetchedObject(byte_size=file.byte_size, sha256=file.hexdigest("sha256"))

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
                yield _info(entry.key, entry.stat)

    async def check(self) -> None:
        await on_disk(partial(probe, self._tree.incoming))

    async def sweep_incoming(self, *, older_than: timedelta = STALE_AFTER) -> int:
        """Remove what killed processes left half-written; return the number of files. Run it now and then.

        Takes only files last written longer than `older_than` ago that no living process has locked.
        """
        before = (self._clock() - older_than).timestamp()
        return await on_disk(partial(sweep, self._tree.incoming, written_before=before))

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[OpenObject]:
        """Hold the object open: its bytes stay the same and readable whatever happens to the key meanwhile.

        Raises `ObjectMissingError`.
        """
        async with self._opened(key) as source:
            yield OpenObject(key, source)

    def _opened(self, key: str) -> AbstractAsyncContextManager[SourceFile]:
        check_key(key)
        return reading(partial(self._open_existing, key), on_disk)

    def _open_existing(self, key: str) -> int:
        fd = self._tree.open(key)
        if fd is None:
            raise ObjectMissingError
        return fd

    @asynccontextmanager
    async def _incoming(self, hashes: Sequence[str] = ()) -> AsyncIterator[NewFile]:
        file = NewFile(incoming_path(self._tree.incoming), hashes=hashes)
        try:
            await on_disk(file.open)
            yield file
        finally:
            await on_disk(file.discard)

    def _keep(self, file: NewFile, place: Callable[[Path, str], None], key: str) -> os.stat_result:
        """Sync the bytes before they get their name, so that no crash can show a name with other bytes."""
        written = file.sync()
        place(file.path, key)
        return written

    async def _entries(self, parents: tuple[str, ...], start: str) -> Sequence[TreeEntry]:
        return await on_disk(partial(self._tree.entries, parents, start))


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        byte_size=found.st_size,
        # Objects don't change, so the time of writing tells one from its replacement; the inode would tell
        # too, but not survive a restored backup.
        etag=f"{found.st_mtime_ns:x}-{found.st_size:x}",
        modified_at=datetime.fromtimestamp(found.st_mtime_ns // 1_000_000_000, UTC),
    )
