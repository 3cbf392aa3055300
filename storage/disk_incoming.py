"""`.incoming`: the files that are being written, under names of no meaning, on the objects' file system.

A writer removes its file however it ends; only a killed process leaves one, and the sweep takes that. A
file may belong to any process that uses the directory, so the sweep takes only what is old *and* unlocked:
a writer holds a lock from its first moment, and the age covers that moment and file systems without locks.
"""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from storage.local_files import open_regular


def incoming_path(incoming: Path) -> Path:
    return incoming / uuid4().hex


def sweep(incoming: Path, *, written_before: float) -> int:
    """Remove files without an owner, last written before that time (in Unix seconds); return how many."""
    with os.scandir(incoming) as found:
        stale = [entry.path for entry in found if _is_older(entry, written_before)]
    return sum(_remove_unowned(path) for path in stale)


def probe(incoming: Path) -> None:
    """Write and read back a few bytes; not synced, so that a probe every second costs the disk nothing."""
    path, written = incoming_path(incoming), uuid4().bytes
    try:
        path.write_bytes(written)
        if path.read_bytes() != written:
            raise OSError(errno.EIO, "Bytes were read that had not been written", str(path))
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def _is_older(entry: os.DirEntry[str], written_before: float) -> bool:
    try:
        found = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_mtime < written_before


def _remove_unowned(path: str) -> bool:
    try:
        fd = open_regular(path)
    except FileNotFoundError:
        return False
    try:
        if _is_owned(fd):
            return False
        os.unlink(path)
    except FileNotFoundError:
        return False
    finally:
        os.close(fd)
    return True


def _is_owned(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # No locks on this file system: the age alone decides.
        return False
    return False
