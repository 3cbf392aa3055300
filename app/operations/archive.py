"""The archive of a backup: one tar file that any `tar` opens, written and read in one stream.

    database.dump    what pg_dump wrote, in its custom format
    objects/<key>    each object, with the time of its writing to the nanosecond
    SHA256SUMS       a line for each part above, in its order, as `sha256sum --check` reads it
    manifest.json    what was backed up, and the hash of SHA256SUMS: last, so that a torn archive has none

Neither side holds more than one block and one name in memory, however many objects there are.
"""

import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Protocol

from app.operations.errors import OperationError
from app.operations.manifest import FORMAT, Manifest, OtherFormatError, parse_manifest
from storage.errors import InvalidKeyError
from storage.keys import check_key

DUMP, OBJECTS, SUMS, MANIFEST = "database.dump", "objects/", "SHA256SUMS", "manifest.json"

#: A manifest has about 500 bytes.
MAX_MANIFEST_BYTES = 64 * 1024
BLOCK_BYTES = 1024 * 1024

#: Until the year 2286, which every file system can keep.
_SECONDS, _FRACTION = re.compile(r"[0-9]{1,10}"), re.compile(r"[0-9]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of the archive; `mtime_ns` is in nanoseconds since 1970."""

    name: str
    byte_size: int
    mtime_ns: int
    file: "_Readable"

    @property
    def key(self) -> str:
        """The object's key; only of an object."""
        return self.name.removeprefix(OBJECTS)


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Hashing:
    """Reads through and hashes what passes."""

    def __init__(self, source: _Readable) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        block = self._source.read(size)
        self._digest.update(block)
        return block

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class ArchiveWriter:
    """Writes the parts in the order in which they are added, then sums and manifest; blocks."""

    def __init__(self, file: IO[bytes], *, spool_dir: Path) -> None:
        """`spool_dir` takes the sums until they are written, about 150 bytes an object."""
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - `finish`
        self._sums = tempfile.TemporaryFile(dir=spool_dir)  # noqa: SIM115 - closed on exit

    def __enter__(self) -> "ArchiveWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._sums.close()

    def add(self, name: str, source: _Readable, *, byte_size: int, mtime_ns: int) -> None:
        """Add exactly `byte_size` bytes; raises OSError if the source has fewer."""
        hashing = _Hashing(source)
        self._write(name, hashing, byte_size, mtime_ns)
        self._sums.write(_sum_line(hashing.hexdigest(), name))

    def finish(self, manifest: dict[str, object], *, mtime_ns: int) -> Manifest:
        """Seal the archive; `manifest` holds the fields that only the caller knows."""
        byte_size = self._sums.tell()
        self._sums.seek(0)
        hashing = _Hashing(self._sums)
        self._write(SUMS, hashing, byte_size, mtime_ns)
        sealed = Manifest(format=FORMAT, sums_sha256=hashing.hexdigest(), **manifest)  # type: ignore[arg-type]
        document = json.dumps(sealed.document(), indent=2).encode() + b"\n"
        with tempfile.SpooledTemporaryFile() as file:
            file.write(document)
            file.seek(0)
            self._write(MANIFEST, file, len(document), mtime_ns)
        self._tar.close()
        return sealed

    def _write(self, name: str, source: _Readable, byte_size: int, mtime_ns: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = byte_size, 0o600
        seconds, nanoseconds = divmod(mtime_ns, 1_000_000_000)
        # As a number it would lose the nanoseconds, and an object's ETag is made of them.
        info.mtime, info.pax_headers = seconds, {"mtime": f"{seconds}.{nanoseconds:09}"}
        self._tar.addfile(info, source)
        self._tar.members.clear()  # type: ignore[attr-defined]  # else one entry for each object stays in memory


class ArchiveReader:
    """Reads an archive that may be damaged, cut short, or made by somebody else; blocks.

    `read_manifest` and `verify` raise OperationError with a sentence. Only after `verify` is anything to be
    done with the parts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Called with each part, so that a long reading can be ended.
        self.checkpoint: Callable[[], None] = lambda: None

    def read_manifest(self) -> Manifest:
        """What the archive says of itself. It must be whole: the manifest is its last part."""
        found = b""
        with self._readable():
            for part in self._parts():
                if part.name == MANIFEST:
                    found = part.file.read(MAX_MANIFEST_BYTES)
        return self._parse(found)

    def verify(self) -> Manifest:
        """Read everything once and compare it with the sums, and those with the manifest."""
        manifest = self.read_manifest()
        with self._readable(), tempfile.SpooledTemporaryFile(max_size=8 * BLOCK_BYTES) as sums:
            self._copy_sums(sums)
            sums.seek(0)
            if hashlib.file_digest(sums, "sha256").hexdigest() != manifest.sums_sha256:
                raise self._damaged(SUMS)
            sums.seek(0)
            self._compare(sums)
        return manifest

    def content(self) -> Iterator[Part]:
        """The dump, then the objects; a part's file can be read until the next part is asked for."""
        return (part for part in self._parts() if part.name not in (SUMS, MANIFEST))

    def verified_content(self, manifest: Manifest) -> Iterator[Part]:
        """As `content`, each part to be read to its end; nothing of it is to count before the iteration ends.

        Raises OperationError at its end where it was not what `verify` has read: the file is read again here.
        """
        sums = hashlib.sha256()
        for part in self.content():
            hashing = _Hashing(part.file)
            yield replace(part, file=hashing)
            sums.update(_sum_line(hashing.hexdigest(), part.name))
        if sums.hexdigest() != manifest.sums_sha256:
            raise self.changed()

    def changed(self) -> OperationError:
        return OperationError(f"{self.path} has changed while it was read. Nothing was restored.")

    def _copy_sums(self, target: IO[bytes]) -> None:
        for part in self._parts():
            if part.name == SUMS:
                shutil.copyfileobj(part.file, target, BLOCK_BYTES)

    def _compare(self, sums: IO[bytes]) -> None:
        for number, part in enumerate(self.content()):
            if (number == 0) != (part.name == DUMP):
                raise self._strange(part.name)
            digest = hashlib.file_digest(part.file, "sha256")  # type: ignore[arg-type]
            if sums.readline() != _sum_line(digest.hexdigest(), part.name):
                raise self._damaged(part.name)
        if rest := sums.readline():
            raise self._damaged(rest.decode(errors="replace").strip().rpartition(" ")[2])

    def _parts(self) -> Iterator[Part]:
        with self._readable(), closing(tarfile.open(self.path, mode="r:")) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]
                self.checkpoint()
                yield self._part(tar, member)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except tarfile.TarError:
            raise OperationError(f"{self.path} is no backup of Darkroom, or was cut short.") from None
        except OSError as error:
            raise OperationError(f"{self.path} can't be read: {error.strerror or error}.") from None

    def _part(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Part:
        file = tar.extractfile(member) if member.type == tarfile.REGTYPE and not member.issparse() else None
        if file is None or not _is_ours(member.name):
            raise self._strange(member.name)
        return Part(name=member.name, byte_size=member.size, mtime_ns=_mtime_ns(member), file=file)

    def _parse(self, document: bytes) -> Manifest:
        if not document:
            raise OperationError(f"{self.path} has no manifest: no backup of Darkroom, or one cut short.")
        try:
            return parse_manifest(document)
        except ValueError:
            raise self._damaged(MANIFEST) from None
        except OtherFormatError as error:
            raise OperationError(
                f"{self.path} has format {error.version} and this Darkroom reads {FORMAT}: use its own "
                "version."
            ) from None

    def _damaged(self, name: str) -> OperationError:
        return OperationError(
            f"{self.path} is damaged: {_shown(name)} is not what it was. Nothing was restored."
        )

    def _strange(self, name: str) -> OperationError:
        return OperationError(
            f"{self.path} holds {name[:200]!r}, which no backup of Darkroom does. Nothing was restored."
        )


def _sum_line(digest: str, name: str) -> bytes:
    return f"{digest}  {name}\n".encode()


def _shown(name: str) -> str:
    """For a terminal: a foreign archive may name anything."""
    return name[:200] if name.isprintable() else repr(name[:200])


def _is_ours(name: str) -> bool:
    """Whether a part may have this name: what is to become a file must be a proper key."""
    if not name.startswith(OBJECTS):
        return name in (DUMP, SUMS, MANIFEST)
    try:
        check_key(name.removeprefix(OBJECTS))
    except InvalidKeyError:
        return False
    return True


def _mtime_ns(member: tarfile.TarInfo) -> int:
    """0 where it is no time that a file could have."""
    seconds, _, fraction = member.pax_headers.get("mtime", f"{member.mtime:.0f}").partition(".")
    if not _SECONDS.fullmatch(seconds) or not _FRACTION.fullmatch(fraction):
        return 0
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])


def sync_directory(directory: Path) -> None:
    """Make a rename within it durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
