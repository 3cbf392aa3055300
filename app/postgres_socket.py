"""The private directory of PostgreSQL's unix socket.

Local connections are trusted, which is safe for one reason only: nobody but the server's user (and root) can
enter this directory. It lies under the runtime or temporary directory, because a socket's path is limited to
about a hundred bytes and a data directory's is not.
"""

import os
import stat
import tempfile
from pathlib import Path

from app.postgres_cluster import Account, Cluster, EmbeddedPostgresError, is_private

PORT = 5432  # only a part of the socket's name: there is no TCP
# sun_path holds 108 bytes on Linux and 104 on macOS, with the final zero.
SOCKET_PATH_LIMIT = 103


def provide_socket_directory(cluster: Cluster, account: Account) -> Path:
    """The directory to listen in: the remembered one if it is still ours, so live users find us again.

    A directory that somebody else put in its place is not used. Only to be called while no server runs: a
    killed one's socket is removed, because PostgreSQL would take any process (or zombie) with the number in
    its lock file for its owner. Raises EmbeddedPostgresError if no temporary directory is short, writable
    and safe.
    """
    remembered = remembered_socket_directory(cluster)
    if remembered and _reclaim(remembered, account):
        _remove_socket(remembered)
        return remembered
    for parent in _candidates(account):
        try:
            made = Path(tempfile.mkdtemp(prefix="darkroom-", dir=parent))
        except OSError:
            continue
        account.own(made)
        _remember(cluster, made)
        return made
    raise EmbeddedPostgresError(
        "PostgreSQL needs a temporary directory with a short path for its socket, and neither "
        f"{tempfile.gettempdir()} nor /tmp will do. Set TMPDIR to one that can be written."
    )


def remembered_socket_directory(cluster: Cluster) -> Path | None:
    """Where the server listens, if it runs."""
    try:
        return Path(os.fsdecode(cluster.socket_note.read_bytes()))
    except FileNotFoundError:
        return None


def forget_socket_directory(cluster: Cluster) -> None:
    """Remove the directory after the server has gone."""
    directory = remembered_socket_directory(cluster)
    cluster.socket_note.unlink(missing_ok=True)
    if directory is None:
        return
    try:
        _remove_socket(directory)
        directory.rmdir()
    except OSError:
        pass  # gone already, or not ours any more


def _remove_socket(directory: Path) -> None:
    for leftover in directory.glob(f".s.PGSQL.{PORT}*"):
        leftover.unlink()


def _reclaim(directory: Path, account: Account) -> bool:
    try:
        directory.mkdir(mode=0o700)
        account.own(directory)  # a cleaner had removed it
    except FileExistsError:
        return is_private(directory, account)
    except OSError:
        return False
    return True


def _candidates(account: Account) -> list[Path]:
    named = [] if account.switched else [os.environ.get("XDG_RUNTIME_DIR", "")]
    named += [tempfile.gettempdir(), "/tmp"]
    return [path for path in map(Path, filter(None, named)) if _suits(path, account)]


def _suits(parent: Path, account: Account) -> bool:
    longest = parent / "darkroom-12345678" / f".s.PGSQL.{PORT}.lock"
    # PostgreSQL reads a list separated by commas, and SQLAlchemy takes what follows a colon for a port.
    if len(os.fsencode(longest)) > SOCKET_PATH_LIMIT or set(',":') & set(str(parent)):
        return False
    try:
        mode = parent.stat().st_mode
    except OSError:
        return False
    # Where everybody may write and nothing sticks, everybody could rename ours and put his own there.
    safe = not mode & 0o022 or mode & stat.S_ISVTX
    return parent.is_absolute() and bool(safe) and account.reaches(parent)


def _remember(cluster: Cluster, directory: Path) -> None:
    draft = cluster.socket_note.with_suffix(".socket.new")
    draft.write_bytes(os.fsencode(directory))
    draft.replace(cluster.socket_note)
