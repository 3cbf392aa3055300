"""The doctor finds each thing that was broken, says so in a sentence, and changes nothing."""

import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from app import graphiql_page
from app.embedded_postgres import asyncpg_dsn, binaries
from app.operations import (
    check_data,
    check_graphiql,
    check_limits,
    check_network,
    check_pictures,
    check_programs,
    check_python,
    postgres_programs,
)
from app.operations.check_database import check_private, check_url, check_version
from app.operations.findings import Finding, State
from app.operations.unfinished import Mark, write_mark
from app.settings import Settings
from pipeline import process
from pipeline.sniff import SUPPORTED_IMAGES
from tests.operations.commands import Operations
from tests.operations.tcp_postgres import tcp_postgres
from tests.service.service import Service, free_port

PASSWORD = "canary-password-4711"
GIBIBYTE = 1024**3


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def tree(directory: Path) -> dict[str, tuple[int, int]]:
    """What lies there, with modes and sizes; PostgreSQL's own files change by themselves."""
    return {
        str(path.relative_to(directory)): (path.stat().st_mode, path.stat().st_size)
        for path in directory.rglob("*")
        if "postgres" not in path.relative_to(directory).parts[0]
    }


def is_problem(finding: Finding, *words: str) -> bool:
    return finding.state is State.PROBLEM and all(word in finding.sentence for word in words)


async def test_while_the_service_runs_all_is_well_and_nothing_changes(
    service: Service, operations: Operations
) -> None:
    before = tree(service.data_dir)
    where = {"DARKROOM_DATA_DIR": str(service.data_dir), "DARKROOM_PORT": str(service.port)}
    said = await operations.run("doctor", "--json", **where)
    assert said.code == 0, said.stdout
    found = {document["check"]: document for document in said.documents}
    assert [name for name, each in found.items() if each["state"] == "problem"] == []
    assert found["port"]["sentence"].startswith("Darkroom answers on port")
    assert found["database"]["sentence"] == "PostgreSQL 18.4 answers at the private server."
    assert found["objects"]["sentence"].endswith("can be written and read.")
    assert found["sandbox"]["state"] == "warning"
    expected = {"python", "packages", "pictures", "child-limits", "sandbox", "open-files", "memory", "clock"}
    expected |= {"data", "room", "restore", "objects", "secret", "postgresql", "database", "revision"}
    expected |= {"rights", "connections", "clocks", "port", "addresses", "programs", "graphiql"}
    assert expected <= set(found)
    [pictures] = [document for document in said.documents if document["check"] == "pictures"]
    assert pictures["state"] == "ok"
    assert all(each["advice"] for each in found.values() if each["state"] != "ok")
    assert tree(service.data_dir) == before

    assert await service.stop() == 0
    stopped = await operations.run("doctor", **where)
    assert stopped.code == 0, stopped.stdout
    assert "The private PostgreSQL does not run now" in stopped.stdout
    assert f"Port {service.port} of 127.0.0.1 is free" in stopped.stdout
    assert not (service.data_dir / "postgres" / "postmaster.pid").exists()


async def test_before_the_first_start_nothing_is_created(operations: Operations) -> None:
    nowhere = operations.directory / "nowhere"
    said = await operations.run("doctor", DARKROOM_DATA_DIR=str(nowhere), DARKROOM_PORT=str(free_port()))
    assert said.code == 0, said.stdout
    assert "the first start creates it" in said.stdout
    assert list(operations.directory.iterdir()) == []


async def test_settings_that_cannot_be_meant_are_a_finding(operations: Operations) -> None:
    said = await operations.run("doctor", "--json", DARKROOM_PORT="http", DARKROOM_SECRET="canary")
    assert said.code == 1
    problems = [each["sentence"] for each in said.documents if each["state"] == "problem"]
    assert [sentence.partition(":")[0] for sentence in problems] == ["DARKROOM_PORT", "DARKROOM_SECRET"]
    assert "canary" not in said.stdout + said.stderr


def test_python_and_packages(tmp_path: Path) -> None:
    assert is_problem(check_python.check_version((3, 10, 2)), "Python 3.10.2", "needs 3.11")
    lock = tmp_path / "requirements.lock"
    lock.write_text("typer==0.0.1 \\\n    --hash=x\nno-such-package==1.0 \\\nother==2 ; os_name == 'nt' \\\n")
    found = check_python.check_packages(lock)
    assert is_problem(found, "typer 0.0.1 is ", "no-such-package 1.0 is missing")
    assert "other" not in found.sentence
    assert check_python.check_packages(tmp_path / "none").state is State.WARNING


async def test_a_child_that_cannot_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CHILD", Path("/nowhere/child.py"))
    [found, _sandbox] = await check_pictures.check(settings())
    assert is_problem(found, "A PNG picture can't be processed", "No such file")


