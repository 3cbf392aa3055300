"""`.multipart`: the open multipart uploads, a directory for each. All calls block, for a moment only.

    .multipart/<upload id>/manifest           key and start; while it is there, the upload is open
    .multipart/<upload id>/<number>.<sha256>  a part, with the hash of its bytes
    .multipart/<upload id>/object             for a moment: the bytes, before they get their key

A part gets its name when it is whole and durable. One that replaces another is there before the other goes:
who dies in between leaves both, and the one written last counts. Whoever changes or lists an upload holds the
lock of its directory, never for longer than a few system calls.

Completing gives `object` a second name, the key, and that link is the one step that decides: whoever finds
`object` after a crash looks whether the key names the same file, and ends the upload, or takes `object` away.
The manifest goes next and then, at leisure, the rest. A directory without a manifest is no upload, only what
somebody who was killed has left.
"""

import fcntl
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage.disk_files import open_regular
from storage.disk_tree import DIRECTORY, DiskTree
from storage.errors import MultipartMissingError, StorageError, StorageUnavailableError
from storage.objects import OpenMultipart

MULTIPART = ".multipart"
MANIFEST = "manifest"
OBJECT = "object"

_ID_BYTES = 16
_IS_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_IS_PART = re.compile(r"([0-9]{5})\.([0-9a-f]{64})", re.ASCII)
# A key of 512 characters, an id and a date are far less.
_MANIFEST_MAX_BYTES = 4096
_NO_UPLOAD = (FileNotFoundError, NotADirectoryError)
# Files unlinked between two looks at the cancellation.
_REMOVE_BATCH = 100


