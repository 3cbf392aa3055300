"""Single local files of whatever store: one that is written, one that is read. All calls block.

Both begin closed, so that whoever creates them can clean up whatever happens while they open.
"""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from storage.block_hashes import BlockHashes

# What Linux says where two files can't be copied inside the kernel: other devices, file systems without it.
_NOT_IN_KERNEL = frozenset({errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
_READ_BYTES = 1024 * 1024


class NewFile:
    """A file of our own in the making: private (mode 0600), never there before, hashed as it grows.

    With `block_size` (bytes) each block of that size has a SHA-256 of its own too.
    """

    def __init__(self, path: Path, *, hashes: Sequence[str] = (), block_size: int | None = None) -> None:
        self.path = path
        self.byte_size = 0
        self._created = False
        self._fd: int | None = None
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in hashes}
        self._blocks = BlockHashes(block_size) if block_size is not None else None

    def open(self) -> None:
        """Create the file; `FileExistsError` leaves alone what is there."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(self.path, flags, 0o600)
        self._created = True
        # Tells another process's sweep that this file has an owner; without locks its age must do.
        with suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._opened, rest) :]
        self._count(data)

    def append(self, source: "SourceFile", offset: int, byte_size: int) -> int:
        """Append that range of `source`, or its beginning, and return how many bytes; 0 is the source's end.

        The kernel copies, or shares the blocks where the file system can; the bytes come into this process
        only to be hashed, or where the kernel does not copy.
        """
        try:
            copied = source.copy_to(self._opened, offset, byte_size)
        except OSError as error:
            if error.errno not in _NOT_IN_KERNEL:
                raise
            copied = 0
        if copied == 0:
            # Some file systems copy nothing and say so with a 0; at the source's end this reads nothing too.
            data = source.read(offset, min(byte_size, _READ_BYTES))
            self.write(data)
            return len(data)
        if self._hashes:
            self._hash_range(source, offset, copied)
        else:
            self.byte_size += copied
        return copied

    def sync(self) -> os.stat_result:
        """Make the bytes durable; the directory entry is the caller's."""
        os.fsync(self._opened)
        return os.fstat(self._opened)

    def hexdigest(self, name: str) -> str:
        return self._hashes[name].hexdigest()

    def block_hexdigests(self) -> tuple[str, ...]:
        return self._blocks.digests() if self._blocks is not None else ()

    def close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    def discard(self) -> None:
        """Remove the name and close; leaves alone what was not created here."""
        if self._created:
            with suppress(FileNotFoundError):
                os.unlink(self.path)
        self.close()

    @property
    def _opened(self) -> int:
        if self._fd is None:
            raise ValueError("This file is not open.")
        return self._fd

    def _hash_range(self, source: "SourceFile", offset: int, byte_size: int) -> None:
        end = offset + byte_size
        while offset < end:
            data = source.read(offset, min(_READ_BYTES, end - offset))
            if not data:
                raise OSError(errno.EIO, "Bytes that were copied can't be read", str(self.path))
            self._count(data)
            offset += len(data)

    def _count(self, data: bytes) -> None:
        for digest in self._hashes.values():
            digest.update(data)
        if self._blocks is not None:
            self._blocks.update(data)
        self.byte_size += len(data)


class SourceFile:
    """A regular file that is read at offsets; the descriptor that `opener` returns belongs to this object."""

    def __init__(self, opener: Callable[[], int]) -> None:
        self._opener = opener
        self._fd: int | None = None
        self._stat: os.stat_result | None = None

    @property
    def stat(self) -> os.stat_result:
        """The file's state when it was opened."""
        if self._stat is None:
            raise ValueError("This file was not opened.")
        return self._stat

    def open(self) -> None:
        self._fd = self._opener()
        self._stat = os.fstat(self._fd)

    def read(self, offset: int, byte_size: int) -> bytes:
        return os.pread(self._opened, byte_size, offset)

    def copy_to(self, fd: int, offset: int, byte_size: int) -> int:
        """Copy at most that range to where `fd` stands, inside the kernel; return how many bytes."""
        if not hasattr(os, "copy_file_range"):
            return 0
        return os.copy_file_range(self._opened, fd, byte_size, offset_src=offset)

    def close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)

    @property
    def _opened(self) -> int:
        if self._fd is None:
            raise ValueError("This file is not open.")
        return self._fd


def open_regular(path: str | Path, *, dir_fd: int | None = None) -> int:
    """Open a regular file for reading; a symlink or anything else raises `OSError`.

    Without O_NONBLOCK a pipe in the place of the file would hold the thread for ever.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(path, flags, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return fd
