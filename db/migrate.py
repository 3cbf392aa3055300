"""Bring a database to this code's revision, and tell which revision it has."""

import asyncio
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

#: Advisory lock of whoever migrates ("darkroom" in ASCII, cut to 63 bits).
_LOCK = 0x6461726B726F6F6D

#: A process that was just stopped may take a moment to be gone from the server's list.
ALONE_PATIENCE_S = 5.0
_POLL_S = 0.1

#: Connections of Darkroom but those that wait to migrate too: what waits has not begun to work.
_IN_USE = text("""
    SELECT count(*) FROM pg_stat_activity AS others
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'darkroom%'
      AND NOT EXISTS (SELECT FROM pg_locks
                      WHERE pg_locks.pid = others.pid AND locktype = 'advisory' AND objsubid = 1
                        AND classid::bigint << 32 | objid::bigint = :lock)
""")


class WrongRevisionError(Exception):
    """The database has another revision than this code."""

    def __init__(self, found: str | None, expected: str) -> None:
        super().__init__(
            f"The database is at revision {found or 'none'} and this code needs {expected}: "
            "run `python -m app migrate` with this version's code first."
        )


class DatabaseInUseError(Exception):
    """A migration is due while other processes work with the database as it is."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"The database is at revision {found} and this code needs {expected_revision()}, but a Darkroom "
            "of another version still uses it. Stop every process of it (serve and worker), then try again."
        )


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def expected_revision() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise RuntimeError("There is no migration in db/migrations/versions.")
    return head


def is_known_revision(revision: str) -> bool:
    """Whether this code can bring a database of that revision to its own."""
    return revision in {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _found_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def check_revision(engine: AsyncEngine) -> None:
    """Raises WrongRevisionError where the database is at another revision than this code."""
    async with engine.connect() as connection:
        found = await connection.run_sync(_found_revision)
    if found != expected_revision():
        raise WrongRevisionError(found, expected_revision())


async def migrate(engine: AsyncEngine) -> None:
    """Upgrade to the newest revision in one transaction.

    Processes that start together wait for each other. Raises WrongRevisionError where the database is ahead,
    and DatabaseInUseError where an older database is still used by running processes after five seconds.
    """
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = await connection.run_sync(_found_revision)
        if found == expected_revision():
            return
        if found is not None:
            if not is_known_revision(found):
                raise WrongRevisionError(found, expected_revision())
            await _require_alone(connection, found)
        await connection.run_sync(_upgrade)


async def _require_alone(connection: AsyncConnection, found: str) -> None:
    deadline = time.monotonic() + ALONE_PATIENCE_S
    while await connection.scalar(_IN_USE, {"lock": _LOCK}):
        if time.monotonic() > deadline:
            raise DatabaseInUseError(found)
        await asyncio.sleep(_POLL_S)
        await connection.execute(text("SELECT pg_stat_clear_snapshot()"))


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")
