"""PostgreSQL: that it can be run or reached, and that it lets Darkroom do what it does.

A private server that does not run is not started: that would change its files.
"""

import asyncio
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.embedded_postgres import DATABASE, asyncpg_dsn, binaries
from app.operations.findings import Finding, ok, problem, warning
from app.operations.postgres_programs import PROGRAMS_MAJOR
from app.postgres_cluster import (
    ACCOUNT_NAME,
    Cluster,
    EmbeddedPostgresError,
    choose_account,
    program_environment,
    require_reach,
    require_version,
)
from app.postgres_socket import PORT, remembered_socket_directory
from app.settings import Settings
from db.migrate import expected_revision
from db.sessions import POOL_OVERFLOW, POOL_SIZE

OLDEST = 15

#: The engine's pool, the doorbell's two and the worker's one.
CONNECTIONS_A_PROCESS = POOL_SIZE + POOL_OVERFLOW + 3

CLOCK_TOLERANCE_SECONDS = 10.0
CONNECT_SECONDS = 5.0

_NO_ADDRESS = problem(
    "database",
    "DARKROOM_DATABASE_URL is no address that Darkroom can use.",
    "It looks like postgresql+asyncpg://user:password@host/database.",
)


async def check(settings: Settings) -> list[Finding]:
    if settings.database_url is not None:
        return await check_url(settings.database_url.get_secret_value())
    return await check_private(settings.data_dir)


async def check_url(url: str) -> list[Finding]:
    """Never with the address in a sentence: it holds the password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername != "postgresql+asyncpg":
        return [_NO_ADDRESS]
    place = f"{parsed.host or parsed.query.get('host', 'this machine')}"
    try:
        connection = await asyncpg.connect(asyncpg_dsn(url), timeout=CONNECT_SECONDS)
    except ValueError:  # asyncpg's own reading of it is stricter
        return [_NO_ADDRESS]
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [_unreachable(place, error)]
    return await _look(connection, place)


async def check_private(data_dir: Path) -> list[Finding]:
    try:
        version = await asyncio.to_thread(_version_of_binaries)
    except (EmbeddedPostgresError, OSError, subprocess.SubprocessError) as error:
        advice = "Run make setup, or set DARKROOM_DATABASE_URL."
        return [problem("database", f"The private PostgreSQL can't be run: {error}", advice)]
    findings = [ok("postgresql", f"{version} can be run.")]
    if _is_closed(data_dir):
        return findings  # said of the data directory already
    cluster = Cluster(data_dir=Path(os.path.realpath(data_dir)), binaries=binaries())  # noqa: ASYNC240
    if complaints := list(_complaints(cluster)):
        return findings + complaints
    if not cluster.directory.exists():
        return [*findings, ok("database", "There is no database yet: the first start creates it.")]
    connection = await _connect_private(cluster)
    if connection is None:
        sentence = "The private PostgreSQL does not run now; it starts and ends with the service."
        return [*findings, ok("database", sentence)]
    return findings + await _look(connection, "the private server")


def _version_of_binaries() -> str:
    command = [str(binaries() / "postgres"), "--version"]
    done = subprocess.run(
        command, env=program_environment(), capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def _complaints(cluster: Cluster) -> Iterator[Finding]:
    """What would keep the private server from starting."""
    try:
        if cluster.directory.exists():
            require_version(cluster)
            require_reach(cluster, choose_account(cluster))
        elif os.geteuid() == 0 and not _has_account() and shutil.which("useradd") is None:
            yield problem(
                "database",
                f"PostgreSQL refuses to run as root, and the system user {ACCOUNT_NAME} can't be created.",
                "Create that user, start Darkroom as another user, or set DARKROOM_DATABASE_URL.",
            )
    except EmbeddedPostgresError as error:
        yield problem("database", str(error), "Nothing can be served until then.")


def _is_closed(data_dir: Path) -> bool:
    return data_dir.exists() and not os.access(data_dir, os.X_OK)


def _has_account() -> bool:
    try:
        pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        return False
    return True


async def _connect_private(cluster: Cluster) -> "asyncpg.Connection[Any] | None":
    directory = remembered_socket_directory(cluster)
    if directory is None:
        return None
    try:
        return await asyncpg.connect(
            host=str(directory), port=PORT, user="postgres", database=DATABASE, timeout=CONNECT_SECONDS
        )
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return None


def _unreachable(place: str, error: Exception) -> Finding:
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            reason, advice = "it refuses the user or the password", "Correct DARKROOM_DATABASE_URL."
        case asyncpg.InvalidCatalogNameError():
            reason, advice = "it has no such database", "Create it, or correct DARKROOM_DATABASE_URL."
        case asyncpg.TooManyConnectionsError():
            reason, advice = "all its connections are taken", "Raise max_connections, or end what holds them."
        case TimeoutError():
            reason, advice = "it did not answer", "Is it running, and does a firewall let us through?"
        case OSError():
            reason, advice = error.strerror or str(error), "Is it running, and is the address right?"
        case _:
            reason, advice = type(error).__name__, "Look at the server's log."
    return problem("database", f"The PostgreSQL at {place} can't be used: {reason}.", advice)


async def _look(connection: "asyncpg.Connection[Any]", place: str) -> list[Finding]:
    """Within a transaction that is rolled back and can't write."""
    try:
        version = check_version(connection.get_server_version(), place)
        if version.state == "problem":
            return [version]
        async with connection.transaction(readonly=True):
            return [
                version,
                await _check_revision(connection),
                await _check_rights(connection),
                await _check_connections(connection),
                await _check_clock(connection),
            ]
    finally:
        connection.terminate()


