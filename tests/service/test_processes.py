"""Several processes on one data directory, started and ended in every way that there is."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests import pictures
from tests.service import proc
from tests.service.client import Client, RefusedError
from tests.service.conftest import StartService, until_unused
from tests.service.patience import until
from tests.service.service import Service

SMALL = pictures.png(640, 480)
SLOW = pictures.noise_png(1920, 1080)

#: The issue's "a few", on a machine that is busy with other tests.
SECOND_START_SECONDS = 15.0

#: The close codes "going away" and "service restart".
COME_AGAIN = {1001, 1012}


async def can_upload(service: Service) -> str:
    async with Client(service.origin) as client:
        media = await client.becomes_ready(await client.upload(SMALL))
        return media.id


@pytest.mark.slow
async def test_whoever_of_two_servers_is_killed_the_other_keeps_its_database(
    data_dir: Path, start_service: StartService
) -> None:
    first, second, third = (start_service(data_dir) for _ in range(3))
    await first.start()
    await second.start()
    postmaster = first.postmaster()
    seen = [await can_upload(first), await can_upload(second)]

    first.kill9()
    seen.append(await can_upload(second))
    await third.start()
    second.kill9()
    seen.append(await can_upload(third))
    assert third.postmaster() == postmaster
    async with Client(third.origin) as client:
        assert [(await client.media(media_id)).status for media_id in seen] == ["READY"] * 4

    third.kill9()
    await until_unused(data_dir)


async def test_a_migration_beside_a_server_comes_and_goes(
    service: Service, client: Client, start_service: StartService
) -> None:
    postmaster = service.postmaster()
    migration = start_service(service.data_dir, command="migrate")
    migration.launch()
    assert await migration.ends() == 0, migration.complaint()
    for seconds in (0.3, 0.6, 0.9):
        migration.launch()
        await asyncio.sleep(seconds)
        migration.end()
    assert service.postmaster() == postmaster
    await client.becomes_ready(await client.upload(SMALL))

    service.kill9()
    migration.launch()
    assert await migration.ends() == 0, migration.complaint()
    await until_unused(service.data_dir)


@pytest.mark.parametrize("data_dir_name", ["var", "dark room: [ü] 100% 'quoted'"])
async def test_ctrl_c_leaves_nothing_and_the_second_start_finds_everything(
    data_dir: Path, start_service: StartService
) -> None:
    service = start_service(data_dir)
    await service.start()
    media_id = await can_upload(service)
    assert await service.press_ctrl_c() == 0, service.complaint()
    assert proc.users_of(data_dir) == {}
    assert service.workspaces() == []
    assert "Traceback" not in service.stderr

    assert await service.restart() < SECOND_START_SECONDS
    async with Client(service.origin) as client:
        media = await client.media(media_id)
        assert media.status == "READY"
        for rendition in media.renditions:
            assert (await client.get(rendition.url)).status_code == 200
    assert await service.press_ctrl_c() == 0


async def test_ctrl_c_in_mid_job_ends_the_streams_and_leaves_nothing(
    service: Service, client: Client
) -> None:
    streams = [client.follow_library() for _ in range(3)]
    following = [asyncio.create_task(stream.read(lambda _: False)) for stream in streams]
    await until(lambda: all(stream.events for stream in streams))
    await client.upload(SLOW)
    await until(lambda: service.child_doing("render"))
    assert await service.press_ctrl_c() == 0, service.complaint()
    for ended in await asyncio.gather(*following, return_exceptions=True):
        assert isinstance(ended, ConnectionClosed)
        assert ended.rcvd
        assert ended.rcvd.code in COME_AGAIN
    assert proc.users_of(service.data_dir) == {}
    assert service.workspaces() == []
    assert [line for line in service.logged() if line["level"] == "error"] == []


async def test_ctrl_c_while_it_starts_leaves_nothing(data_dir: Path, start_service: StartService) -> None:
    service = start_service(data_dir)
    for seconds in (0.5, 1.0, 1.5):
        service.launch()
        await asyncio.sleep(seconds)
        await service.press_ctrl_c()
        assert proc.users_of(data_dir) == {}


async def test_a_port_in_use_is_told_in_a_sentence(service: Service, start_service: StartService) -> None:
    second = start_service(service.data_dir, port=service.port)
    second.launch()
    assert await second.ends() == 1
    assert second.stderr.startswith(f"Port {service.port} of 127.0.0.1 is in use")
    assert second.stderr.count("\n") == 1
    assert second.stdout == ""
    await can_upload(service)


async def test_a_port_in_use_starts_nothing(
    other_data_dir: Path, service: Service, start_service: StartService
) -> None:
    log = (other_data_dir / "postgres.log").read_text()
    second = start_service(other_data_dir, port=service.port)
    second.launch()
    assert await second.ends() == 1
    assert proc.users_of(other_data_dir) == {}
    assert (other_data_dir / "postgres.log").read_text() == log


@pytest.fixture
def tiny_objects(data_dir: Path) -> Iterator[Path]:
    """The objects on a disk of their own that is soon full."""
    if os.geteuid() != 0:
        pytest.skip("A FULL DISK IS NOT TESTED: only root can mount a small one")
    objects = data_dir / "objects"
    objects.mkdir(mode=0o700, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", objects], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"A FULL DISK IS NOT TESTED: {mounted.stderr.decode().strip()}")
    yield objects
    subprocess.run(["umount", objects], check=True)


async def test_a_full_disk_is_told_and_leaves_nothing(
    tiny_objects: Path, start_service: StartService
) -> None:
    service = start_service(tiny_objects.parent)
    await service.start()
    before = free_bytes(tiny_objects)
    async with Client(service.origin) as client:
        requested = await client.request_upload(SLOW)
        refused = await client.put(requested, SLOW)
        assert refused.status_code == 507
        assert refused.json()["error"]["code"] == "STORAGE_FULL"
        assert service.leftovers() == []
        assert free_bytes(tiny_objects) == before
        with pytest.raises(RefusedError) as told:
            await client.finalize(requested)
        assert told.value.codes == ["OBJECT_MISSING"]
        assert (await client.media(requested.media_id)).status == "UPLOADING"
    await can_upload(service)


def free_bytes(directory: Path) -> int:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


async def test_a_second_signal_does_not_wait_for_a_frozen_database(service: Service) -> None:
    postmaster = service.postmaster()
    frozen = [postmaster, *proc.children_of(postmaster)]
    for pid in frozen:
        proc.stop(pid)
    try:
        os.kill(service.pid, signal.SIGTERM)
        await asyncio.sleep(0.5)
        os.kill(service.pid, signal.SIGTERM)
        assert await service.ends() == 1
        assert len(service.logged("ended_unfinished")) == 1
    finally:
        for pid in frozen:
            with suppress(ProcessLookupError):
                proc.go_on(pid)
