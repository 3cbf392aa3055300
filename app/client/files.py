"""The files to send: what is claimed of them, and their bytes as long as the claim is true."""

import asyncio
import mimetypes
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from app.client.errors import ChangedFileError, FileProblemError, reason_of
from app.client.hashing import Reading, hashes_of
from app.client.text import printable, sendable
from pipeline.sniff import HEAD_BYTES, TEXT, UNKNOWN, sniff

#: Read at once in a thread: long enough that the hop doesn't show, short enough to stop and to show progress.
BLOCK_BYTES = 256 * 1024

#: Where the bytes leave it open, the name may say more.
_UNCLEAR = (UNKNOWN, TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """Changes when somebody writes to the file or puts another in its place."""

    device: int
    inode: int
    byte_size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes of a file, from its byte `offset` on."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """`byte_size` and the hashes (SHA-256 in hex) are of the bytes that were read; `mime_type` is a guess.

    `block_sha256s` are of its blocks (`app.client.blocks`) where it has several and all of it was read.
    """

    path: Path
    filename: str
    byte_size: int
    sha256: str
    mime_type: str
    identity: _Identity
    block_sha256s: tuple[str, ...] = ()

    @property
    def whole(self) -> ByteRange:
        return ByteRange(0, self.byte_size)

    @property
    def modified_ns(self) -> int:
        return self.identity.modified_ns


def display_name(path: Path) -> str:
    return printable(path.name)


async def inspect(path: Path, reading: Reading = lambda done, byte_size: None) -> LocalFile:
    """Read the whole file once, in threads. Raises FileProblemError."""
    with _readable():
        file = await _open(path)
        try:
            before = _identity(file)
            hashes = await hashes_of(file, before.byte_size, reading)
            after = _identity(file)
        finally:
            file.close()
    if before.byte_size == 0:
        raise FileProblemError("The file is empty.")
    if before != after or hashes.byte_size != before.byte_size:
        raise changed()
    return LocalFile(
        path=path,
        filename=sendable(path.name),
        byte_size=before.byte_size,
        sha256=hashes.sha256,
        mime_type=guess_mime_type(hashes.first[:HEAD_BYTES], path.name),
        identity=before,
        block_sha256s=hashes.block_sha256s,
    )


async def look_at(path: Path, *, sha256: str) -> LocalFile:
    """The file as it is now, `sha256` taken on trust: only its beginning is read. Raises FileProblemError."""
    with _readable():
        file = await _open(path)
        try:
            identity = _identity(file)
            head = await asyncio.to_thread(file.read, HEAD_BYTES)
        finally:
            file.close()
    return LocalFile(
        path=path,
        filename=sendable(path.name),
        byte_size=identity.byte_size,
        sha256=sha256,
        mime_type=guess_mime_type(head, path.name),
        identity=identity,
    )


@asynccontextmanager
async def opened(local: LocalFile, part: ByteRange) -> AsyncIterator["Source"]:
    """Bytes of the file, as long as it is still what was inspected. Raises FileProblemError."""
    with _readable():
        file = await _open(local.path)
    try:
        yield Source(local, file, part)
    finally:
        file.close()


@contextmanager
def reading_file(local: LocalFile) -> Iterator[int]:
    """A descriptor to read from, blocking. Raises FileProblemError if the file is no longer the same."""
    with _readable(), local.path.open("rb", 0) as file:
        yield file.fileno()
        if _identity(file) != local.identity:
            raise changed()


class Source:
    """The bytes of one attempt to send a file, or a part of it.

    Raising in the middle of a body is lost on the way through an HTTP client, hence `problem`.
    """

    def __init__(self, local: LocalFile, file: BinaryIO, part: ByteRange) -> None:
        self._local = local
        self._file = file
        self._part = part
        self.problem: FileProblemError | None = None

    async def blocks(self) -> AsyncGenerator[bytes]:
        """Exactly the bytes asked for; ends early, with `problem` set, when the file is no longer the same.

        The last block is held back until that is known, so that a changed file is never stored as a whole.
        """
        offset, left = self._part.offset, self._part.length
        while left:
            try:
                block = await asyncio.to_thread(os.pread, self._file.fileno(), min(BLOCK_BYTES, left), offset)
            except OSError as error:
                self.problem = _unreadable(error)
                raise self.problem from None
            offset, left = offset + len(block), left - len(block)
            if not block or (left == 0 and _identity(self._file) != self._local.identity):
                self.problem = changed()
                raise self.problem
            yield block


def guess_mime_type(head: bytes, name: str) -> str:
    """From the first `HEAD_BYTES` as the service tells it; from the name where they leave it open."""
    sniffed = sniff(head)
    named = mimetypes.guess_type(name, strict=False)[0] if sniffed in _UNCLEAR else None
    return named or sniffed.mime_type


def changed() -> ChangedFileError:
    return ChangedFileError("The file changed while it was being sent: upload it again.")


async def _open(path: Path) -> BinaryIO:
    """In a thread, for a disk may sleep; closed again when nobody waits for it any more."""
    opening = asyncio.create_task(asyncio.to_thread(path.open, "rb", 0))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)
        raise


def _close(opening: asyncio.Task[FileIO]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _identity(file: BinaryIO) -> _Identity:
    facts = os.fstat(file.fileno())
    return _Identity(
        device=facts.st_dev, inode=facts.st_ino, byte_size=facts.st_size, modified_ns=facts.st_mtime_ns
    )


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(error) from None


def _unreadable(error: OSError) -> FileProblemError:
    return FileProblemError(f"The file can't be read: {reason_of(error)}.")
