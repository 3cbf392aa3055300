"""The files of the embedded PostgreSQL: where they are, whose they are, and how they come to be.

It knows nothing of running servers. Every problem is a sentence in an `EmbeddedPostgresError`.
Standard library only, because the supervisor runs without our dependencies.
"""

import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POSTGRES_MAJOR = "18"
ACCOUNT_NAME = "darkroom"


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL can't be used; the message is a sentence for the person who started us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The paths of one embedded PostgreSQL. Both are absolute, without symbolic links."""

    data_dir: Path
    binaries: Path

    @property
    def directory(self) -> Path:
        """PGDATA. It exists whole or not at all."""
        return self.data_dir / "postgres"

    @property
    def partial(self) -> Path:
        """Where a new cluster grows before it is renamed into place."""
        return self.data_dir / "postgres.partial"

    @property
    def log(self) -> Path:
        return self.data_dir / "postgres.log"

    @property
    def users_lock(self) -> Path:
        """Held shared by every user of the database, exclusively by the supervisor that stops it."""
        return self.data_dir / "postgres.users"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the one process that may start and stop PostgreSQL."""
        return self.data_dir / "postgres.supervisor"

    @property
    def running_lock(self) -> Path:
        """Held by PostgreSQL itself: inherited by the postmaster and each of its children, and by initdb."""
        return self.data_dir / "postgres.running"

    @property
    def socket_note(self) -> Path:
        """Names the directory of the unix socket while the server runs."""
        return self.data_dir / "postgres.socket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The operating system's user PostgreSQL runs as."""

    uid: int
    gid: int
    switched: bool

    def process_arguments(self) -> Mapping[str, Any]:
        """What `subprocess` needs to start a program as this user."""
        if not self.switched:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a path that we have just created to this user."""
        if self.switched:
            os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Whether this user can enter the directory or execute the file."""
        if not self.switched:
            return os.access(path, os.X_OK)
        # The kernel is asked, not the mode bits: access lists and mounts count too.
        command = ["test", "-x", str(path)]
        return subprocess.run(command, cwd="/", check=False, **self.process_arguments()).returncode == 0


def program_environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs: neither our secrets nor the caller's PG variables."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C"}


def create_data_dir(data_dir: Path) -> Path:
    """Create the data directory and its missing parents; return it absolute, without symbolic links.

    What we create as root can be passed through by others but not listed (0711), since PostgreSQL runs as
    another user; otherwise it is private (0700). What exists keeps its mode.
    """
    resolved = data_dir.expanduser().resolve()
    try:
        for path in [*reversed(resolved.parents), resolved]:
            _create_directory(path)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The data directory {resolved} can't be created: {error.strerror}. "
            "Set DARKROOM_DATA_DIR to a directory that can be written."
        ) from error
    return resolved


def _create_directory(path: Path) -> None:
    if path.is_dir():
        return
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if path.is_dir():  # another process was faster
            return
        raise
    if os.geteuid() == 0:
        path.chmod(0o711)


def choose_account(cluster: Cluster) -> Account:
    """Who PostgreSQL runs as: we ourselves, or as root (which PostgreSQL refuses) a user of its own.

    An existing cluster keeps its owner, so `sudo` now and then, or a volume from another container, takes
    nothing away from anybody. Raises EmbeddedPostgresError if there can be no such user.
    """
    owner = _owner(cluster.directory)
    if os.geteuid() != 0:
        if owner and owner.st_uid != os.geteuid():
            raise EmbeddedPostgresError(
                f"The database in {cluster.directory} belongs to {_user_name(owner.st_uid)}, "
                f"but this process runs as {_user_name(os.geteuid())}. "
                "Start it as the same user, or set DARKROOM_DATA_DIR to another directory."
            )
        return Account(uid=os.geteuid(), gid=os.getegid(), switched=False)
    if owner is None:
        entry = _system_user()
        return Account(uid=entry.pw_uid, gid=entry.pw_gid, switched=True)
    if owner.st_uid == 0:
        raise EmbeddedPostgresError(
            f"The database in {cluster.directory} belongs to root, and PostgreSQL refuses to run as root. "
            f"Give it to another user: chown -R {ACCOUNT_NAME} '{cluster.directory}'"
        )
    return Account(uid=owner.st_uid, gid=owner.st_gid, switched=True)


