"""How the disk store moves bytes: one block at a time in threads, with the store's own errors."""

import errno
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from storage.disk_incoming import incoming_path
from storage.errors import ChecksumMismatchError, SizeMismatchError, StorageFullError, StorageUnavailableError
from storage.local_files import NewFile, SourceFile
from storage.threads import in_thread

BLOCK_BYTES = 1024 * 1024
"""Large enough that the hop into a thread doesn't show, small enough for many transfers at once."""

COPY_BYTES = 16 * 1024 * 1024
"""What the kernel copies in one call: tens of milliseconds, after which a cancellation is looked at."""

# EFBIG: over the file system's, or the process's, limit of one file.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ALGORITHMS = {"sha256": "SHA-256", "md5": "MD5"}

T = TypeVar("T")


class Run(Protocol):
    """`in_thread`, or with the store's own errors `on_disk`."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


@asynccontextmanager
async def reading(opener: Callable[[], int], run: Run) -> AsyncIterator[SourceFile]:
    file = SourceFile(opener)
    try:
        await run(file.open)
        yield file
    finally:
        await in_thread(file.close)


async def body_blocks(chunks: AsyncIterator[bytes], byte_size: int) -> AsyncGenerator[bytes, None]:
    """Gather chunks into blocks worth a thread, and raise unless they are `byte_size` bytes in all."""
    block, received = bytearray(), 0
    async for chunk in chunks:
        received += len(chunk)
        if received > byte_size:
            raise SizeMismatchError(
                f"The body is longer than the {byte_size} bytes that the upload was signed for.",
                expected=byte_size,
                actual=received,
            )
        block += chunk
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if received < byte_size:
        raise SizeMismatchError(expected=byte_size, actual=received)
    if block:
        yield bytes(block)


def compare_hashes(file: NewFile, promised: Mapping[str, str | None]) -> None:
    for name, expected in promised.items():
        if expected is not None and file.hexdigest(name) != expected:
            raise ChecksumMismatchError(
                algorithm=_ALGORITHMS[name], expected=expected, actual=file.hexdigest(name)
            )


async def copy_bytes(source: SourceFile, target: NewFile, *, read: Run, write: Run) -> None:
    """Copy what the source held when it was opened: one that grows for ever ends nevertheless."""
    while (left := source.stat.st_size - target.byte_size) > 0:
        block = await read(partial(source.read, target.byte_size, min(BLOCK_BYTES, left)))
        if not block:
            return
        await write(partial(target.write, block))


async def copy_range(source: SourceFile, target: NewFile, *, offset: int, byte_size: int) -> None:
    """Append that range of an object or a part to `target`; both are ours, on the same file system."""
    while byte_size > 0:
        step = min(COPY_BYTES, byte_size)
        copied = await on_disk(partial(target.append, source, offset, step))
        if not copied:
            raise StorageUnavailableError("An object is shorter than it was.")
        offset, byte_size = offset + copied, byte_size - copied


@asynccontextmanager
async def incoming_file(incoming: Path, hashes: Sequence[str] = ()) -> AsyncIterator[NewFile]:
    """A file that is being written; its bytes are gone at the end unless they were given another name."""
    file = NewFile(incoming_path(incoming), hashes=hashes)
    try:
        await on_disk(file.open)
        yield file
    finally:
        await on_disk(file.discard)


async def on_disk(work: Callable[[], T]) -> T:
    with translated():
        return await in_thread(work)


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError from error
        raise StorageUnavailableError(f"The object store does not work: {error.strerror}.") from error
