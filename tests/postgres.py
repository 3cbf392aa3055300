"""PostgreSQL for tests: one embedded server for the session, a database of its own for each test.

    from tests.postgres import create_database, migrated_template, postgres_server

The migration is a callable that the caller brings: this module knows no tables.
"""

import errno
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest_asyncio

from app.embedded_postgres import asyncpg_dsn, embedded_postgres

Migration = Callable[[str], Awaitable[None]]


def make_reachable_directory() -> Path:
    """A new temporary directory that PostgreSQL's own user can pass through when the tests run as root.

    pytest's `tmp_path` is for the tests' user alone.
    """
    directory = Path(tempfile.mkdtemp(prefix="darkroom-test-"))
    directory.chmod(0o711)
    return directory


def remove_directory(directory: Path) -> None:
    """A supervisor that is just ending may still write beside what is being removed: then once more."""
    for _ in range(20):
        try:
            shutil.rmtree(directory)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            time.sleep(0.25)
        else:
            return
    shutil.rmtree(directory)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server() -> AsyncIterator[str]:
    """The URL of the session's server; for databases see `create_database`."""
    directory = make_reachable_directory()
    try:
        async with embedded_postgres(directory / "var") as url:
            # Nothing here must survive a power cut, and a clone takes 50 ms instead of 700 on a busy disk.
            await _execute(url, "ALTER SYSTEM SET fsync = off")
            await _execute(url, "SELECT pg_reload_conf()")
            yield url
    finally:
        remove_directory(directory)


async def migrated_template(server: str, migrate: Migration) -> str:
    """Create a database, let `migrate` fill it given its URL, and return its name as a template.

    `migrate` must have closed its connections: a database in use can't be cloned.
    """
    name = f"template_{uuid.uuid4().hex}"
    await _execute(server, f'CREATE DATABASE "{name}"')
    await migrate(database_url(server, name))
    await _execute(server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    return name


@asynccontextmanager
async def create_database(server: str, template: str | None = None) -> AsyncIterator[str]:
    """A new database, cloned from `template` if given; yields its URL and drops it in the end.

    Connections that the test forgot are cut when it is dropped.
    """
    name = f"test_{uuid.uuid4().hex}"
    await _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}"')
    try:
        yield database_url(server, name)
    finally:
        await _execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')


def database_url(server: str, name: str) -> str:
    """The URL of another database on the same server."""
    address, _, options = server.partition("?")
    return f"{address.rpartition('/')[0]}/{name}?{options}"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
