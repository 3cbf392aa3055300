"""Uploads in parts that are under way, noted so that another command can go on with them.

A note is a small file in a private directory. It holds no address and no secret, and is written once: what
was received is what the service says. Whoever works on an upload holds its lock, which goes with the process.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from app.client.errors import FileProblemError, reason_of

#: Longer than any service keeps an upload that does not go on.
_STALE_SECONDS = 60 * 24 * 3600.0

_SUFFIX = ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptUpload:
    """`path` is absolute; `tags` and `title` are for the case that it has to begin anew."""

    origin: str
    upload_id: str
    media_id: str
    path: str
    byte_size: int
    modified_ns: int
    sha256: str
    part_size: int
    tags: tuple[str, ...] = ()
    title: str | None = None

    @property
    def name(self) -> str:
        """Of its note: the same upload has one."""
        return sha256(f"{self.origin} {self.upload_id}".encode()).hexdigest()[:32] + _SUFFIX


class Claim:
    """One note, ours until it is given back or removed; also at the end of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def discard(self) -> None:
        """The upload has ended: nobody needs the note."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def give_back(self) -> None:
        """Another command may go on with it."""
        os.close(self._descriptor)


class KeptUploads:
    """The notes in one directory. Its methods block for as long as small files take."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, upload: KeptUpload) -> Claim:
        """Note it, durably. Raises FileProblemError where that can't be."""
        path = self._directory / upload.name
        with _writable(), ExitStack() as undoing:
            self._make_private()
            temporary = self._directory / f".{uuid4().hex}"
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            undoing.callback(os.close, descriptor)
            undoing.callback(temporary.unlink, missing_ok=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, json.dumps({"format": 1, **asdict(upload)}).encode())
            os.fsync(descriptor)
            os.replace(temporary, path)
            _sync(self._directory)
            undoing.pop_all()
        return Claim(path, descriptor)

    def claim(self, upload: KeptUpload) -> Claim | None:
        """None when it has ended meanwhile. Raises FileProblemError while another command works on it."""
        path = self._directory / upload.name
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        with ExitStack() as undoing:
            undoing.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileProblemError("Another command is sending it.") from None
            if not path.exists():
                return None
            undoing.pop_all()
        return Claim(path, descriptor)

    def all(self) -> list[KeptUpload]:
        """The latest first; what is no note that we can read is left out."""
        notes = sorted(self._notes(), key=lambda path: (-_modified_at(path), path))
        return [upload for path in notes if (upload := _read(path))]

    def of_file(self, origin: str, path: Path, sha256: str) -> list[KeptUpload]:
        """Those of this very file, at this service."""
        wanted = (origin, str(path.resolve()), sha256)
        return [each for each in self.all() if (each.origin, each.path, each.sha256) == wanted]

    def remove_stale(self) -> None:
        """Forget what nobody went on with for two months: no service has it any more."""
        before = time.time() - _STALE_SECONDS
        with suppress(OSError):
            for path in self._directory.iterdir():
                if _modified_at(path) < before and not path.is_symlink():
                    path.unlink()

    def _notes(self) -> list[Path]:
        try:
            return [path for path in self._directory.glob(f"*{_SUFFIX}") if not path.name.startswith(".")]
        except OSError:
            return []

    def _make_private(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_uid != os.geteuid():
                raise FileProblemError(f"{self._directory} is no directory of yours.")
            os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)


def state_directory() -> Path:
    """Where programs keep what survives a restart but is no document (XDG Base Directory)."""
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    base = named if named.is_absolute() else Path.home() / ".local" / "state"
    return base / "darkroom" / "uploads"


def _read(path: Path) -> KeptUpload | None:
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        if fields.pop("format") != 1:
            return None
        upload = KeptUpload(**{**fields, "tags": tuple(fields["tags"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return upload if upload.name == path.name else None


def _modified_at(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return time.time()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileProblemError(f"It can't be noted what is under way: {reason_of(error)}.") from None
