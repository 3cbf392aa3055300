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

import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime

from storage.disk_tree import DIRECTORY, DiskTree
from storage.disk_upload import (
    MANIFEST,
    OBJECT,
    UploadBusyError,
    UploadDirectory,
    has_name,
    lock_directory,
    read_manifest,
    write_manifest,
)
from storage.errors import MultipartMissingError, TooManyMultipartsError
from storage.objects import OpenMultipart

MULTIPART = ".multipart"

MAX_OPEN_OF_A_KEY = 10
"""One address may begin any number of uploads, each of which may hold as much as the object to come."""

_ID_BYTES = 16
_IS_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_NO_UPLOAD = (FileNotFoundError, NotADirectoryError)
# Files unlinked between two looks at the cancellation.
_REMOVE_BATCH = 100


def new_upload_id(key: str) -> str:
    """An id that tells to which key it belongs, so that those of one key are counted by their names."""
    return _beginning(key) + secrets.token_hex(_ID_BYTES // 2)


def _beginning(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:_ID_BYTES]


class DiskUploads:
    """All uploads of one store. Their directory appears with the first."""

    def __init__(self, tree: DiskTree) -> None:
        self._tree = tree

    def create(self, upload_id: str, key: str, started_at: datetime) -> None:
        """Begin the upload, durably; raises `TooManyMultipartsError`, and may leave its directory."""
        with self._tree.open_root() as root:
            with suppress(FileExistsError):
                os.mkdir(MULTIPART, 0o700, dir_fd=root)
            with _directory(MULTIPART, root) as uploads:
                os.mkdir(upload_id, 0o700, dir_fd=uploads)
                # Counted with this one in it, so that of many at once not one too many is left.
                if sum(name.startswith(_beginning(key)) for name in os.listdir(uploads)) > MAX_OPEN_OF_A_KEY:
                    raise TooManyMultipartsError
                with _directory(upload_id, uploads) as fd:
                    # Tells the sweep that somebody is at work here; nobody else knows the id yet.
                    lock_directory(fd)
                    write_manifest(fd, key, started_at)
                os.fsync(uploads)
            os.fsync(root)

    @contextmanager
    def opened(self, upload_id: str, key: str | None = None) -> Iterator[UploadDirectory]:
        """Open an upload, that of `key` if one is given; raises `MultipartMissingError`."""
        with self._directory(upload_id) as fd:
            upload = read_manifest(fd, upload_id)
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

    def left(self, upload_ids: Sequence[str], *, before: float) -> list[str]:
        """Return those that are no uploads, old (changed before that Unix time) and nobody's.

        An upload whose completion was killed is settled on the way.
        """
        return [upload_id for upload_id in upload_ids if self._is_left(upload_id, before)]

    def _is_left(self, upload_id: str, before: float) -> bool:
        try:
            with self._directory(upload_id) as fd:
                if has_name(OBJECT, fd) and has_name(MANIFEST, fd):
                    self.look([upload_id])
                if has_name(MANIFEST, fd) or os.fstat(fd).st_mtime >= before:
                    return False
                lock_directory(fd)
                return not has_name(MANIFEST, fd)
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
