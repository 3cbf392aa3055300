"""The disk store's directory tree: keys to files, by way of directory descriptors. All calls block.

`<root>/<key>` is the object, `<root>/.incoming` holds what is being written. Every step below the root opens
one segment with O_NOFOLLOW relative to the directory before it, so no symlink and no rename in between can
lead out. Directories appear with the first object and go with the last.

`OSError` comes out untranslated, except where it has a meaning of its own.
"""

import errno
import os
import random
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from storage.errors import InvalidKeyError, ObjectExistsError, StorageUnavailableError
from storage.keys import is_segment
from storage.local_files import open_regular

INCOMING = ".incoming"

Segments = tuple[str, ...]

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# ENOTDIR is also what Linux says of a symlink where a directory was asked for; ENXIO is a socket.
_NO_OBJECT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO})
_TAKEN = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EISDIR})
# A deletion may take an empty directory away before our file is in it; it can hardly win this often in a row.
_PLACE_ATTEMPTS = 200
_PLACE_PAUSE_SECONDS = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """One name in a directory: an object with its `stat`, or a directory (None)."""

    key: str
    stat: os.stat_result | None


class DiskTree:
    """The tree below `root`, which is created (mode 0700) if it is missing."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.incoming = self.root / INCOMING
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.incoming.mkdir(mode=0o700, exist_ok=True)

    def stat(self, key: str) -> os.stat_result | None:
        """Return the `stat` of the object, or None if there is none: anything but a regular file is none."""
        parents, name = _split(key)
        try:
            with self._chain(parents) as fds:
                found = os.stat(name, dir_fd=fds[-1], follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_OBJECT:
                return None
            raise
        return found if stat.S_ISREG(found.st_mode) else None

    def open(self, key: str) -> int | None:
        """Open the object for reading, or return None if there is none."""
        parents, name = _split(key)
        try:
            with self._chain(parents) as fds:
                return open_regular(name, dir_fd=fds[-1])
        except OSError as error:
            if error.errno in _NO_OBJECT:
                return None
            raise

    def link(self, path: Path | str, key: str, *, dir_fd: int | None = None) -> None:
        """Give the file the name `key`, durably; `ObjectExistsError` if that is taken. Atomic."""

        def link_to(fd: int, name: str) -> None:
            os.link(path, name, src_dir_fd=dir_fd, dst_dir_fd=fd, follow_symlinks=False)

        try:
            self._place(key, link_to)
        except FileExistsError as error:
            if self.stat(key) is None:
                raise _taken(key) from error
            raise ObjectExistsError from error

    def replace(self, path: Path, key: str) -> None:
        """Move the file to the name `key`, durably, in place of what is there. Atomic."""
        self._place(key, lambda fd, name: os.replace(path, name, dst_dir_fd=fd))

    def sync(self, key: str) -> None:
        """Make durable that the object is there: another process may have died before it did so itself."""
        with self._chain(_split(key)[0]) as fds:
            for fd in reversed(fds):
                os.fsync(fd)

    def remove(self, keys: Sequence[str]) -> None:
        """Unlink the objects, and the directories that are empty then, durably; what is missing is fine."""
        touched: set[Segments] = set()
        for key in keys:
            parents, name = _split(key)
            touched.add(parents)
            try:
                with self._chain(parents) as fds:
                    os.unlink(name, dir_fd=fds[-1])
            except OSError as error:
                if error.errno not in _NO_OBJECT | {errno.EISDIR}:
                    raise
        self._prune(touched)

    def entries(self, parents: Segments, start: str) -> list[TreeEntry]:
        """List one directory's names that begin with `start`, in key order; all of them are in memory."""
        try:
            with self._chain(parents) as fds, os.scandir(fds[-1]) as names:
                found = [entry for name in names if (entry := _entry(parents, name, start)) is not None]
        except OSError as error:
            if error.errno in _NO_OBJECT:
                return []
            raise
        # A directory sorts as the keys in it do: "a-b" < "a.b" < "a/b".
        return sorted(found, key=lambda entry: entry.key if entry.stat else entry.key + "/")

    @contextmanager
    def open_root(self) -> Iterator[int]:
        """Open the root directory, and prove that it is the store's."""
        with ExitStack() as opened:
            try:
                root = os.open(self.root, DIRECTORY)
                opened.callback(os.close, root)
                os.stat(INCOMING, dir_fd=root, follow_symlinks=False)
            except FileNotFoundError as error:
                # A disk that isn't mounted must not pass for a store without objects.
                raise StorageUnavailableError(
                    f"The object store's directory {self.root} has no {INCOMING}: is its disk mounted?"
                ) from error
            yield root

    @contextmanager
    def _chain(self, parents: Segments, *, create: bool = False) -> Iterator[list[int]]:
        """Open the root and the directories below it, one in the other."""
        with ExitStack() as opened:
            fds = [opened.enter_context(self.open_root())]
            for segment in parents:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(segment, 0o700, dir_fd=fds[-1])
                fds.append(os.open(segment, DIRECTORY | os.O_NOFOLLOW, dir_fd=fds[-1]))
                opened.callback(os.close, fds[-1])
            yield fds

    def _place(self, key: str, put: Callable[[int, str], None]) -> None:
        for attempt in range(_PLACE_ATTEMPTS):
            try:
                self._place_once(key, put)
                return
            except FileNotFoundError:
                if attempt == _PLACE_ATTEMPTS - 1:
                    raise
                # Out of step with whoever takes the directories away.
                time.sleep(random.uniform(0, _PLACE_PAUSE_SECONDS))
            except OSError as error:
                if error.errno in _TAKEN:
                    raise _taken(key) from error
                raise

    def _place_once(self, key: str, put: Callable[[int, str], None]) -> None:
        parents, name = _split(key)
        with self._chain(parents, create=True) as fds:
            try:
                put(fds[-1], name)
            finally:
                # The whole way up, for a directory found there may be another writer's, not durable yet; and
                # after a refusal too: "it exists" is only true when the entry survives a power cut.
                for fd in reversed(fds):
                    os.fsync(fd)

    def _prune(self, directories: set[Segments]) -> None:
        for depth in range(max(map(len, directories), default=0), -1, -1):
            for parents in [each for each in directories if len(each) == depth]:
                if not self._settle(parents):
                    directories.add(parents[:-1])

    def _settle(self, parents: Segments) -> bool:
        """Make a directory's entries durable; or remove it, if empty, and return False: its parent is due."""
        if parents and self._remove_empty(parents):
            return False
        try:
            with self._chain(parents) as fds:
                os.fsync(fds[-1])
        except OSError as error:
            if error.errno not in _NO_OBJECT:
                raise
            return False
        return True

    def _remove_empty(self, parents: Segments) -> bool:
        with suppress(OSError), self._chain(parents[:-1]) as fds:
            os.rmdir(parents[-1], dir_fd=fds[-1])
            return True
        return False


def _split(key: str) -> tuple[Segments, str]:
    *parents, name = key.split("/")
    return tuple(parents), name


def _taken(key: str) -> InvalidKeyError:
    return InvalidKeyError(f"The key {key} is the beginning of another, or another is the beginning of it.")


def _entry(parents: Segments, found: os.DirEntry[str], start: str) -> TreeEntry | None:
    # Names that no key can have are not ours: .incoming, lost+found.
    if not found.name.startswith(start) or not is_segment(found.name):
        return None
    key = "/".join((*parents, found.name))
    if found.is_dir(follow_symlinks=False):
        return TreeEntry(key=key, stat=None)
    if not found.is_file(follow_symlinks=False):
        return None
    with suppress(FileNotFoundError):
        return TreeEntry(key=key, stat=found.stat(follow_symlinks=False))
    return None
