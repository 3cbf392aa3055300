"""A private installation for a benchmark: its own data directory, PostgreSQL and service process."""

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from app.embedded_postgres import asyncpg_dsn, embedded_postgres
from bench.processes import clean_environment, free_port, running
from db.migrate import migrate
from db.sessions import create_engine, create_sessions
from services.accounts import ensure_local_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """`owner_id` is the local user's, who owns all media. `postmaster`: the server's first process."""

    directory: Path
    database_url: str
    postgres_version: str
    postmaster: int
    owner_id: str

    @property
    def dsn(self) -> str:
        return asyncpg_dsn(self.database_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    pid: int
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def installation() -> AsyncIterator[Installation]:
    """A migrated, empty one, removed in the end. PostgreSQL has the settings that every installation has."""
    directory = _reachable_directory()
    try:
        async with embedded_postgres(directory / "var") as url:
            engine = create_engine(url)
            await migrate(engine)
            owner = await ensure_local_user(create_sessions(engine))
            await engine.dispose()
            connection = await asyncpg.connect(asyncpg_dsn(url))
            version = str(await connection.fetchval("SHOW server_version"))
            await connection.close()
            postmaster = (directory / "var" / "postgres" / "postmaster.pid").read_text().split()[0]
            yield Installation(
                directory=directory,
                database_url=url,
                postgres_version=version,
                postmaster=int(postmaster),
                owner_id=str(owner.id),
            )
    finally:
        shutil.rmtree(directory)


def _reachable_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="darkroom-bench-"))
    directory.chmod(0o711)  # As root, PostgreSQL runs as another user, who must be able to pass.
    return directory


@asynccontextmanager
async def service(
    home: Installation,
    program: Sequence[str] = ("app", "serve"),
    *,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[Service]:
    """`python -m app serve` as everybody runs it but for `settings`, or another module; its log written to a
    file.
    """
    port = free_port()
    environment = clean_environment() | {
        # Also what has this value by default: an .env file in the checkout must not lead us elsewhere.
        "DARKROOM_HOST": "127.0.0.1",
        "DARKROOM_PORT": str(port),
        "DARKROOM_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DARKROOM_DATA_DIR": str(home.directory / "var"),
        "DARKROOM_DATABASE_URL": home.database_url,
        "DARKROOM_LOG_LEVEL": "INFO",
        **(settings or {}),
    }
    command = [sys.executable, "-m", *program]
    log = home.directory / "service.log"
    async with running(command, environment=environment, log=log, port=port) as pid:
        yield Service(pid=pid, port=port)
