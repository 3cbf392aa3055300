"""A gigabyte in parts to an S3 store: our command line, and boto3's `upload_file` set alike."""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pyvips

from bench.processes import clean_environment, free_port, running
from bench.report import CHECKOUT, Result, ratios, spread
from bench.service import Installation, service

PART_BYTES = 5 * 1024 * 1024
CONNECTIONS = 4

BUCKET, REGION = "darkroom-bench", "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION}

#: One process for each transfer, as ours is one: the imports belong to both.
THEIRS = """
import sys, boto3
from boto3.s3.transfer import TransferConfig
endpoint, bucket, path, part_bytes, connections = sys.argv[1:]
config = TransferConfig()
if int(part_bytes):
    config = TransferConfig(
        multipart_chunksize=int(part_bytes), max_concurrency=int(connections)
    )
boto3.client("s3", endpoint_url=endpoint).upload_file(path, bucket, "theirs", Config=config)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds on the clock, and of user and system time of the client's process."""

    wall: float
    cpu: float


async def measure(home: Installation, *, rounds: int, byte_size: int) -> Result:
    """All in turn, `rounds` times, each time with other bytes: nothing of them is known already."""
    file, noise = home.directory / "film.tif", random.Random(1)
    write(file, noise, byte_size)
    ours, same, defaults = list[Run](), list[Run](), list[Run]()
    async with store(home) as endpoint:
        s3 = partial(boto3.client, "s3", endpoint_url=endpoint, **_credentials())
        await asyncio.to_thread(lambda: s3().create_bucket(Bucket=BUCKET))
        async with service(home, settings=settings(endpoint)) as running_service:
            for _ in range(rounds):
                alter(file, noise)
                ours.append(await run_ours(running_service.origin, home, file))
                await asyncio.to_thread(empty, s3(), byte_size)
                same.append(await run_theirs(endpoint, home, file, PART_BYTES, CONNECTIONS))
                await asyncio.to_thread(empty, s3(), byte_size)
                defaults.append(await run_theirs(endpoint, home, file, 0, 0))
                await asyncio.to_thread(empty, s3(), byte_size)
    file.unlink()
    return result(byte_size, ours, same, defaults)


async def run_ours(origin: str, home: Installation, file: Path) -> Run:
    """To the finalized upload; what is still processed then is cancelled, so as not to be in the way."""
    command = ["-m", "app", "upload", str(file), "--no-watch", "--parallel", str(CONNECTIONS)]
    environment = {"DARKROOM_URL": origin, "XDG_STATE_HOME": str(home.directory / "state")}
    run, output = await timed(command, environment)
    with suppress(RuntimeError):  # it is READY
        await timed(["-m", "app", "cancel", output.split()[-1]], environment)
    return run


async def run_theirs(endpoint: str, home: Installation, file: Path, part_bytes: int, connections: int) -> Run:
    arguments = [endpoint, BUCKET, str(file), str(part_bytes), str(connections)]
    run, _ = await timed(["-c", THEIRS, *arguments], {**KEYS, "HOME": str(home.directory)})
    return run


async def timed(command: Sequence[str], environment: Mapping[str, str]) -> tuple[Run, str]:
    """Raises RuntimeError when the process fails."""
    before, began = os.times(), time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=CHECKOUT,
        env={**clean_environment(), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    wall, after = time.perf_counter() - began, os.times()
    if process.returncode:
        raise RuntimeError(f"The client failed:\n{stderr.decode()[-2_000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(wall, cpu), stdout.decode()


@asynccontextmanager
async def store(home: Installation) -> AsyncIterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "bench.lean_store", str(port)]
    log = home.directory / "store.log"
    async with running(command, environment=clean_environment(), log=log, port=port):
        yield f"http://127.0.0.1:{port}"


def settings(endpoint: str) -> Mapping[str, str]:
    return {
        "DARKROOM_STORAGE_URL": f"s3://{BUCKET}",
        "DARKROOM_S3_ENDPOINT_URL": endpoint,
        "DARKROOM_S3_REGION": REGION,
        "DARKROOM_S3_ACCESS_KEY_ID": KEYS["AWS_ACCESS_KEY_ID"],
        "DARKROOM_S3_SECRET_ACCESS_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
    }


def empty(s3: Any, byte_size: int) -> None:
    """Raises RuntimeError unless a whole file was there."""
    entries = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    if byte_size not in [entry["Size"] for entry in entries]:
        raise RuntimeError("The store does not hold the file.")
    for entry in entries:
        s3.delete_object(Bucket=BUCKET, Key=entry["Key"])


def write(path: Path, noise: random.Random, byte_size: int) -> None:
    """A picture that is followed by noise."""
    with path.open("wb") as file:
        left = byte_size - file.write(pyvips.Image.black(64, 48).tiffsave_buffer())
        while left:
            left -= file.write(noise.randbytes(min(left, 10_000_000)))


def alter(path: Path, noise: random.Random) -> None:
    """Some bytes of each part."""
    with path.open("r+b") as file:
        for offset in range(PART_BYTES // 2, path.stat().st_size, PART_BYTES):
            file.seek(offset)
            file.write(noise.randbytes(16))


def result(byte_size: int, ours: Sequence[Run], same: Sequence[Run], defaults: Sequence[Run]) -> Result:
    names = {
        "Darkroom, parts of 5 MiB, 4 connections": ours,
        "boto3, parts of 5 MiB, 4 connections": same,
        "boto3 as it comes: parts of 8 MiB, 10 connections": defaults,
    }
    rows = [
        [
            name,
            spread(_throughput(runs, byte_size)),
            spread([run.wall for run in runs], 1),
            spread(_cpu(runs), 1),
        ]
        for name, runs in names.items()
    ]
    rows += [
        [
            f"**Darkroom / {name}**",
            f"**{spread(ratios(_throughput(ours, byte_size), _throughput(runs, byte_size)), 2)}**",
            "",
            f"**{spread(ratios(_cpu(ours), _cpu(runs)), 2)}**",
        ]
        for name, runs in (("boto3, alike", same), ("boto3 as it comes", defaults))
    ]
    return Result(
        title="transfer: a file in parts to S3",
        method=f"{byte_size:,} bytes to a lean store in turn, {len(ours)} rounds; a process each, whole.",
        columns=["client", "MB/s", "wall, s", "CPU of the client, s"],
        rows=rows,
        samples={f"{name}, wall": [run.wall for run in runs] for name, runs in names.items()},
    )


def _throughput(runs: Sequence[Run], byte_size: int) -> list[float]:
    return [byte_size / 1e6 / run.wall for run in runs]


def _cpu(runs: Sequence[Run]) -> list[float]:
    return [run.cpu for run in runs]


def _credentials() -> dict[str, str]:
    return {
        "region_name": REGION,
        "aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"],
    }
