"""A backup is whole, private, and made while the service goes on; what can't be backed up is said."""

import asyncio
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.operations.archive import ArchiveReader
from app.operations.errors import OperationError
from app.operations.postgres_programs import libpq_environment, require_server, without_new_settings
from db.migrate import expected_revision
from tests import pictures
from tests.container_files import CHECKOUT
from tests.operations.commands import Operations
from tests.service.client import Client
from tests.service.conftest import StartService
from tests.service.service import Service


async def test_while_uploads_go_on_everything_that_was_ready_is_in_it(
    service: Service, client: Client, operations: Operations, archive: Path, start_service: StartService
) -> None:
    before = {size: pictures.png(200 + size, 150) for size in range(4)}
    ids = {await client.upload(data, anew=False): data for data in before.values()}
    for media_id in ids:
        await client.becomes_ready(media_id)
    more: dict[str, bytes] = {}
    enough = asyncio.Event()

    async def go_on() -> None:
        while not enough.is_set():
            data = pictures.png(300 + len(more), 200)
            more[await client.upload(data, anew=False)] = data

    uploading = asyncio.create_task(go_on())
    said = await operations.backup(service.data_dir, archive, "--json")
    enough.set()
    await uploading
    assert (said.code, said.stderr) == (0, "")
    assert said.document["media"] >= len(ids)
    assert said.document["missing"] == 0
    assert len(more) > 0
    assert archive.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in operations.directory.iterdir()) == [archive.name]

    fresh = operations.directory / "fresh"
    restored = await operations.restore(fresh, archive, "--json")
    assert restored.code == 0, restored.stderr
    assert restored.document["media"] == said.document["media"]
    other = start_service(fresh)
    await other.start()
    async with Client(other.origin) as reader:
        listed = await reader.ask("{ mediaItems(first: 100) { nodes { id status } } }")
        found = {item["id"]: item["status"] for item in listed["mediaItems"]["nodes"]}
        assert {media_id: found[media_id] for media_id in ids} == dict.fromkeys(ids, "READY")
        for media_id in found:  # what was in work when the snapshot was taken goes on
            if found[media_id] != "UPLOADING":
                await reader.becomes_ready(media_id)
                await has_its_bytes(reader, media_id, {**ids, **more}[media_id])
    assert await other.stop() == 0


async def has_its_bytes(client: Client, media_id: str, data: bytes) -> None:
    query = "query ($id: ID!) { media(id: $id) { sha256 download { url } renditions { size url { url } } } }"
    media = (await client.ask(query, id=media_id))["media"]
    assert media["sha256"] == hashlib.sha256(data).hexdigest()
    assert (await client.get(media["download"]["url"])).content == data
    assert media["renditions"]
    for rendition in media["renditions"]:
        assert len((await client.get(rendition["url"]["url"])).content) == rendition["size"]


async def test_any_tar_and_sha256sum_can_check_it(
    service: Service, client: Client, operations: Operations, archive: Path
) -> None:
    await client.becomes_ready(await client.upload(pictures.png(200, 100)))
    assert (await operations.backup(service.data_dir, archive)).code == 0
    unpacked = operations.directory / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", unpacked], check=True)
    subprocess.run(["sha256sum", "--quiet", "--check", "--strict", "SHA256SUMS"], cwd=unpacked, check=True)
    manifest = json.loads((unpacked / "manifest.json").read_text())
    assert manifest["revision"] == expected_revision()
    secret = (service.data_dir / "secret").read_bytes()
    assert secret not in archive.read_bytes()


async def test_it_is_also_made_while_nothing_runs_and_overwrites_only_when_told(
    data_dir: Path, operations: Operations, archive: Path, start_service: StartService
) -> None:
    service = start_service(data_dir)
    await service.start()
    await service.stop()
    assert (await operations.backup(data_dir, archive)).code == 0
    first = archive.read_bytes()
    refused = await operations.backup(data_dir, archive)
    assert refused.code == 1
    assert refused.stderr == f"{archive} exists: name another file, or replace it with --force.\n"
    assert archive.read_bytes() == first
    assert (await operations.backup(data_dir, archive, "--force")).code == 0
    assert archive.read_bytes() != first


async def test_without_an_installation_nothing_is_created(operations: Operations, archive: Path) -> None:
    nowhere = operations.directory / "nowhere"
    said = await operations.backup(nowhere, archive)
    assert said.code == 1
    assert said.stderr.startswith(f"There is nothing to back up: {nowhere} holds no database.")
    assert list(operations.directory.iterdir()) == []


async def test_an_object_that_was_lost_is_named_and_the_rest_is_backed_up(
    service: Service, client: Client, operations: Operations, archive: Path
) -> None:
    await client.becomes_ready(await client.upload(pictures.png(200, 100)))
    [lost, *_] = (service.data_dir / "objects").rglob("*.webp")
    lost.unlink()
    said = await operations.backup(service.data_dir, archive, "--json")
    assert said.code == 1
    assert said.document["missing"] == 1
    assert said.document["objects"] > 0
    assert str(lost.relative_to(service.data_dir / "objects")) in said.stderr
    ArchiveReader(archive).verify()


