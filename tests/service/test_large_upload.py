"""A large file by the command line, whose process is killed again and again and goes on with the rest.

60 MB and 4 kills; with DARKROOM_TEST_LARGE=1 it is 600 MB and 20.
"""

import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests import pictures
from tests.corpus import CHECKOUT
from tests.ministack import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from tests.ministack import bucket as bucket
from tests.ministack import ministack as ministack
from tests.service import proc
from tests.service.conftest import StartService
from tests.service.counting_relay import CountingRelay
from tests.service.service import Service, free_port

IS_LARGE = os.environ.get("DARKROOM_TEST_LARGE") == "1"
FILE_BYTES, KILLS = (600_000_000, 20) if IS_LARGE else (60_000_000, 4)
PART_BYTES = 5 * 1024 * 1024
MULTIPART_BYTES = "104857600" if IS_LARGE else "30000000"
PARTS = -(-FILE_BYTES // PART_BYTES)

#: What the service may need more while it takes the file, however large that is.
GROWTH_BYTES = 20_000_000

_SEED = 20_261_121


@pytest.fixture
def film(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "film.tif"
    write_film(path, byte_size=FILE_BYTES, seed=_SEED)
    yield path
    path.unlink()


def write_film(path: Path, *, byte_size: int, seed: int) -> None:
    """A picture that is followed by noise, which no decoder minds and no compression shortens."""
    noise = random.Random(seed)
    with path.open("wb") as file:
        left = byte_size - file.write(pictures.tiff())
        while left:
            left -= file.write(noise.randbytes(min(left, 1_000_000)))


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`darkroom` for one user, whose commands all note in one place what is under way."""

    origin: str
    state_home: Path

    @contextmanager
    def started(self, *arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", *map(str, arguments)],
            cwd=CHECKOUT,
            env={**_environment(), "DARKROOM_URL": self.origin, "XDG_STATE_HOME": str(self.state_home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    async def run(self, *arguments: str | Path) -> bytes:
        """What it prints; it has to succeed."""
        with self.started(*arguments) as process:
            stdout, stderr = await asyncio.to_thread(process.communicate, timeout=300)
            assert process.returncode == 0, stderr.decode()
        return stdout


async def killed_after(
    commands: CommandLine, relay: CountingRelay, parts: int, *arguments: str | Path
) -> None:
    """Start the command and kill it at the moment when the last byte of so many more parts has passed."""
    wanted = relay.parts.total() + parts
    with commands.started("upload", *arguments) as process:

        def kill() -> None:
            if relay.parts.total() >= wanted:
                process.kill()
                relay.cut()

        relay.on_part = kill
        await asyncio.to_thread(process.wait, timeout=120)
        relay.on_part = lambda: None
        assert process.returncode == -9, process.communicate()


@asynccontextmanager
async def memory_of(service: Service) -> AsyncIterator[list[int]]:
    """The bytes that the service's process held, at many moments within the block."""
    samples = [proc.resident_bytes(service.pid)]

    async def sample() -> None:
        while True:
            samples.append(proc.resident_bytes(service.pid))
            await asyncio.sleep(0.05)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()


@pytest.mark.slow
async def test_a_client_that_is_killed_again_and_again_sends_the_file_once_to_a_disk(
    data_dir: Path, start_service: StartService, tmp_path: Path, film: Path
) -> None:
    port = free_port()
    async with CountingRelay(port).running() as relay:
        service = start_service(
            data_dir, port=port, DARKROOM_PUBLIC_URL=relay.origin, DARKROOM_MULTIPART_BYTES=MULTIPART_BYTES
        )
        await sends_the_file_once(service, relay, film, tmp_path)


@pytest.mark.slow
async def test_a_client_that_is_killed_again_and_again_sends_the_file_once_to_s3(
    data_dir: Path, start_service: StartService, tmp_path: Path, film: Path, ministack: str, bucket: str
) -> None:
    async with CountingRelay(urlsplit(ministack).port or 80).running() as relay:
        service = start_service(
            data_dir,
            DARKROOM_MULTIPART_BYTES=MULTIPART_BYTES,
            DARKROOM_STORAGE_URL=f"s3://{bucket}",
            DARKROOM_S3_ENDPOINT_URL=ministack,
            DARKROOM_S3_PUBLIC_ENDPOINT_URL=relay.origin,
            DARKROOM_S3_REGION=REGION,
            DARKROOM_S3_ACCESS_KEY_ID=ACCESS_KEY_ID,
            DARKROOM_S3_SECRET_ACCESS_KEY=SECRET_ACCESS_KEY,
        )
        await sends_the_file_once(service, relay, film, tmp_path)


async def sends_the_file_once(service: Service, relay: CountingRelay, film: Path, directory: Path) -> None:
    """`relay` is what the signed addresses lead through."""
    await service.start()
    commands = CommandLine(service.origin, directory / "state")
    await warmed_up(commands, directory)
    relay.forget()
    async with memory_of(service) as samples:
        await interrupted_often(commands, relay, film)
        [document] = documents(await commands.run("upload", "--resume", "--json"))
    assert (document["status"], document["error"]) == ("READY", None)
    twice = relay.parts.total() - PARTS
    growth = max(samples) - samples[0]
    print(f"{FILE_BYTES:,} bytes, {KILLS} kills: {twice} parts twice, {growth:,} bytes grown")  # noqa: T201
    assert set(relay.parts) == set(range(1, PARTS + 1))
    assert twice <= KILLS
    assert growth < GROWTH_BYTES
    await commands.run("download", document["id"], "-o", directory / "stored")
    assert digest_of(directory / "stored") == digest_of(film)
    assert list((directory / "state" / "darkroom" / "uploads").iterdir()) == []


async def interrupted_often(commands: CommandLine, relay: CountingRelay, film: Path) -> None:
    """Each time at a random part, so that none of them is the last."""
    chance = random.Random(_SEED)
    most = (PARTS - 8) // KILLS
    await killed_after(commands, relay, chance.randint(1, most), film)
    for _ in range(KILLS - 1):
        sent = relay.parts.copy()
        await killed_after(commands, relay, chance.randint(1, most), "--resume")
        again = sum((relay.parts - sent)[number] for number in sent)
        assert again <= 1, f"{again} parts were sent twice after one kill: {relay.parts}"


async def warmed_up(commands: CommandLine, directory: Path) -> None:
    """A file in parts came before: what is measured is what the size of the next one costs."""
    first = directory / "first.tif"
    write_film(first, byte_size=int(MULTIPART_BYTES) + PART_BYTES, seed=_SEED + 1)
    await commands.run("upload", first)


def documents(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
