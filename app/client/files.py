"""The files to send: what is claimed of them, and their bytes as long as the claim is true."""

import asyncio
import hashlib
import mimetypes
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.client.errors import FileProblemError, UsageError
from app.client.text import printable, sendable
from pipeline.sniff import HEAD_BYTES, TEXT, UNKNOWN, sniff

#: Read at once in a thread: long enough that the hop doesn't show, short enough to stop and to show progress.
BLOCK_BYTES = 256 * 1024
_HASH_BLOCK_BYTES = 4 * 1024 * 1024

#: Where the bytes leave it open, the name may say more.
_UNCLEAR = (UNKNOWN, TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """Changes when somebody writes to the file or puts another in its place."""

    device: int
    inode: int
    byte_size: int
    modified_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """`byte_size` and `sha256` (hex) are of the bytes that were read; `mime_type` is a guess."""

    path: Path
    filename: str
    byte_size: int
    sha256: str
    mime_type: str
    identity: _Identity


def display_name(path: Path) -> str:
    return printable(path.name)


def check_paths(paths: list[Path]) -> None:
    """Raises UsageError, before anything is sent, for what is no file that can be read."""
    for path in paths:
        name = printable(str(path))
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            raise UsageError(f"{name}: there is no such file.") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{name} can't be read: {_reason(error)}.") from None
        if stat.S_ISDIR(mode):
            raise UsageError(f"{name} is a directory: name the files in it.")
        if not stat.S_ISREG(mode):
            raise UsageError(f"{name} is not a regular file.")
        if not os.access(path, os.R_OK):
            raise UsageError(f"{name} can't be read: permission denied.")


async def inspect(path: Path) -> LocalFile:
    """Read the whole file once, in threads. Raises FileProblemError."""
    with _readable():
        file = await asyncio.to_thread(path.open, "rb", 0)
        try:
            before = _identity(file)
            head, digest = b"", hashlib.sha256()
            while block := await asyncio.to_thread(file.read, _HASH_BLOCK_BYTES):
                head = head or block[:HEAD_BYTES]
                await asyncio.to_thread(digest.update, block)
            after = _identity(file)
        finally:
            file.close()
    if before.byte_size == 0:
        raise FileProblemError("The file is empty.")
    if before != after:
        raise changed()
    return LocalFile(
        path=path,
        filename=sendable(path.name),
        byte_size=before.byte_size,
        sha256=digest.hexdigest(),
        mime_type=guess_mime_type(head, path.name),
        identity=before,
    )


@asynccontextmanager
async def opened(local: LocalFile) -> AsyncIterator["Source"]:
    """The file, as long as it is still what was inspected. Raises FileProblemError."""
    with _readable():
        file = await asyncio.to_thread(local.path.open, "rb", 0)
    try:
        yield Source(local, file)
    finally:
        file.close()


class Source:
    """The bytes of one attempt to send a file.

    Raising in the middle of a body is lost on the way through an HTTP client, hence `problem`.
    """

    def __init__(self, local: LocalFile, file: BinaryIO) -> None:
        self._local = local
        self._file = file
        self.problem: FileProblemError | None = None

    async def blocks(self) -> AsyncGenerator[bytes]:
        """Exactly the announced bytes; ends early, with `problem` set, when the file is no longer the same.

        The last block is held back until that is known, so that a changed file is never stored as a whole.
        """
        left = self._local.byte_size
        while left:
            try:
                block = await asyncio.to_thread(self._file.read, min(BLOCK_BYTES, left))
            except OSError as error:
                self.problem = _unreadable(error)
                raise self.problem from None
            left -= len(block)
            if not block or (left == 0 and _identity(self._file) != self._local.identity):
                self.problem = changed()
                raise self.problem
            yield block


def guess_mime_type(head: bytes, name: str) -> str:
    """From the first `HEAD_BYTES` as the service tells it; from the name where they leave it open."""
    sniffed = sniff(head)
    named = mimetypes.guess_type(name, strict=False)[0] if sniffed in _UNCLEAR else None
    return named or sniffed.mime_type


def changed() -> FileProblemError:
    return FileProblemError("The file changed while it was being sent: upload it again.")


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
    return FileProblemError(f"The file can't be read: {_reason(error)}.")


def _reason(error: OSError | ValueError) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return (reason or str(error)).lower()