def check_version(version: Any, place: str) -> Finding:
    name = f"{version.major}.{version.micro}"  # what PostgreSQL calls minor is the third of asyncpg's
    if version.major < OLDEST:
        sentence = f"The server at {place} is PostgreSQL {name}, and Darkroom needs {OLDEST} or newer."
        return problem("database", sentence, "Upgrade it.")
    if version.major > PROGRAMS_MAJOR:
        sentence = (
            f"PostgreSQL {name} answers at {place}, and Darkroom's pg_dump {PROGRAMS_MAJOR} is too old "
            "for it: `backup` refuses."
        )
        advice = "Back it up by the server's own pg_dump, or use a Darkroom whose pg_dump is as new."
        return warning("database", sentence, advice)
    return ok("database", f"PostgreSQL {name} answers at {place}.")


async def _check_revision(connection: "asyncpg.Connection[Any]") -> Finding:
    expected = expected_revision()
    found = None
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is not None:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    if found == expected:
        return ok("revision", f"The database has this code's revision, {expected}.")
    sentence = f"The database is at revision {found or 'none'}, and this code needs {expected}."
    return problem("revision", sentence, "Run python -m app migrate with this version's code.")


async def _check_rights(connection: "asyncpg.Connection[Any]") -> Finding:
    missing = []
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        missing.append("write (it is a standby)")
    if not await connection.fetchval("SELECT has_schema_privilege(current_schema(), 'CREATE')"):
        missing.append("create tables")
    owned = await connection.fetchval(
        "SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    if owned is False:
        missing.append("change tables that belong to another user")
    if not await connection.fetchval("SELECT has_function_privilege('pg_control_system()', 'EXECUTE')"):
        missing.append("ask for its identity (pg_control_system)")
    try:
        await connection.execute("LISTEN darkroom_doctor")
    except asyncpg.PostgresError:
        missing.append("LISTEN")
    if missing:
        sentence = f"The database's user may not {', '.join(missing)}."
        return problem("rights", sentence, "Let Darkroom's user own its database, on the primary server.")
    return ok("rights", "The database's user may create tables and listen for notifications.")


async def _check_connections(connection: "asyncpg.Connection[Any]") -> Finding:
    most = int(await connection.fetchval("SHOW max_connections"))
    reserved = int(await connection.fetchval("SHOW superuser_reserved_connections"))
    taken = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    processes = (most - reserved) // CONNECTIONS_A_PROCESS
    sentence = (
        f"{taken} of {most} connections are taken; a process of Darkroom needs up to "
        f"{CONNECTIONS_A_PROCESS}, so there is room for {processes}."
    )
    advice = "Raise the server's max_connections."
    if processes < 1:
        return problem("connections", sentence, advice)
    if most - reserved - taken < CONNECTIONS_A_PROCESS // 2:
        return warning("connections", f"{sentence} Few are left now.", advice)
    return ok("connections", sentence)


async def _check_clock(connection: "asyncpg.Connection[Any]") -> Finding:
    theirs = await connection.fetchval("SELECT clock_timestamp()")
    apart = abs((theirs - datetime.now(UTC)).total_seconds())
    if apart > CLOCK_TOLERANCE_SECONDS:
        sentence = f"The clocks of the database and of this machine are {apart:,.0f} seconds apart."
        return warning("clocks", sentence, "Set both by NTP.")
    return ok("clocks", "The clocks of the database and of this machine agree.")
