"""Advisory file locks, the only truth about who uses the embedded PostgreSQL.

A lock belongs to an open file, so the kernel drops it with the last process that has the file open:
nothing is left behind by a `kill -9`. The files themselves are never deleted. Standard library only.
"""

import fcntl
import os
import weakref
from pathlib import Path
from typing import Self


class FileLock:
    """One open lock file. Two of them exclude each other also inside one process.

    A process forked from ours closes its copy at once: otherwise a child that outlives its killed parent
    would count as a user. Only a program that is handed the descriptor on purpose keeps the lock.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, creating it (0600) if absent. Raises OSError if that isn't possible."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _open_locks.add(self)

    @property
    def descriptor(self) -> int:
        """For handing the lock to a child process: it lasts until the child has closed it too."""
        return self._descriptor

    def try_shared(self) -> bool:
        """Take the lock together with other sharers, without waiting."""
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Take the lock alone, without waiting."""
        return self._try(fcntl.LOCK_EX)

    def close(self) -> None:
        """Close the file: the lock ends unless a child has the descriptor. Closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _try(self, operation: int) -> bool:
        try:
            fcntl.flock(self._descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock exclusively.

    Taking it for a moment is the only portable question: who wants it exclusively tries more than once.
    """
    with FileLock(path) as lock:
        return lock.try_shared()


_open_locks: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


def _close_in_forked_child() -> None:
    for lock in list(_open_locks):
        lock.close()


os.register_at_fork(after_in_child=_close_in_forked_child)
