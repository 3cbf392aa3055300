"""A photograph from request to READY over the network, against libvips making the same files."""

import asyncio
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.client import MEDIA_STATUS, Client, connected, live_socket
from bench.image_chain import BARE_CHAIN, LIMITS, photograph
from bench.processes import tree_cpu_seconds
from bench.report import Result, ratios, spread
from bench.service import Installation, Service, service


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Seconds. `arriving`: from requestUpload to the end of the PUT; `developing`: from finalize to READY."""

    wall: float
    cpu: float
    arriving: float = 0.0
    developing: float = 0.0


async def measure(home: Installation, *, rounds: int) -> Result:
    content = await asyncio.to_thread(photograph)
    source = home.directory / "photograph.jpg"
    source.write_bytes(content)
    ours, theirs = [], []
    async with service(home) as darkroom, connected(darkroom.origin) as client:
        await _through_service(darkroom, client, content)
        for _ in range(rounds):
            ours.append(await _through_service(darkroom, client, content))
            theirs.append(await asyncio.to_thread(_bare, source))
    return _result(ours, theirs, len(content))


async def _through_service(darkroom: Service, client: Client, content: bytes) -> Run:
    async with live_socket(client) as socket:
        cpu, began = tree_cpu_seconds(darkroom.pid), time.perf_counter()
        announced = await client.announce("photograph.jpg", "image/jpeg", len(content))
        await client.send(announced, content)
        stream = await socket.subscribe(MEDIA_STATUS, {"id": announced.media_id})
        await stream.until("UPLOADING")
        sent = time.perf_counter()
        await client.finalize(announced)
        ready = await stream.until("READY")
        return Run(
            wall=ready.at - began,
            cpu=tree_cpu_seconds(darkroom.pid) - cpu,
            arriving=sent - began,
            developing=ready.at - sent,
        )


def _bare(source: Path) -> Run:
    """In a fresh process: its start belongs to what a program without a service costs, too."""
    environment = {"PATH": os.defpath, "VIPS_CONCURRENCY": str(LIMITS.threads)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", BARE_CHAIN, str(source), str(source.parent)], env=environment, check=True
    )
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall=ended - began, cpu=cpu)


def _result(ours: list[Run], theirs: list[Run], size: int) -> Result:
    samples = {
        f"{name}.{figure}": [float(getattr(run, figure)) for run in runs]
        for name, runs in (("darkroom", ours), ("libvips", theirs))
        for figure in ("wall", "cpu")
    }
    samples |= {
        "darkroom.arriving": [run.arriving for run in ours],
        "darkroom.developing": [run.developing for run in ours],
        "ratio.wall": ratios(samples["darkroom.wall"], samples["libvips.wall"]),
        "ratio.cpu": ratios(samples["darkroom.cpu"], samples["libvips.cpu"]),
    }
    return Result(
        title="picture: from request to READY",
        method=f"A JPEG of 4000 × 3000 pixels and {size / 1e6:.1f} MB, made of gradients, soft shapes and "
        "grain: requestUpload, PUT, subscribe, finalizeUpload, READY on the WebSocket. CPU is the service's "
        "process and its children's. Beside it one Python process that makes the same seven files (WebP of "
        "320, 640, 1280 and 1920, AVIF of the largest two, JPEG of the largest) from one decode. "
        f"{len(ours)} rounds, in turn.",
        columns=("", "wall, s", "CPU, s"),
        rows=[
            ["Darkroom", spread(samples["darkroom.wall"], 2), spread(samples["darkroom.cpu"], 2)],
            ["bare libvips", spread(samples["libvips.wall"], 2), spread(samples["libvips.cpu"], 2)],
            ["Darkroom / bare", spread(samples["ratio.wall"], 2), spread(samples["ratio.cpu"], 2)],
        ],
        remarks=[
            f"Of Darkroom's wall time, from the request to the stored and synced original and the open "
            f"subscription: {spread(samples['darkroom.arriving'], 2)} s; from finalizeUpload to READY: "
            f"{spread(samples['darkroom.developing'], 2)} s.",
        ],
        samples=samples,
    )
