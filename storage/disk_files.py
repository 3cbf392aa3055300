"""Single files of the disk store: one that is written, one that is read. All calls block.

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


class NewFile:
    """A file of our own in the making: private (mode 0600), never there before, hashed as it grows."""

    def __init__(self, path: Path, *, hashes: Sequence[str] = ()) -> None:
        self.path = path
        self.byte_size = 0
        self._created = False
        self._fd: int | None = None
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in hashes}

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
        for digest in self._hashes.values():
            digest.update(data)
        self.byte_size += len(data)

    def sync(self) -> os.stat_result:
        """Make the bytes durable; the directory entry is the caller's."""
        os.fsync(self._opened)
        return os.fstat(self._opened)

    def hexdigest(self, name: str) -> str:
        return self._hashes[name].hexdigest()

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
        if self._fd is None:
            raise ValueError("This file is not open.")
        return os.pread(self._fd, byte_size, offset)

    def close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)


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