async def test_every_kind_of_picture_is_tried() -> None:
    found = await check_pictures.check(settings())
    [pictures] = [finding for finding in found if finding.check == "pictures"]
    assert pictures.state is State.OK, pictures.sentence
    read = pictures.sentence.removeprefix("The decoding child reads ").partition(", and writes")[0]
    assert {*SUPPORTED_IMAGES.values(), "APNG"} == set(read.replace(" and ", ", ").split(", "))


async def test_without_the_decoder_of_jpeg_xl_all_is_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(check_pictures, "ITS_PACKAGE", "pillow_jxl_that_is_not_installed")
    found = await check_pictures.check(settings())
    assert found[0].state is State.OK
    assert "JPEG XL is left out of this installation." in found[0].sentence
    assert found[0].sentence.count("JPEG XL") == 1
    lock = tmp_path / "requirements.lock"
    lock.write_text("pillow-jxl-plugin==1.3.8 \\\n    --hash=x\n")
    monkeypatch.setattr(check_python, "distributions", lambda: [])
    assert check_python.check_packages(lock).state is State.OK
    other = SimpleNamespace(metadata={"Name": "pillow_jxl_plugin"}, version="1.0")
    monkeypatch.setattr(check_python, "distributions", lambda: [other])
    assert is_problem(check_python.check_packages(lock), "pillow-jxl-plugin 1.3.8 is 1.0")


async def test_pictures_are_tried_within_the_limits_of_the_settings() -> None:
    [found, *_] = await check_pictures.check(settings(max_pixels=100))
    assert found.state is State.WARNING
    assert "Even a tiny PNG picture is refused" in found.sentence
    assert "DARKROOM_MAX_PIXELS" in found.advice


async def test_graphiql_without_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphiql_page, "BUILT", tmp_path)
    [found] = await check_graphiql.check(settings())
    assert is_problem(found, str(tmp_path / "index.html"), "is missing")
    [found] = await check_graphiql.check(settings(graphiql=False))
    assert found.state is State.OK


@pytest.mark.parametrize("name", check_programs.PROGRAMS)
def test_a_program_of_backups_that_cannot_be_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = binaries()
    for each in check_programs.PROGRAMS:
        (tmp_path / each).symlink_to("/nowhere" if each == name else whole / each)
    monkeypatch.setattr(postgres_programs, "binaries", lambda: tmp_path)
    assert is_problem(check_programs.check_programs(), f"{name} can't be run")


async def test_a_kernel_that_does_not_limit_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one would that lets the child have all that it wants."""
    monkeypatch.setattr(check_pictures, "TOO_LITTLE_MEMORY", GIBIBYTE)
    found = {finding.check: finding for finding in await check_pictures.check(settings())}
    assert is_problem(found["child-limits"], "does not limit the memory")


def test_open_files_memory_and_clock() -> None:
    assert is_problem(check_limits.check_open_files(100), "Only 100 files")
    assert check_limits.check_open_files(512).state is State.WARNING
    assert check_limits.check_open_files(resource.RLIM_INFINITY).state is State.OK
    assert "The largest would not fit" in check_limits.check_memory(GIBIBYTE, 2).sentence
    few = check_limits.check_memory(4 * GIBIBYTE, 8)
    assert few.state is State.WARNING
    assert "DARKROOM_WORKER_SLOTS=2" in few.advice
    assert check_limits.check_memory(64 * GIBIBYTE, 8).state is State.OK
    assert is_problem(
        check_limits.check_clock(0, 1_700_000_000), "1970-01-01", "before this code was written"
    )


def test_the_data_directory(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    assert is_problem(next(check_data.check_directory(open_to_all)), "Everybody", "mode 0777")
    file = tmp_path / "file"
    file.touch()
    assert is_problem(next(check_data.check_directory(file)), "is no directory")


def test_room() -> None:
    assert is_problem(check_data.check_room(Path("/proc"), 1), "Only 0.0 GiB are free")
    assert check_data.check_room(Path("/"), 10**18).state is State.WARNING


@contextmanager
def full_disk() -> Iterator[None]:
    """Not a byte can be written: the kernel's limit of a file stands for it, also for pytest's own output."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_an_object_store_on_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "objects" / ".incoming").mkdir(parents=True)
    with full_disk():
        found = await check_data.check_store(tmp_path)
    assert is_problem(found, "no room")


async def test_an_object_store_whose_disk_is_not_mounted(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    found = await check_data.check_store(tmp_path)
    assert is_problem(found, "has no .incoming")
    assert found.advice == "Is its disk mounted?"
    assert list((tmp_path / "objects").iterdir()) == []


def test_a_secret_that_others_can_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 64)
    secret.chmod(0o644)
    found = check_data.check_secret(settings(data_dir=tmp_path))
    assert is_problem(found, "Others than its owner", "mode 0644")
    assert f"chmod 600 '{secret}'" in found.advice
    secret.chmod(0o600)
    assert check_data.check_secret(settings(data_dir=tmp_path)).state is State.OK
    secret.write_bytes(b"short")
    assert is_problem(check_data.check_secret(settings(data_dir=tmp_path)), "has 5 bytes")


