"""The embedded PostgreSQL among real processes: shared, killed, damaged and unreachable."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import asyncpg
import pytest

from app.embedded_postgres import EmbeddedPostgresError, asyncpg_dsn, embedded_postgres
from app.postgres_cluster import Account
from app.postgres_locks import FileLock, is_free
from app.postgres_socket import _candidates, _reclaim
from tests.postgres import (
    create_database,
    make_reachable_directory,
    migrated_template,
    postgres_server,
    remove_directory,
)

__all__ = ["postgres_server"]

CHECKOUT = Path(__file__).resolve().parents[2]
GONE_WITHIN_S = 30.0  # a checkpoint on a busy disk; usually 0.2
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch to another user")


@dataclass(frozen=True, slots=True)
class User:
    """A process that uses the server; see postgres_user.py."""

    process: subprocess.Popen[str]

    def hears(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def becomes_ready(self) -> str:
        """Its URL."""
        word, _, rest = self.hears().partition(" ")
        assert word == "READY", rest
        return rest

    def fails(self) -> str:
        """Its sentence."""
        word, _, rest = self.hears().partition(" ")
        assert word == "ERROR", rest
        return rest

    def adds_a_row(self) -> int:
        assert self.process.stdin
        self.process.stdin.write("add\n")
        self.process.stdin.flush()
        word, _, rest = self.hears().partition(" ")
        assert word == "ROWS", rest
        return int(rest)

    def quits(self) -> None:
        """Leave in good order, which includes waiting for the server if it is the last."""
        assert self.process.stdin
        self.process.stdin.close()
        assert self.process.wait(GONE_WITHIN_S) == 0

    def is_killed(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.is_killed()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


class StartUser(Protocol):
    def __call__(self, data_dir: Path, *, account: pwd.struct_passwd | None = None) -> User: ...


@pytest.fixture
def directory() -> Iterator[Path]:
    made = make_reachable_directory()
    yield made
    remove_directory(made)


@pytest.fixture
def empty_data_dir(directory: Path) -> Path:
    return directory / "var"


@pytest.fixture(scope="session")
def stopped_cluster() -> Iterator[Path]:
    """A data directory that was used once: copying one is quicker than another initdb."""
    made = make_reachable_directory()
    asyncio.run(_open_and_close(made / "var"))
    yield made / "var"
    shutil.rmtree(made)


@pytest.fixture
def data_dir(directory: Path, stopped_cluster: Path) -> Path:
    subprocess.run(["cp", "-a", stopped_cluster, directory], check=True)
    return directory / "var"


@pytest.fixture
def start_user(directory: Path) -> Iterator[StartUser]:
    """Starts users; in the end all are killed and their servers must be gone by themselves."""
    started: list[tuple[User, Path]] = []

    def start(data_dir: Path, *, account: pwd.struct_passwd | None = None) -> User:
        program = ["-m", "tests.processes.postgres_user", str(data_dir)]
        process = subprocess.Popen(
            [_python_for(account) if account else sys.executable, *program],
            cwd=CHECKOUT,
            env=_environment() if account else None,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=[] if account else None,
        )
        started.append((User(process), data_dir))
        return started[-1][0]

    yield start
    for user, _ in started:
        user.end()
    for _, used in started:
        until_stopped(used)


def _python_for(account: pwd.struct_passwd) -> str:
    """An interpreter of our version that this user can execute: ours may be in a closed home."""
    version = f"python3.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        command = [python, "-c", f"import sys; sys.exit(sys.version_info[1] != {sys.version_info.minor})"]
        with suppress(OSError):
            asked = subprocess.run(
                command, cwd="/", user=account.pw_uid, group=account.pw_gid, extra_groups=[], check=False
            )
            if asked.returncode == 0:
                return python
    pytest.skip(f"no {version} that {account.pw_name} can execute: PostgreSQL as a user is NOT TESTED")


def _environment() -> dict[str, str]:
    packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    return {"PATH": os.defpath, "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1"}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def until_stopped(data_dir: Path) -> None:
    """No process of the server and no supervisor is left."""
    if (data_dir / "postgres.running").exists():
        until(lambda: is_free(data_dir / "postgres.running"))
    if (data_dir / "postgres.supervisor").exists():
        until(lambda: is_free(data_dir / "postgres.supervisor"))


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def supervisor_pid(data_dir: Path) -> int:
    """The parent of the server, if that has not been adopted."""
    status = Path(f"/proc/{postmaster_pid(data_dir)}/stat").read_text()
    return int(status.rpartition(")")[2].split()[1])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_processes_share_one_server_until_the_last_leaves(data_dir: Path, start_user: StartUser) -> None:
    first, second = start_user(data_dir), start_user(data_dir)
    assert first.becomes_ready() == second.becomes_ready()
    server = postmaster_pid(data_dir)
    assert [first.adds_a_row(), second.adds_a_row()] == [1, 2]
    first.quits()
    assert second.adds_a_row() == 3
    assert postmaster_pid(data_dir) == server
    second.quits()
    assert not is_alive(server), "the last one returns when the server has ended"
    assert not list(data_dir.glob("postgres.socket*"))


@pytest.mark.parametrize("killed", [0, 1])
def test_kill_either_and_the_other_goes_on(data_dir: Path, start_user: StartUser, killed: int) -> None:
    users = [start_user(data_dir)]
    users[0].becomes_ready()
    users.append(start_user(data_dir))
    users[1].becomes_ready()
    server = postmaster_pid(data_dir)
    users.pop(killed).is_killed()
    time.sleep(0.5)  # more than the supervisor needs to notice
    assert users[0].adds_a_row() == 1
    assert postmaster_pid(data_dir) == server
    users[0].is_killed()
    until(lambda: not is_alive(server))


def test_three_that_start_at_once_share_one_server(empty_data_dir: Path, start_user: StartUser) -> None:
    users = [start_user(empty_data_dir) for _ in range(3)]
    assert len({user.becomes_ready() for user in users}) == 1
    assert [user.adds_a_row() for user in users] == [1, 2, 3]
    for user in users:
        user.is_killed()
    again = start_user(empty_data_dir)  # while the server is perhaps being stopped
    again.becomes_ready()
    assert again.adds_a_row() == 4


def test_everything_killed_at_once_is_recovered(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir)
    user.becomes_ready()
    user.adds_a_row()
    for pid in (supervisor_pid(data_dir), postmaster_pid(data_dir)):
        os.kill(pid, signal.SIGKILL)
    user.is_killed()
    assert (data_dir / "postgres" / "postmaster.pid").exists()
    again = start_user(data_dir)
    again.becomes_ready()
    assert again.adds_a_row() == 2


def test_a_server_left_alone_by_kills_is_adopted_and_stopped(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir)
    user.becomes_ready()
    server = postmaster_pid(data_dir)
    os.kill(supervisor_pid(data_dir), signal.SIGKILL)
    user.is_killed()
    assert is_alive(server)
    again = start_user(data_dir)
    again.becomes_ready()
    assert postmaster_pid(data_dir) == server
    again.quits()
    assert not is_alive(server)


def test_a_killed_supervisor_is_replaced_under_a_live_user(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir)
    user.becomes_ready()
    server = postmaster_pid(data_dir)
    killed = supervisor_pid(data_dir)
    os.kill(killed, signal.SIGKILL)
    until(lambda: not is_alive(killed))
    until(lambda: not is_free(data_dir / "postgres.supervisor"))
    assert user.adds_a_row() == 1
    user.is_killed()
    until(lambda: not is_alive(server))


def test_a_killed_server_comes_back_under_a_live_user(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir)
    url = user.becomes_ready()
    user.adds_a_row()
    killed = postmaster_pid(data_dir)
    os.kill(killed, signal.SIGKILL)
    assert user.adds_a_row() == 2, "at the same address"
    assert postmaster_pid(data_dir) != killed
    other = start_user(data_dir)
    assert other.becomes_ready() == url


def test_a_pid_file_that_names_a_stranger_is_no_obstacle(data_dir: Path, start_user: StartUser) -> None:
    user = start_user(data_dir)
    user.becomes_ready()
    user.quits()
    owner = (data_dir / "postgres").stat().st_uid if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], user=owner) as stranger:
        pid_file = data_dir / "postgres" / "postmaster.pid"
        # As a crash leaves it, when the number has gone to somebody else since.
        pid_file.write_text(f"{stranger.pid}\n{data_dir}/postgres\n1\n5432\n/tmp\n\n 1 1\nready   \n")
        again = start_user(data_dir)
        again.becomes_ready()
        again.quits()
        assert stranger.poll() is None
        stranger.kill()


def test_ctrl_c_reaches_the_user_but_not_the_server(data_dir: Path, start_user: StartUser) -> None:
    first, second = start_user(data_dir), start_user(data_dir)
    assert first.becomes_ready() == second.becomes_ready()
    os.killpg(first.process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert second.adds_a_row() == 1


async def test_polite_signals_leave_the_supervisor_to_its_users(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as url:
        os.kill(supervisor_pid(data_dir), signal.SIGTERM)
        await asyncio.sleep(0.3)
        await _require_answer(url)


@pytest.mark.parametrize("name", ['with space, comma\'s "quotes" and ünïcode:', "/".join(["long" * 30] * 3)])
async def test_any_path_will_do(directory: Path, name: str) -> None:
    async with embedded_postgres(directory / name / "var") as url:
        await _require_answer(url)
    until_stopped(directory / name / "var")


async def test_a_warm_start_is_quick(data_dir: Path) -> None:
    started = time.monotonic()
    async with embedded_postgres(data_dir) as url:
        assert time.monotonic() - started < 15  # 0.1 s; a busy machine is no failure
        await _require_answer(url)


async def test_the_callers_postgres_variables_do_not_count(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "1", "PGHOST": "nowhere", "PGUSER": "nobody", "PGDATA": "/"}.items():
        monkeypatch.setenv(name, value)
    async with embedded_postgres(data_dir) as url:
        await _require_answer(url)


async def test_the_server_is_as_durable_and_neutral_as_promised(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as url:
        connection = await asyncpg.connect(asyncpg_dsn(url))
        try:
            shown = {name: await connection.fetchval(f"SHOW {name}") for name in PROMISED}
            lowered = await connection.fetchval("SELECT to_tsvector('simple', 'ÜBER')::text")
        finally:
            await connection.close()
    assert shown == PROMISED
    assert lowered == "'über':1"


PROMISED = {
    "fsync": "on",
    "synchronous_commit": "on",
    "listen_addresses": "",
    "timezone": "UTC",
    "server_encoding": "UTF8",
    "data_checksums": "on",
}


async def test_a_crash_in_initdb_leaves_nothing_half(empty_data_dir: Path, start_user: StartUser) -> None:
    user = start_user(empty_data_dir)
    until((empty_data_dir / "postgres.partial" / "base").exists)
    user.is_killed()
    supervisor = _holder_of(empty_data_dir / "postgres.supervisor")
    os.kill(supervisor, signal.SIGKILL)
    assert not (empty_data_dir / "postgres").exists()
    again = start_user(empty_data_dir)
    again.becomes_ready()
    assert not (empty_data_dir / "postgres.partial").exists()


def _holder_of(lock: Path) -> int:
    inode = f":{lock.stat().st_ino} "
    held = [line.split() for line in Path("/proc/locks").read_text().splitlines() if inode in line]
    return int(held[0][4])


async def test_an_older_cluster_is_refused_in_a_sentence(data_dir: Path) -> None:
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 17, and this is PostgreSQL 18"):
        await _open_and_close(data_dir)


async def test_a_directory_that_is_no_cluster_is_refused_in_a_sentence(data_dir: Path) -> None:
    (data_dir / "postgres" / "PG_VERSION").unlink()
    with pytest.raises(EmbeddedPostgresError, match="is not a PostgreSQL database directory"):
        await _open_and_close(data_dir)


async def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    with (data_dir / "postgres" / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError, match=r"does not start: .*FATAL: .*postgresql\.conf"):
        await _open_and_close(data_dir)


@as_root
async def test_a_path_closed_to_the_servers_user_is_named(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match=rf"who can't enter {closed}\. Set DARKROOM_"):
        await _open_and_close(closed / "var")
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_an_ordinary_user_runs_it_as_himself(directory: Path, start_user: StartUser) -> None:
    nobody = pwd.getpwnam("nobody")
    home = directory / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    user = start_user(home / "var", account=nobody)
    user.becomes_ready()
    assert user.adds_a_row() == 1
    assert (home / "var").stat().st_mode & 0o777 == 0o700
    assert (home / "var" / "postgres").stat().st_uid == nobody.pw_uid
    root = start_user(home / "var")
    root.becomes_ready()
    assert root.adds_a_row() == 2
    root.quits()
    user.quits()


@as_root
async def test_another_users_data_is_refused_in_a_sentence(data_dir: Path, start_user: StartUser) -> None:
    nobody = pwd.getpwnam("nobody")
    user = start_user(data_dir, account=nobody)
    assert "Start Darkroom as the user the data directory belongs to" in user.fails()


def test_a_socket_directory_that_another_user_made_is_not_used(directory: Path) -> None:
    account = Account(uid=os.geteuid() + 1, gid=os.getegid(), switched=False)
    (directory / "theirs").mkdir(mode=0o700)
    assert not _reclaim(directory / "theirs", account)
    (directory / "link").symlink_to(directory / "theirs")
    assert not _reclaim(directory / "link", Account(uid=os.geteuid(), gid=os.getegid(), switched=False))


def test_a_socket_directory_needs_a_short_and_safe_parent(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account(uid=os.geteuid(), gid=os.getegid(), switched=False)
    long, shared = directory / ("long" * 30), directory / "shared"
    long.mkdir()
    shared.mkdir()
    shared.chmod(0o777)
    for unfit in (long, shared):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(unfit))
        assert unfit not in _candidates(account)
    shared.chmod(0o1777)
    assert shared in _candidates(account)


def test_a_server_that_cannot_start_leaves_no_socket_directory(data_dir: Path, start_user: StartUser) -> None:
    (data_dir / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")
    start_user(data_dir).fails()
    assert not (data_dir / "postgres.socket").exists()


def test_a_forked_child_is_no_user(directory: Path) -> None:
    with FileLock(directory / "lock") as lock:
        assert lock.try_shared()
        child = os.fork()
        if child == 0:
            signal.pause()
    try:
        with FileLock(directory / "lock") as other:
            until(other.try_exclusive)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


async def test_each_test_gets_a_clone_of_the_migrated_template_in_no_time(postgres_server: str) -> None:
    async def migrate(url: str) -> None:
        connection = await asyncpg.connect(asyncpg_dsn(url))
        await connection.execute("CREATE TABLE media (id int)")
        await connection.close()

    template = await migrated_template(postgres_server, migrate)
    started = time.monotonic()
    async with create_database(postgres_server, template) as url:
        assert time.monotonic() - started < 10  # 0.03 s; a busy machine is no failure
        await _require_answer(url, "INSERT INTO media VALUES (1) RETURNING id")
    async with create_database(postgres_server, template) as url:
        await _require_answer(url, "SELECT 1 FROM (SELECT count(*) AS n FROM media) AS m WHERE n = 0")


async def _open_and_close(data_dir: Path) -> None:
    async with embedded_postgres(data_dir):
        pass


async def _require_answer(url: str, statement: str = "SELECT 1") -> None:
    connection = await asyncpg.connect(asyncpg_dsn(url))
    try:
        assert await connection.fetchval(statement) == 1
    finally:
        await connection.close()