async def test_without_room_nothing_half_is_left(
    service: Service, client: Client, operations: Operations, archive: Path
) -> None:
    await client.becomes_ready(await client.upload(pictures.noise_png(400, 300)))
    process = await asyncio.create_subprocess_exec(
        *("prlimit", f"--fsize={200 * 1024}", "--"),
        *(sys.executable, "-m", "app", "backup", str(archive)),
        cwd=CHECKOUT,
        env={**os.environ, "DARKROOM_DATA_DIR": str(service.data_dir)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode == 1
    expected = f"The backup in {operations.directory} failed: there is no room. Nothing was kept."
    assert stderr.decode().strip() == expected
    assert list(operations.directory.iterdir()) == []


async def test_a_killed_backup_leaves_nothing_in_the_way_of_the_next(
    service: Service, client: Client, operations: Operations, archive: Path
) -> None:
    await client.becomes_ready(await client.upload(pictures.png(200, 100)))
    partial = archive.with_name(f"{archive.name}.partial")
    process = await operations.start("backup", archive, DARKROOM_DATA_DIR=str(service.data_dir))
    while not partial.exists():
        await asyncio.sleep(0.005)
    process.kill()
    await process.wait()
    assert not archive.exists()
    assert (await operations.backup(service.data_dir, archive)).code == 0
    assert not partial.exists()
    ArchiveReader(archive).verify()


def foreign_file(partial: Path) -> None:
    partial.write_bytes(b"theirs")
    os.chown(partial, 65534, 65534)


def pipe(partial: Path) -> None:
    os.mkfifo(partial)


def link(partial: Path) -> None:
    """A second name of a file that somebody needs: an archive, say."""
    needed = partial.with_name("needed")
    needed.write_bytes(b"needed")
    partial.hardlink_to(needed)


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(
            foreign_file,
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: only root gives away"),
        ),
        pipe,
        link,
    ],
)
async def test_what_others_put_in_its_place_does_not_become_the_archive(
    prepare: Callable[[Path], None], service: Service, operations: Operations, archive: Path
) -> None:
    """They could write into it, or hold it open and read it."""
    partial = archive.with_name(f"{archive.name}.partial")
    prepare(partial)
    before = partial.lstat()
    said = await operations.backup(service.data_dir, archive)
    assert said.code == 1
    assert said.stderr == f"{partial} is in the way and no backup's of yours: remove it if nobody needs it.\n"
    after = partial.lstat()
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert not archive.exists()


async def test_a_symbolic_link_in_its_place_is_not_followed(
    service: Service, operations: Operations, archive: Path
) -> None:
    target = operations.directory / "target"
    archive.with_name(f"{archive.name}.partial").symlink_to(target)
    said = await operations.backup(service.data_dir, archive)
    assert said.code == 1
    assert said.stderr.startswith(f"The backup in {operations.directory} failed: ")
    assert not target.exists()


async def test_an_interrupted_backup_tidies_up(
    service: Service, operations: Operations, archive: Path
) -> None:
    partial = archive.with_name(f"{archive.name}.partial")
    process = await operations.start("backup", archive, DARKROOM_DATA_DIR=str(service.data_dir))
    while not partial.exists():
        await asyncio.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()
    assert (process.returncode, stderr.decode()) == (130, "Interrupted: nothing was kept.\n")
    assert list(operations.directory.iterdir()) == []


def test_a_server_newer_than_our_pg_dump_is_refused_in_a_sentence() -> None:
    require_server(18)
    with pytest.raises(OperationError, match="The server is PostgreSQL 19 and Darkroom's pg_dump is 18"):
        require_server(19)


def test_address_and_password_go_by_the_environment() -> None:
    url = "postgresql+asyncpg://me:p%40ss@db.example.com:6543/pictures?ssl=require"
    environment = libpq_environment(url)
    wanted = {
        "PGHOST": "db.example.com",
        "PGPORT": "6543",
        "PGUSER": "me",
        "PGPASSWORD": "p@ss",
        "PGDATABASE": "pictures",
        "PGSSLMODE": "require",
    }
    assert wanted.items() <= environment.items()


def test_servers_before_17_are_spared_a_setting_that_they_do_not_know() -> None:
    line = b"\nSET transaction_timeout = 0;\n"
    script = b"SET lock_timeout = 0;" + line + b"SET x = 1;\n"
    assert without_new_settings(script) == b"SET lock_timeout = 0;\nSET x = 1;\n"
    far_in_the_data = b"x" * 5000 + line
    assert without_new_settings(far_in_the_data) == far_in_the_data


def test_what_tar_reads_is_not_kept_in_memory(archive: Path) -> None:
    """One entry an object would be gigabytes for a large library."""
    with tarfile.open(archive, "w") as tar:
        for number in range(20_000):
            tar.addfile(tarfile.TarInfo(f"objects/a/{number}"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in ArchiveReader(archive).content()) == 20_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024
