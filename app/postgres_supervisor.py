"""The process that starts the embedded PostgreSQL, restarts it, and stops it after its last user.

`python -m app.postgres_supervisor <data directory> <directory of the binaries>`, started by
`app.embedded_postgres`, one per data directory, in a session of its own. It holds no users lock: it looks
whether anybody else does. If it is killed the server lives on, and the next supervisor adopts it.
Standard library only.
"""

import os
import signal
import sys
import time
from pathlib import Path

from app.postgres_cluster import Cluster, EmbeddedPostgresError, choose_account
from app.postgres_locks import FileLock
from app.postgres_postmaster import Postmaster

POLL_S = 0.1
LOG_CHECK_S = 10.0
# Whoever asks if the supervisor lock is free holds it for an instant.
LOCK_PATIENCE_S = 1.0
START_ATTEMPTS = 3
EXIT_WITH_SENTENCE = 3


class Supervisor:
    """Keeps one server running while it has users."""

    def __init__(self, cluster: Cluster, postmaster: Postmaster, users: FileLock) -> None:
        self._cluster = cluster
        self._postmaster = postmaster
        self._users = users
        self._attempts = 0
        self._attempt_at = 0.0
        self._log_checked_at = 0.0
        self._detached = False

    def run(self) -> None:
        """Return, holding the users lock exclusively, when the last user has left and the server has stopped.

        Raises EmbeddedPostgresError if the server does not start.
        """
        while not self._users.try_exclusive():
            self._keep_running()
            self._keep_log_small()
            time.sleep(POLL_S)
        self._postmaster.stop()

    def _keep_running(self) -> None:
        if not self._postmaster.is_running():
            self._start()
        elif self._postmaster.is_ready():
            self._attempts = 0
            if not self._detached:
                self._detached = True
                _detach(self._cluster.log)

    def _start(self) -> None:
        now = time.monotonic()
        if now < self._attempt_at + 0.5 * self._attempts:
            return
        if self._attempts == START_ATTEMPTS:
            self._postmaster.stop()  # nothing runs, but its socket's directory is there
            raise EmbeddedPostgresError(
                f"PostgreSQL does not start: {self._postmaster.complaint()} (see {self._cluster.log})"
            )
        self._attempts += 1
        self._attempt_at = now
        self._postmaster.start()

    def _keep_log_small(self) -> None:
        if time.monotonic() > self._log_checked_at + LOG_CHECK_S:
            self._log_checked_at = time.monotonic()
            self._postmaster.trim_log()


def supervise(cluster: Cluster) -> None:
    """Do a supervisor's work, or return at once if another one does it.

    The order of release matters: a new user who gets the users lock must find the supervisor lock free.
    """
    with FileLock(cluster.users_lock) as users, FileLock(cluster.supervisor_lock) as supervising:
        if _take(supervising):
            Supervisor(cluster, Postmaster(cluster, choose_account(cluster)), users).run()


def _take(lock: FileLock) -> bool:
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while not lock.try_exclusive():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S / 10)
    return True


def _detach(log: Path) -> None:
    """From here on nobody may be there to read our output: it goes to the server's log."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _ignore_polite_signals() -> None:
    # A service manager signals everybody at once, but users still want to finish their work: we go when
    # they have gone. Handlers rather than SIG_IGN, which PostgreSQL would inherit.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)


def main(arguments: list[str]) -> int:
    """Run as a program; a problem is one sentence on the output and exit code 3."""
    _ignore_polite_signals()
    os.chdir("/")
    data_dir, binaries = arguments
    try:
        supervise(Cluster(data_dir=Path(data_dir), binaries=Path(binaries)))
    except EmbeddedPostgresError as error:
        sys.stdout.write(f"{error}\n")
        return EXIT_WITH_SENTENCE
    except OSError as error:  # such as a full disk
        sys.stdout.write(f"PostgreSQL can't be run in {data_dir}: {error}\n")
        return EXIT_WITH_SENTENCE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
