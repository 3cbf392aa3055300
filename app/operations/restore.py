"""`restore`: an archive into an empty installation, whole or not at all.

The order makes every interruption harmless: the archive is verified; a mark is written that keeps services
from starting; the objects grow beside their place and are renamed into it; the database follows in one
transaction; the mark goes last. Whatever is found with a mark and an empty database is from a restore that
was killed, and is cleared away by the next one.
"""

import asyncio
import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import asyncpg

from app.embedded_postgres import asyncpg_dsn
from app.operations.archive import BLOCK_BYTES, DUMP, ArchiveReader, Part
from app.operations.errors import OperationError, told_as_sentence
from app.operations.manifest import Manifest
from app.operations.postgres_programs import RESTORE_LOCK, restore_dump
from app.operations.threads import Checkpoint, in_stoppable_thread
from app.operations.unfinished import Mark, mark_path, only_restore, read_mark, remove_mark, write_mark
from app.postgres_cluster import create_data_dir
from app.runtime import open_database
from app.settings import Settings
from db.home import settle_home
from db.migrate import expected_revision, is_known_revision, migrate
from db.sessions import create_engine, create_sessions
from storage.disk_incoming import incoming_path
from storage.disk_tree import INCOMING, DiskTree
from storage.disk_uploads import MULTIPART
from storage.local_files import NewFile

#: In the transaction of the restore: `settle_home` then finds a log without a home, draws a new epoch and
#: has the public copies made, also where the very same database had been at home in this cluster before.
_FORGET_HOME = "UPDATE public.event_log SET home = NULL"

#: A transaction that was cut off is rolled back in less.
ROLLBACK_SECONDS = 30.0