class UploadBusyError(Exception):
    """Another task or process holds the upload's lock, for a moment: try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFile:
    """A part that is stored, and the name of its file."""

    number: int
    sha256: str
    byte_size: int
    written_ns: int

    @property
    def name(self) -> str:
        return _part_name(self.number, self.sha256)


def new_upload_id() -> str:
    return secrets.token_hex(_ID_BYTES)


class UploadDirectory:
    """One upload that is held open; only `DiskUploads.opened` makes one."""

    def __init__(self, tree: DiskTree, fd: int, upload: OpenMultipart) -> None:
        self.upload = upload
        self._tree = tree
        self._fd = fd

    def lock(self) -> None:
        """Take the lock, or raise `UploadBusyError`; then settle what a crash may have left.

        Closing gives it back. Raises `MultipartMissingError` when the upload has ended meanwhile.
        """
        _lock(self._fd)
        if not _exists(MANIFEST, self._fd):
            raise MultipartMissingError
        self._settle()

    def parts(self) -> list[PartFile]:
        """Return what is stored, by number."""
        newest: dict[int, PartFile] = {}
        for name in os.listdir(self._fd):
            part = self._part(name)
            if part is not None and _counts(part, newest.get(part.number)):
                newest[part.number] = part
        return [newest[number] for number in sorted(newest)]

    def open_part(self, part: PartFile) -> int:
        return open_regular(part.name, dir_fd=self._fd)

    def keep_part(self, path: Path, number: int, sha256: str) -> None:
        """Make the durable file `path` part `number`, durably, in place of what is there."""
        name = _part_name(number, sha256)
        os.replace(path, name, dst_dir_fd=self._fd)
        for other in os.listdir(self._fd):
            if other.startswith(f"{number:05}.") and other != name:
                os.unlink(other, dir_fd=self._fd)
        os.fsync(self._fd)

    def complete_with_part(self, part: PartFile) -> os.stat_result:
        """Make that one part the object; otherwise as `complete_with_file`."""
        os.link(part.name, OBJECT, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)
        return self._complete()

    def complete_with_file(self, path: Path) -> os.stat_result:
        """Give the durable file `path` the upload's key, durably, and end the upload.

        Raises `ObjectExistsError` or `InvalidKeyError`; then the upload is as before.
        """
        os.rename(path, OBJECT, dst_dir_fd=self._fd)
        return self._complete()

    def end(self) -> None:
        """Make it no upload any more, durably; its files are removed by `DiskUploads.remove`."""
        os.unlink(MANIFEST, dir_fd=self._fd)
        os.fsync(self._fd)

    def _complete(self) -> os.stat_result:
        # The name that tells a crash from a success is durable before there is something to tell.
        os.fsync(self._fd)
        written = os.stat(OBJECT, dir_fd=self._fd, follow_symlinks=False)
        try:
            self._tree.link(OBJECT, self.upload.key, dir_fd=self._fd)
        except StorageError:
            os.unlink(OBJECT, dir_fd=self._fd)
            raise
        self.end()
        return written

    def _settle(self) -> None:
        try:
            found = os.stat(OBJECT, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        stored = self._tree.stat(self.upload.key)
        if stored is None or not os.path.samestat(found, stored):
            os.unlink(OBJECT, dir_fd=self._fd)
            return
        self._tree.sync(self.upload.key)
        self.end()
        raise MultipartMissingError

    def _part(self, name: str) -> PartFile | None:
        match = _IS_PART.fullmatch(name)
        if match is None:
            return None
        found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            return None
        return PartFile(
            number=int(match[1]), sha256=match[2], byte_size=found.st_size, written_ns=found.st_mtime_ns
        )


class DiskUploads:
    """All uploads of one store. Their directory appears with the first."""

    def __init__(self, tree: DiskTree) -> None:
        self._tree = tree

    def create(self, upload_id: str, key: str, started_at: datetime) -> None:
        """Begin the upload, durably."""
        with self._tree.open_root() as root:
            with suppress(FileExistsError):
                os.mkdir(MULTIPART, 0o700, dir_fd=root)
            with _directory(MULTIPART, root) as uploads:
                os.mkdir(upload_id, 0o700, dir_fd=uploads)
                with _directory(upload_id, uploads) as fd:
                    # Tells the sweep that somebody is at work here; nobody else knows the id yet.
                    _lock(fd)
                    _write_manifest(fd, key, started_at)
                os.fsync(uploads)
            os.fsync(root)

    @contextmanager
    def opened(self, upload_id: str, key: str | None = None) -> Iterator[UploadDirectory]:
        """Open an upload, that of `key` if one is given; raises `MultipartMissingError`."""
        with self._directory(upload_id) as fd:
            upload = _read_manifest(fd, upload_id)
            if key is not None and upload.key != key:
                raise MultipartMissingError
            yield UploadDirectory(self._tree, fd, upload)

    def ids(self) -> list[str]:
        """Return the ids of all directories, be they uploads still or not."""
        try:
            with self._tree.open_root() as root, _directory(MULTIPART, root) as uploads:
                return sorted(filter(_IS_ID.fullmatch, os.listdir(uploads)))
        except _NO_UPLOAD:
            return []

    def look(self, upload_ids: Sequence[str]) -> list[OpenMultipart]:
        """Return those that are open."""
        found = []
        for upload_id in upload_ids:
            with suppress(MultipartMissingError), self.opened(upload_id) as directory:
                with suppress(UploadBusyError):
                    directory.lock()
                found.append(directory.upload)
        return found

    def remove(self, upload_id: str) -> bool:
        """Remove some of the files of an upload that has ended; return whether there are more."""
        try:
            with self._directory(upload_id) as fd:
                names = os.listdir(fd)
                for name in names[:_REMOVE_BATCH]:
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=fd)
            if len(names) > _REMOVE_BATCH:
                return True
            with self._tree.open_root() as root, _directory(MULTIPART, root) as uploads:
                os.rmdir(upload_id, dir_fd=uploads)
        except (*_NO_UPLOAD, MultipartMissingError):
            pass
        return False

    def is_left(self, upload_id: str, *, before: float) -> bool:
        """Whether a directory is no upload, old (changed before that Unix time) and nobody's.

        An upload whose completion was killed is settled on the way.
        """
        try:
            with self._directory(upload_id) as fd:
                if _exists(OBJECT, fd) and _exists(MANIFEST, fd):
                    self.look([upload_id])
                if _exists(MANIFEST, fd) or os.fstat(fd).st_mtime >= before:
                    return False
                _lock(fd)
                return not _exists(MANIFEST, fd)
        except (MultipartMissingError, UploadBusyError):
            return False

    @contextmanager
    def _directory(self, upload_id: str) -> Iterator[int]:
        if not _IS_ID.fullmatch(upload_id):
            raise MultipartMissingError
        with self._tree.open_root() as root:
            try:
                with _directory(MULTIPART, root) as uploads:
                    fd = os.open(upload_id, DIRECTORY | os.O_NOFOLLOW, dir_fd=uploads)
            except _NO_UPLOAD as error:
                raise MultipartMissingError from error
            try:
                yield fd
            finally:
                os.close(fd)


@contextmanager
def _directory(name: str, parent: int) -> Iterator[int]:
    fd = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UploadBusyError from error


def _exists(name: str, fd: int) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _write_manifest(fd: int, key: str, started_at: datetime) -> None:
    text = json.dumps({"key": key, "started_at": started_at.isoformat()}).encode()
    unnamed = f"{MANIFEST}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(unnamed, flags, 0o600, dir_fd=fd), "wb", buffering=0) as file:
        file.write(text)
        os.fsync(file.fileno())
    os.rename(unnamed, MANIFEST, src_dir_fd=fd, dst_dir_fd=fd)
    os.fsync(fd)


def _read_manifest(fd: int, upload_id: str) -> OpenMultipart:
    try:
        manifest = open_regular(MANIFEST, dir_fd=fd)
    except FileNotFoundError as error:
        raise MultipartMissingError from error
    with open(manifest, "rb") as file:
        text = file.read(_MANIFEST_MAX_BYTES)
    try:
        values = json.loads(text)
        return OpenMultipart(
            key=values["key"],
            upload_id=upload_id,
            started_at=datetime.fromisoformat(values["started_at"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StorageUnavailableError(f"The manifest of the upload {upload_id} can't be read.") from error


def _part_name(number: int, sha256: str) -> str:
    return f"{number:05}.{sha256}"


def _counts(part: PartFile, other: PartFile | None) -> bool:
    """Of two files for one number, left by somebody who was killed, the one written last is the part."""
    return other is None or (part.written_ns, part.sha256) > (other.written_ns, other.sha256)
