"""Starting, recognising and stopping the PostgreSQL server of one cluster.

Whether it runs is told by the running lock, which every server process has inherited; a process number is
only used for signals. To be used by one process at a time, the holder of the supervisor lock.
"""

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from app.postgres_cluster import (
    Account,
    Cluster,
    EmbeddedPostgresError,
    complaint_in,
    create_cluster,
    program_environment,
    require_reach,
    require_version,
)
from app.postgres_locks import FileLock, is_free
from app.postgres_socket import PORT, forget_socket_directory, provide_socket_directory

# What is given here can't be changed in the server. `fsync` and `synchronous_commit` are not: they are on
# unless somebody turns them off with ALTER SYSTEM, as the tests do for their own server.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    # Parallel queries need /dev/shm, of which a container has 64 MB; ours are too small to gain from them.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}
LOG_LIMIT = 8 * 1024 * 1024  # bytes; one older file of this size is kept
# Fast (which checkpoints, perhaps on a slow disk), immediate, killed; and the seconds each may take.
SHUTDOWN_STEPS = (signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)
POLL_S = 0.02


class Postmaster:
    """The server of one cluster, whether we have started it or found it running."""

    def __init__(self, cluster: Cluster, account: Account) -> None:
        self._cluster = cluster
        self._account = account
        self._child: subprocess.Popen[bytes] | None = None
        self._started_before = False

    def is_running(self) -> bool:
        """Whether any process of the server is left, be it only the last backend of a killed one."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None
        return not is_free(self._cluster.running_lock)

    def is_ready(self) -> bool:
        """Whether the server says that it accepts connections (after recovery, if that was needed)."""
        lines = self._pid_file_lines()
        return len(lines) >= 8 and lines[7].strip() == "ready"

    def start(self) -> None:
        """Start the server and return at once; create the cluster if there is none.

        Does nothing while any process of an earlier server is left. Raises EmbeddedPostgresError if the
        server can't be started; what it complains of later is in the log.
        """
        with FileLock(self._cluster.running_lock) as running:
            if not running.try_exclusive():
                return
            self._require_files(running)
            self._discard_pid_file()
            self._launch(running)
            self._started_before = True

    def stop(self) -> None:
        """Stop the server: politely, then firmly. Returns when its last process has gone.

        Clients are disconnected and their transactions rolled back; nothing committed is lost.
        """
        for number, patience in SHUTDOWN_STEPS:
            self._signal(number)
            if self._wait_until_gone(patience):
                forget_socket_directory(self._cluster)
                return

    def trim_log(self) -> None:
        """Move a log that has grown large aside. The server appends, so it goes on in the emptied file."""
        log = self._cluster.log
        with suppress(OSError):
            if log.stat().st_size > LOG_LIMIT:
                shutil.copyfile(log, log.with_suffix(".log.1"))
                os.truncate(log, 0)

    def complaint(self) -> str:
        """The last serious line of the log."""
        try:
            with self._cluster.log.open("rb") as log:
                log.seek(max(0, self._cluster.log.stat().st_size - 4096))
                return complaint_in(log.read().decode(errors="replace"))
        except OSError as error:
            return f"its log can't be read ({error.strerror})"

    def _require_files(self, running: FileLock) -> None:
        require_reach(self._cluster, self._account)
        if not self._cluster.directory.exists():
            if self._started_before:
                raise EmbeddedPostgresError(f"The database in {self._cluster.directory} has been removed.")
            create_cluster(self._cluster, self._account, running.descriptor)
        require_version(self._cluster)

    def _launch(self, running: FileLock) -> None:
        socket_directory = provide_socket_directory(self._cluster, self._account)
        settings = {**SETTINGS, "unix_socket_directories": str(socket_directory)}
        command = [str(self._cluster.binaries / "postgres"), "-D", str(self._cluster.directory)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        log = os.open(self._cluster.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._child = subprocess.Popen(
                command,
                cwd=self._cluster.directory,
                env=program_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(running.descriptor,),
                **self._account.process_arguments(),
            )
        except OSError as error:
            raise EmbeddedPostgresError(
                f"PostgreSQL can't be started from {self._cluster.binaries}: {error.strerror}."
            ) from error
        finally:
            os.close(log)

    def _discard_pid_file(self) -> None:
        """Remove what a killed server left: PostgreSQL would take any process with that number for itself.

        Only called with the running lock held, so no server of ours lives. Should two servers meet all the
        same, PostgreSQL's shared memory segment, found by the directory's inode, refuses the second.
        """
        number = self._pid_from_file()
        if number is not None and _works_in(number, self._cluster.directory):
            raise EmbeddedPostgresError(
                f"A PostgreSQL server that Darkroom did not start (process {number}) uses "
                f"{self._cluster.directory}. Stop it first."
            )
        (self._cluster.directory / "postmaster.pid").unlink(missing_ok=True)

    def _signal(self, number: signal.Signals) -> None:
        pid = self._child.pid if self._child is not None else self._pid_from_file()
        if pid is not None and (self._child is not None or _works_in(pid, self._cluster.directory)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait_until_gone(self, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while self.is_running():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def _pid_from_file(self) -> int | None:
        first = next(iter(self._pid_file_lines()), "")
        return int(first) if first.isdecimal() and int(first) > 1 else None

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self._cluster.directory / "postmaster.pid").read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            return []


def _works_in(pid: int, directory: Path) -> bool:
    """Whether that process has the cluster as its working directory, as each server process has.

    Without /proc (not Linux) only whether it exists.
    """
    if not Path("/proc/self").exists():
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, 0)
            return True
        return False
    try:
        return Path(f"/proc/{pid}/cwd").samefile(directory)
    except OSError:
        return False