_RELATIONS = """
    SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
      AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """`finished_only`: an earlier restore had put everything in place and was killed just before its end."""

    manifest: Manifest
    revision: str
    finished_only: bool


async def restore(settings: Settings, path: Path) -> Restored:
    """Restore the archive into the empty data directory and database of the settings; raises OperationError.

    Takes room for the dump and the objects in the data directory. An older archive is migrated to this code's
    revision; cursors from before are answered with RESYNC, for the log has a new epoch.
    """
    reader = ArchiveReader(path)
    manifest = await in_stoppable_thread(partial(_verify, reader))
    _require_revision(manifest)
    _require_same_kind_of_store(manifest, settings)
    data_dir = create_data_dir(settings.data_dir)
    with told_as_sentence("The restore", data_dir), only_restore(data_dir):
        return await _Restore(settings, data_dir, reader, manifest).run()


def _verify(reader: ArchiveReader, checkpoint: Checkpoint) -> Manifest:
    reader.checkpoint = checkpoint
    return reader.verify()


def _require_revision(manifest: Manifest) -> None:
    if not is_known_revision(manifest.revision):
        raise OperationError(
            f"The archive is of Darkroom {manifest.darkroom}, with a database of revision "
            f"{manifest.revision}; this code knows them up to {expected_revision()}: restore it with that "
            "version or a newer one."
        )


def _require_same_kind_of_store(manifest: Manifest, settings: Settings) -> None:
    if manifest.bucket is not None and settings.bucket is None:
        raise OperationError(
            f"The archive holds a database alone; its objects are in the bucket {manifest.bucket}. Set "
            f"DARKROOM_STORAGE_URL=s3://{manifest.bucket}, or to the bucket that they were copied to."
        )
    if manifest.bucket is None and settings.bucket is not None:
        raise OperationError(
            f"The archive holds objects, and a restore puts none into a bucket ({settings.bucket}): unset "
            "DARKROOM_STORAGE_URL to restore it into a data directory."
        )


@dataclass(frozen=True, slots=True)
class _Restore:
    settings: Settings
    data_dir: Path
    reader: ArchiveReader
    manifest: Manifest

    async def run(self) -> Restored:
        mark = read_mark(self.data_dir)
        if mark is None:
            self._require_no_objects()
        async with open_database(self.settings) as url:
            await self._require_new_enough(url)
            empty = await _is_empty(url)
            if not empty and not (mark and await _is_just_restored(url)):
                raise OperationError(self._not_empty(marked=mark is not None))
            if empty:
                await self._restore(url)
            # From here on it is an installation as any other: a start would do the rest itself.
            remove_mark(self.data_dir)
            await _bring_to_date(url)
        return Restored(manifest=self.manifest, revision=expected_revision(), finished_only=not empty)

    async def _restore(self, url: str) -> None:
        write_mark(self.data_dir, Mark(archive=self.reader.path.name, sums_sha256=self.manifest.sums_sha256))
        try:
            with tempfile.TemporaryFile(dir=self.data_dir) as dump_file:
                await in_stoppable_thread(partial(self._place_objects, dump_file))
                await restore_dump(url, dump_file, then=_FORGET_HOME)
        except BaseException:
            # Only where we know that nothing was committed: else the mark stays, and the next restore looks.
            if await _knows_empty(url):
                self._clear_objects()
                remove_mark(self.data_dir)
            raise

    @property
    def _objects(self) -> Path:
        return self.data_dir / "objects"

    @property
    def _staging(self) -> Path:
        return self.data_dir / "objects.restoring"

    def _place_objects(self, dump_file: IO[bytes], checkpoint: Checkpoint) -> None:
        """Copy the dump to `dump_file` and the objects beside their place, then rename them into it."""
        self._clear_objects()
        self.reader.checkpoint = checkpoint
        tree = DiskTree(self._staging)
        try:
            for part in self.reader.verified_content(self.manifest):
                if part.name == DUMP:
                    shutil.copyfileobj(part.file, dump_file, BLOCK_BYTES)
                else:
                    _place(tree, part)
        except tarfile.TarError:
            raise self.reader.changed() from None
        dump_file.flush()
        self._staging.rename(self._objects)

    def _clear_objects(self) -> None:
        """Remove what a restore has placed: the target was empty before."""
        for directory in (self._staging, self._objects):
            if directory.exists():
                shutil.rmtree(directory)

    def _require_no_objects(self) -> None:
        if self._staging.exists():
            raise OperationError(f"{self._staging} is in the way: remove it if nobody needs it.")
        if not self._objects.exists():
            return
        own = {INCOMING, MULTIPART}
        kept = [entry.name for entry in self._objects.iterdir() if entry.name not in own]
        arriving = [self._objects / name for name in own if (self._objects / name).exists()]
        if kept or any(any(directory.iterdir()) for directory in arriving):
            raise OperationError(self._not_empty())

    async def _require_new_enough(self, url: str) -> None:
        connection = await _connect(url)
        major = connection.get_server_version().major
        await connection.close()
        if major < self.manifest.postgresql:
            raise OperationError(
                f"The archive was made of a PostgreSQL {self.manifest.postgresql} and the server is "
                f"PostgreSQL {major}: restore into one of that version or newer."
            )

    def _not_empty(self, *, marked: bool = False) -> str:
        sentence = (
            f"The target is not empty: {self.data_dir} or its database holds an installation already, and a "
            "restore overwrites nothing. Set DARKROOM_DATA_DIR (and DARKROOM_DATABASE_URL, if you use it) to "
            "a new directory and an empty database, or move the old ones away."
        )
        if not marked:
            return sentence
        return f"{sentence} If they are to stay, remove {mark_path(self.data_dir)}, which keeps them unused."


def _place(tree: DiskTree, part: Part) -> None:
    """Write one object as the store would have, with the time of its writing: its ETag is made of that."""
    file = NewFile(incoming_path(tree.incoming))
    try:
        file.open()
        while block := part.file.read(BLOCK_BYTES):
            file.write(block)
        os.utime(file.path, ns=(part.mtime_ns, part.mtime_ns))
        file.sync()
        tree.link(file.path, part.key)
    finally:
        file.discard()


async def _bring_to_date(url: str) -> None:
    engine = create_engine(url, command_timeout=None)
    try:
        await migrate(engine)
        async with create_sessions(engine).begin() as session:
            await settle_home(session)
    finally:
        await engine.dispose()


async def _is_empty(url: str) -> bool:
    """After a psql that outlived a killed restore has ended, one way or the other."""
    connection = await _connect(url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({RESTORE_LOCK})")
        relations: int = await connection.fetchval(_RELATIONS)
        return relations == 0
    finally:
        await connection.close()


async def _knows_empty(url: str) -> bool:
    try:
        async with asyncio.timeout(ROLLBACK_SECONDS):
            return await _is_empty(url)
    except (OperationError, OSError, asyncpg.PostgresError):
        return False


async def _is_just_restored(url: str) -> bool:
    """Whether the database is as the restoring transaction left it, and was never served from."""
    connection = await _connect(url)
    try:
        if await connection.fetchval("SELECT to_regclass('event_log')") is None:
            return False
        return await connection.fetchval("SELECT home FROM event_log") is None
    finally:
        await connection.close()


async def _connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    try:
        return await asyncpg.connect(asyncpg_dsn(url), timeout=10)
    except (OSError, asyncpg.PostgresError) as error:
        raise OperationError(f"The database can't be reached: {error or type(error).__name__}.") from None
