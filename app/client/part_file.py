"""A file on its way: beside its target, under another name, until all of it is there and checked."""

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from app.client.errors import FileProblemError
from app.client.file_names import shortened

_BLOCK_BYTES = 4 * 1024 * 1024

#: Leaves room for the identity and the suffix in a name of 255 bytes.
_STEM_BYTES = 200

#: What a file system without hard links answers.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV, errno.EINVAL})


class PartFile:
    """What came of one object, kept over interruptions. Its methods block, and raise FileProblemError."""

    def __init__(self, target: Path, descriptor: int, path: Path) -> None:
        self._target = target
        self._path = path
        self._descriptor = descriptor
        self._digest = hashlib.sha256()
        self.byte_size = 0

    @classmethod
    def open(cls, target: Path, identity: str) -> "PartFile":
        """With what came earlier of the object with this identity; nobody else may write it meanwhile."""
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        path = target.with_name(f"{shortened(target.name, _STEM_BYTES)}.{digest}.part")
        with _writable(), ExitStack() as undoing:
            descriptor = _locked(path)
            undoing.callback(os.close, descriptor)
            part = cls(target, descriptor, path)
            part._read()
            undoing.pop_all()
        return part

    def append(self, block: bytes) -> None:
        with _writable():
            view = memoryview(block)
            while view:
                view = view[os.write(self._descriptor, view) :]
        self._digest.update(block)
        self.byte_size += len(block)

    def restart(self) -> None:
        """Forget what came."""
        with _writable():
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.ftruncate(self._descriptor, 0)
        self._digest, self.byte_size = hashlib.sha256(), 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def publish(self, *, force: bool) -> None:
        """Give it its name, durably; without `force` only if nothing has that name."""
        with _writable():
            os.fsync(self._descriptor)
            if force:
                os.replace(self._path, self._target)
            else:
                self._link()
            directory = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def discard(self) -> None:
        with suppress(OSError):
            self._path.unlink()

    def close(self) -> None:
        """What came stays for another attempt, if it is anything."""
        if self.byte_size == 0:
            self.discard()
        os.close(self._descriptor)

    def _read(self) -> None:
        while block := os.read(self._descriptor, _BLOCK_BYTES):
            self._digest.update(block)
            self.byte_size += len(block)

    def _link(self) -> None:
        """A link refuses a name that is taken, which a renaming would not."""
        try:
            os.link(self._path, self._target)
        except FileExistsError:
            raise exists(self._target) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(self._target):
                raise exists(self._target) from None
            os.rename(self._path, self._target)
        else:
            self._path.unlink()


def _locked(path: Path) -> int:
    """The part with this name, made where there is none, as long as the name is that of no other file."""
    while True:
        with ExitStack() as undoing:
            descriptor = _opened(path)
            undoing.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileProblemError("Another download is writing it.") from None
            if _is_still_a_part(descriptor, path):
                undoing.pop_all()
                return descriptor


def _opened(path: Path) -> int:
    """What is there already must be ours: somebody else could go on writing it after it was checked."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(FileExistsError):
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
    descriptor = os.open(path, flags)
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid():
        os.close(descriptor)
        raise FileProblemError(f"{path.name} is no file of yours: remove it, or save elsewhere.")
    return descriptor


def _is_still_a_part(descriptor: int, path: Path) -> bool:
    """False when another download has given it its name: then it is a finished file, not to be touched.

    One that was killed on the way left both names, of which that of the part goes.
    """
    facts = os.fstat(descriptor)
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    if not os.path.samestat(facts, named):
        return False
    if facts.st_nlink > 1:
        path.unlink()
        return False
    return True


def exists(target: Path) -> FileProblemError:
    if target.is_dir():
        return FileProblemError(f"{target.name} is a directory.")
    return FileProblemError(f"{target.name} is there already: --force replaces it, --output names another.")


@contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FileProblemError(f"The file can't be written: {reason}.") from None
