"""One open upload of the disk store: its manifest, its parts, its end. All calls block, for a moment only.

`storage/disk_uploads.py` says what lies where, and why in this order.
"""

import fcntl
import json
import os
import re
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage.disk_tree import DiskTree
from storage.errors import MultipartMissingError, StorageError, StorageUnavailableError
from storage.local_files import open_regular
from storage.objects import OpenMultipart

MANIFEST = "manifest"
OBJECT = "object"

_IS_PART = re.compile(r"([0-9]{5})\.([0-9a-f]{64})", re.ASCII)
# A key of 512 characters, an id and a date are far less.
_MANIFEST_MAX_BYTES = 4096


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
        lock_directory(self._fd)
        if not has_name(MANIFEST, self._fd):
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


def lock_directory(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UploadBusyError from error


def has_name(name: str, fd: int) -> bool:
    try:
        os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def write_manifest(fd: int, key: str, started_at: datetime) -> None:
    text = json.dumps({"key": key, "started_at": started_at.isoformat()}).encode()
    unnamed = f"{MANIFEST}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(unnamed, flags, 0o600, dir_fd=fd), "wb", buffering=0) as file:
        file.write(text)
        os.fsync(file.fileno())
    os.rename(unnamed, MANIFEST, src_dir_fd=fd, dst_dir_fd=fd)
    os.fsync(fd)


def read_manifest(fd: int, upload_id: str) -> OpenMultipart:
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
