"""One moment of the database: the dump of it, and the keys of the objects that its rows name."""

from dataclasses import dataclass
from typing import IO, Any

import asyncpg

from app.embedded_postgres import asyncpg_dsn
from app.operations.errors import OperationError
from app.operations.postgres_programs import dump, require_server
from db.blobs import ORIGINAL_IS_MISSED, RENDITION_IS_MISSED
from db.migrate import expected_revision, is_known_revision

#: Every key that a row names, and whether somebody would miss the object.
_KEYS = f"""
    SELECT key, bool_or(needed) AS needed FROM (
        SELECT key, {ORIGINAL_IS_MISSED} AS needed FROM blobs
        UNION ALL SELECT key, {RENDITION_IS_MISSED} FROM renditions
    ) AS named GROUP BY key ORDER BY key
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """`postgresql` is the server's major version, `media` the number of rows."""

    revision: str
    postgresql: int
    media: int


async def take_snapshot(url: str, *, dump_file: IO[bytes], keys_file: IO[bytes]) -> Snapshot:
    """Write the dump, and a line `<0 or 1> <key>` for each named object (1: needed), of the same moment.

    Raises OperationError where there is nothing to back up or it can't be done.
    """
    try:
        connection = await asyncpg.connect(asyncpg_dsn(url), timeout=10)
    except (OSError, asyncpg.PostgresError) as error:
        raise OperationError(f"The database can't be reached: {error or type(error).__name__}.") from None
    try:
        require_server(connection.get_server_version().major)
        await _require_revision(connection)
        # The snapshot lives as long as its transaction, which says nothing while pg_dump works.
        await connection.execute("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            async for key, needed in connection.cursor(_KEYS, prefetch=1000):
                keys_file.write(f"{int(needed)} {key}\n".encode())
            name = await connection.fetchval("SELECT pg_export_snapshot()")
            await dump(url, snapshot=name, target=dump_file)
            return Snapshot(
                revision=await _revision(connection),
                postgresql=connection.get_server_version().major,
                media=await connection.fetchval("SELECT count(*) FROM media"),
            )
    except asyncpg.PostgresError as error:
        raise OperationError(f"The database can't be read: {error}.") from None
    finally:
        connection.terminate()


async def _require_revision(connection: "asyncpg.Connection[Any]") -> None:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        raise OperationError("There is nothing to back up: the database has no tables of Darkroom.")
    found = await _revision(connection)
    if not is_known_revision(found):
        raise OperationError(
            f"The database is at revision {found}, which this code (revision {expected_revision()}) does not "
            "know: back it up with the version that wrote it."
        )


async def _revision(connection: "asyncpg.Connection[Any]") -> str:
    found: str = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found