def test_an_env_file_that_others_can_read(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    assert list(check_data.check_env_file(env)) == []
    env.write_text(f"POSTGRES_PASSWORD={PASSWORD}\n")
    env.chmod(0o644)
    [found] = check_data.check_env_file(env)
    assert is_problem(found, "Others can read the secrets in")
    assert PASSWORD not in found.sentence


def test_an_unfinished_restore(tmp_path: Path) -> None:
    write_mark(tmp_path, Mark(archive="backup.tar", sums_sha256="0"))
    assert is_problem(check_data.check_restore(tmp_path), "A restore of backup.tar", "was interrupted")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database() -> AsyncIterator[str]:
    async with tcp_postgres(PASSWORD) as url:
        yield url


@pytest.mark.asyncio(loop_scope="module")
async def test_a_database_that_was_never_migrated_or_lets_us_do_nothing(database: str) -> None:
    found = {finding.check: finding for finding in await check_url(database)}
    assert is_problem(found["revision"], "at revision none")
    assert found["rights"].state is State.OK

    connection = await asyncpg.connect(asyncpg_dsn(database))
    await connection.execute(f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'")
    await connection.close()
    found = {each.check: each for each in await check_url(database.replace("darkroom:", "guest:"))}
    assert is_problem(found["rights"], "may not create tables")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("4711", "0815", "it refuses the user or the password"),
        ("/darkroom", "/nothing", "it has no such database"),
        ("postgresql+asyncpg://", "mysql://", "no address that Darkroom can use"),
        ("@127.0.0.1", "@[", "no address that Darkroom can use"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_address_that_is_wrong(old: str, new: str, words: str, database: str) -> None:
    [found] = await check_url(new.join(database.rsplit(old, 1)))
    assert is_problem(found, words)
    assert "canary" not in found.sentence + found.advice


async def test_a_database_that_is_not_there() -> None:
    [found] = await check_url(f"postgresql+asyncpg://me:{PASSWORD}@127.0.0.1:{free_port()}/darkroom")
    assert is_problem(found, "The PostgreSQL at 127.0.0.1 can't be used")
    assert "canary" not in found.sentence
    assert "Is it running" in found.advice


def test_a_server_that_is_too_old() -> None:
    assert is_problem(
        check_version(SimpleNamespace(major=14, minor=0, micro=9), "db"), "PostgreSQL 14.9", "needs 15"
    )


def test_a_server_that_is_newer_than_our_pg_dump() -> None:
    found = check_version(SimpleNamespace(major=19, minor=0, micro=1), "db")
    assert found.state is State.WARNING
    assert "PostgreSQL 19.1 answers at db" in found.sentence
    assert "`backup` refuses" in found.sentence
    assert "pg_dump" in found.advice


async def test_a_private_database_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("14\n")
    [_, found] = await check_private(tmp_path)
    assert is_problem(found, "was made by PostgreSQL 14")


def test_a_port_that_something_else_uses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(5)
        port = other.getsockname()[1]
        found = _while_it_hangs_up(other, port)
    assert is_problem(found, f"Port {port} of 127.0.0.1 is used by something else")


def _while_it_hangs_up(other: socket.socket, port: int) -> Finding:
    from threading import Thread

    def hang_up() -> None:
        for _ in range(2):
            other.accept()[0].close()

    thread = Thread(target=hang_up)
    thread.start()
    try:
        return check_network.check_port("127.0.0.1", port)
    finally:
        thread.join()


def test_an_address_that_is_not_this_machine_s() -> None:
    assert is_problem(check_network.check_port("192.0.2.1", 8000), "can't listen on 192.0.2.1")


@pytest.mark.parametrize(
    ("values", "state", "words"),
    [
        ({"host": "0.0.0.0"}, State.PROBLEM, "does not listen on 0.0.0.0"),
        ({"public_url": "http://media.example.com"}, State.WARNING, "is not encrypted"),
        ({"allowed_hosts": ("*",)}, State.PROBLEM, "DNS rebinding"),
        ({"allowed_hosts": ("https://a.example.com",)}, State.PROBLEM, "is no host name"),
        ({"cors_origins": ("*",)}, State.PROBLEM, "the pages of every site"),
        ({"cors_origins": ("http://localhost:5173/",)}, State.PROBLEM, "no browser ever sends"),
        (
            {"host": "0.0.0.0", "allow_anonymous": True, "public_url": "https://media.example.com"},
            State.WARNING,
            "is admin",
        ),
    ],
)
def test_addresses_that_do_not_fit(values: dict[str, Any], state: State, words: str) -> None:
    [found] = check_network.check_addresses(settings(**values))
    assert found.state is state
    assert words in found.sentence
    assert found.advice


def test_addresses_that_fit() -> None:
    [found] = check_network.check_addresses(
        settings(public_url="https://media.example.com", cors_origins=("https://app.example.com",))
    )
    assert found.state is State.OK
