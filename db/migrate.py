"""Bring a database to this code's revision, and tell which revision it has."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

#: Advisory lock of whoever migrates ("darkroom" in ASCII, cut to 63 bits).
_LOCK = 0x6461726B726F6F6D


class WrongRevisionError(Exception):
    """The database has another revision than this code."""

    def __init__(self, found: str | None, expected: str) -> None:
        super().__init__(
            f"The database is at revision {found or 'none'} and this code needs {expected}: "
            "run `python -m app migrate` with this version's code first."
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

    Processes that start together wait for each other. Raises WrongRevisionError where the database is ahead.
    """
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    found = _found_revision(connection)
    if found == expected_revision():
        return
    if found is not None and not is_known_revision(found):
        raise WrongRevisionError(found, expected_revision())
    command.upgrade(_config(connection), "head")
