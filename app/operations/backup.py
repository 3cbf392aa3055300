"""`backup`: the database and the objects its rows name, as one archive, while the service goes on.

The dump comes first. Objects are immutable and written before the rows that name them, so all that the dump
names is there when it is made; what is deleted meanwhile stays for the collector's grace, which is three
hours. An object that is missing nevertheless is counted and named, and the rest is backed up.
"""

import fcntl
import os
import stat
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO

from app.operations.archive import DUMP, OBJECTS, ArchiveWriter, sync_directory
from app.operations.errors import OperationError, told_as_sentence
from app.operations.manifest import Manifest
from app.operations.snapshot import Snapshot, take_snapshot
from app.operations.threads import Checkpoint, in_stoppable_thread
from app.runtime import open_database
from app.settings import CHECKOUT, Settings
from storage.disk_tree import INCOMING, DiskTree

#: Names that are told; the count is in the manifest.
MAX_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """`missing` names the first keys that needed rows name and the store does not have."""

    path: Path
    byte_size: int
    manifest: Manifest
    missing: tuple[str, ...]


async def back_up(settings: Settings, path: Path, *, force: bool, database_only: bool = False) -> Backup:
    """Write the archive `path` (0600), whole or not at all; an existing file is replaced only by `force`.

    Works while the service runs, and starts a private PostgreSQL where none does. Takes room for the dump
    (in the archive's directory) and the archive itself. Objects on S3 are not copied, which the caller has to
    know: without `database_only` it is refused. Raises OperationError.
    """
    _require_source(settings, database_only)
    _refuse_existing(path, force)
    with told_as_sentence("The backup", path.parent), _growing(path) as archive:
        with (
            tempfile.TemporaryFile(dir=path.parent) as dump_file,
            tempfile.TemporaryFile(dir=path.parent) as keys_file,
        ):
            async with open_database(settings) as url:
                snapshot = await take_snapshot(url, dump_file=dump_file, keys_file=keys_file)
            manifest, missing = await in_stoppable_thread(
                partial(_write, settings, path.parent, archive, dump_file, keys_file, snapshot)
            )
        byte_size = archive.tell()
        _publish(archive, path, force)
    return Backup(path=path, byte_size=byte_size, manifest=manifest, missing=missing)


def _write(
    settings: Settings,
    spool_dir: Path,
    archive: IO[bytes],
    dump_file: IO[bytes],
    keys_file: IO[bytes],
    snapshot: Snapshot,
    checkpoint: Checkpoint,
) -> tuple[Manifest, tuple[str, ...]]:
    began = datetime.now(UTC)
    now_ns = int(began.timestamp()) * 1_000_000_000
    with ArchiveWriter(archive, spool_dir=spool_dir) as writer:
        byte_size = dump_file.seek(0, os.SEEK_END)
        dump_file.seek(0)
        writer.add(DUMP, dump_file, byte_size=byte_size, mtime_ns=now_ns)
        copied = _Copied()
        bucket: dict[str, object] = {}
        if settings.bucket is None:
            tree = DiskTree(settings.data_dir / "objects")
            copied = _copy_objects(writer, tree, keys_file, checkpoint)
        else:
            bucket = {"bucket": settings.bucket}
        manifest = writer.finish(
            {
                "darkroom": darkroom_version(),
                "revision": snapshot.revision,
                "postgresql": snapshot.postgresql,
                "created_at": began.isoformat(timespec="seconds"),
                "media": snapshot.media,
                "objects": copied.objects,
                "object_bytes": copied.byte_size,
                "missing": copied.missing,
                **bucket,
            },
            mtime_ns=now_ns,
        )
    return manifest, tuple(copied.named)


class _Copied:
    def __init__(self) -> None:
        self.objects = self.byte_size = self.missing = 0
        self.named: list[str] = []


def _copy_objects(
    writer: ArchiveWriter, tree: DiskTree, keys_file: IO[bytes], checkpoint: Checkpoint
) -> _Copied:
    copied = _Copied()
    keys_file.seek(0)
    for line in keys_file:
        checkpoint()
        needed, _, key = line.decode().rstrip("\n").partition(" ")
        descriptor = tree.open(key)
        if descriptor is not None:
            with open(descriptor, "rb") as source:
                found = os.fstat(descriptor)
                writer.add(OBJECTS + key, source, byte_size=found.st_size, mtime_ns=found.st_mtime_ns)
            copied.objects += 1
            copied.byte_size += found.st_size
        elif needed == "1":
            copied.missing += 1
            copied.named += [key] * (len(copied.named) < MAX_NAMED)
    return copied


def darkroom_version() -> str:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    version: str = project["project"]["version"]
    return version


def _require_source(settings: Settings, database_only: bool) -> None:
    """What is not there must not be created, let alone backed up; and nobody is to think that it was."""
    if settings.bucket is not None and not database_only:
        raise OperationError(
            f"The objects lie in the bucket {settings.bucket}, and a backup does not copy them: keep them by "
            "the store's own means (versions, replication), and save the database with --database-only."
        )
    if settings.bucket is None and database_only:
        raise OperationError("The objects lie in the data directory, and are saved with the database.")
    if settings.database_url is None and not (settings.data_dir / "postgres").exists():
        raise OperationError(
            f"There is nothing to back up: {settings.data_dir} holds no database. "
            "Set DARKROOM_DATA_DIR to the directory that the service uses."
        )
    if settings.bucket is None and not (settings.data_dir / "objects" / INCOMING).exists():
        raise OperationError(
            f"The object store's directory {settings.data_dir / 'objects'} has no {INCOMING}: is its disk "
            "mounted, and DARKROOM_DATA_DIR the directory that the service uses?"
        )


def _refuse_existing(path: Path, force: bool) -> None:
    if not path.parent.is_dir():
        raise OperationError(f"There is no directory {path.parent} to put the backup in.")
    if path.is_dir():
        raise OperationError(f"{path} is a directory: name the file to write.")
    if not force and os.path.lexists(path):
        raise OperationError(f"{path} exists: name another file, or replace it with --force.")


@contextmanager
def _growing(path: Path) -> Iterator[IO[bytes]]:
    """The archive in the making, beside its place. One that a killed backup left is taken over."""
    partial = _partial_path(path)
    with _locked(partial, path) as descriptor:
        try:
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, 0)
            with open(descriptor, "r+b", closefd=False) as file:
                yield file
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()


@contextmanager
def _locked(partial: Path, path: Path) -> Iterator[int]:
    """A file of ours alone, old or new; closed at the end."""
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperationError(f"Another backup is being written to {path}.") from None
        found = os.fstat(descriptor)
        # Another user's, a pipe, a second name of an archive, or one that a backup has just ended with.
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            raise OperationError(
                f"{partial} is in the way and no backup's of yours: remove it if nobody needs it."
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _partial_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _publish(archive: IO[bytes], path: Path, force: bool) -> None:
    """Durable first, then named: the name never stands for less than the whole."""
    archive.flush()
    os.fsync(archive.fileno())
    if force:
        os.replace(_partial_path(path), path)
    else:
        try:
            os.link(_partial_path(path), path)  # unlike a rename, it never takes another file's place
        except FileExistsError:
            raise OperationError(f"{path} has appeared meanwhile, and is left alone.") from None
        except OSError:  # a file system without hard links, as on many a removable disk
            _refuse_existing(path, force)
            os.replace(_partial_path(path), path)
    sync_directory(path.parent)
