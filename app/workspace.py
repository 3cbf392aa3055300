"""Where private copies lie while they are worked on: one directory a process, swept when that is gone."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK_NAME = ".lock"


@contextmanager
def own_workspace(root: Path) -> Iterator[Path]:
    """A private directory below `root` for the length of the block.

    What a killed process left there is removed: nobody holds the lock in its directory any more.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Held while a directory gets its lock, so that nobody takes a new one for one that was left.
    with (root / ".sweep").open("w") as sweeping:
        fcntl.flock(sweeping, fcntl.LOCK_EX)
        _sweep(root)
        directory = Path(tempfile.mkdtemp(dir=root))
        lock = (directory / _LOCK_NAME).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _sweep(root: Path) -> None:
    for directory in root.iterdir():
        if directory.is_dir() and not _is_in_use(directory):
            shutil.rmtree(directory, ignore_errors=True)


def _is_in_use(directory: Path) -> bool:
    with suppress(FileNotFoundError), (directory / _LOCK_NAME).open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