def _owner(directory: Path) -> os.stat_result | None:
    try:
        return directory.stat()
    except FileNotFoundError:
        return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _system_user() -> pwd.struct_passwd:
    """The account `darkroom`, created if absent: no password, no shell, no home."""
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", ACCOUNT_NAME]
    try:
        return pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        pass
    try:
        result = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
        complaint = result.stderr.strip()
    except OSError as error:
        complaint = f"useradd: {error.strerror}"
    try:
        return pwd.getpwnam(ACCOUNT_NAME)  # also when another process created it meanwhile
    except KeyError:
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root and the system user {ACCOUNT_NAME} can't be created "
            f"({complaint}). Create that user, start Darkroom as another user, or set DARKROOM_DATABASE_URL."
        ) from None


def require_reach(cluster: Cluster, account: Account) -> None:
    """Raise a sentence if the account can't enter the data directory or execute the binaries."""
    if blocked := _first_blocked(account, cluster.data_dir):
        raise EmbeddedPostgresError(
            f"PostgreSQL runs as the user {_user_name(account.uid)}, who can't enter {blocked}. "
            "Set DARKROOM_DATA_DIR to a directory this user can reach (such as /var/lib/darkroom), "
            f"or let others pass: chmod o+x '{blocked}'"
        )
    if blocked := _first_blocked(account, cluster.binaries / "postgres"):
        raise EmbeddedPostgresError(
            f"PostgreSQL runs as the user {_user_name(account.uid)}, who can't reach its programs "
            f"beyond {blocked}. Move the checkout with its .venv to a place this user can reach "
            f"(such as /opt/darkroom), or let others pass: chmod o+x '{blocked}'"
        )


def _first_blocked(account: Account, path: Path) -> Path | None:
    if account.reaches(path):
        return None
    steps = [*reversed(path.parents), path]
    return next((step for step in steps if not account.reaches(step)), path)


def require_version(cluster: Cluster) -> None:
    """Raise a sentence if the directory is no cluster, or one of another major version."""
    try:
        version = (cluster.directory / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{cluster.directory} is not a PostgreSQL database directory (PG_VERSION: {error.strerror}). "
            "Move it away, or set DARKROOM_DATA_DIR to another directory."
        ) from error
    if version != POSTGRES_MAJOR:
        raise EmbeddedPostgresError(
            f"The database in {cluster.directory} was made by PostgreSQL {version}, and this is PostgreSQL "
            f"{POSTGRES_MAJOR}. Dump it with the old version and restore it here, or use a server of that "
            "version through DARKROOM_DATABASE_URL."
        )


def create_cluster(cluster: Cluster, account: Account, running: int) -> None:
    """Run initdb beside the final place and rename: a crash leaves a partial directory, never half a cluster.

    `running` is the descriptor of the held running lock; an initdb that outlives a killed supervisor keeps
    it, so nobody deletes the directory under its hands.
    """
    if cluster.partial.exists():
        shutil.rmtree(cluster.partial)
    cluster.partial.mkdir(mode=0o700)
    account.own(cluster.partial)
    _run_initdb(cluster, account, running)
    cluster.partial.rename(cluster.directory)
    _sync_directory(cluster.data_dir)


def _run_initdb(cluster: Cluster, account: Account, running: int) -> None:
    # The builtin locale sorts by bytes and knows Unicode's upper and lower case on every machine alike.
    command = [str(cluster.binaries / "initdb"), "--pgdata", str(cluster.partial), "--username", "postgres"]
    command += ["--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin"]
    command += ["--builtin-locale", "C.UTF-8", "--auth-local", "trust", "--auth-host", "reject"]
    command += ["--no-instructions"]
    result = subprocess.run(
        command,
        cwd="/",
        env=program_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        pass_fds=(running,),
        **account.process_arguments(),
    )
    if result.returncode != 0:
        shutil.rmtree(cluster.partial, ignore_errors=True)
        raise EmbeddedPostgresError(
            f"PostgreSQL could not create its files in {cluster.data_dir}: {complaint_in(result.stdout)}"
        )


def complaint_in(output: str) -> str:
    """The line of a program's output that says what went wrong: the last error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    serious = [line for line in lines if any(mark in line for mark in ("FATAL:", "PANIC:", "error:"))]
    return (serious or lines or ["it said nothing"])[-1]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_private(path: Path, account: Account) -> bool:
    """Whether this is a real directory that only the account (and root) can enter."""
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == account.uid and not status.st_mode & 0o077
