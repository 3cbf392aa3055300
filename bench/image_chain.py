"""What the pipeline's child processes cost: a 12 MP JPEG through them, and through the bare libvips chain.

`python -m bench images`; for another picture `python -m bench.image_chain PICTURE`.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyvips

from bench.report import Result, ratios, spread
from pipeline.images import inspect_image, render_image
from pipeline.limits import ImageLimits

LIMITS = ImageLimits()

BARE_CHAIN = """
import sys, pyvips
source, out = sys.argv[1:]
def chain():
    picture = pyvips.Image.thumbnail(source, 1920, size="down", output_profile="srgb", fail_on="error")
    picture = picture.copy_memory()
    for rank, width in enumerate((1920, 1280, 640, 320)):
        if rank:
            picture = picture.thumbnail_image(width, size="down").copy_memory()
        picture.webpsave(f"{out}/{width}.webp", Q=80, effort=4, keep="none")
        if rank < 2:
            picture.heifsave(f"{out}/{width}.avif", Q=50, effort=1, compression="av1", keep="none")
        if rank < 1:
            picture.jpegsave(f"{out}/{width}.jpg", Q=82, optimize_coding=True, interlace=True, keep="none")
chain()
"""


def photograph() -> bytes:
    """4000 × 3000 pixels: gradients as in a sky, soft shapes, and the grain of a sensor."""
    ramp = pyvips.Image.xyz(4000, 3000)
    bands = [
        ramp[0] * across
        + ramp[1] * down
        + pyvips.Image.gaussnoise(1000, 750, mean=90, sigma=60, seed=seed).gaussblur(1.5).resize(4)
        + pyvips.Image.gaussnoise(4000, 3000, mean=0, sigma=3, seed=seed)
        for seed, across, down in ((1, 0.01, 0.02), (2, 0.015, 0.01), (3, 0.02, -0.01))
    ]
    image = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")
    return bytes(image.jpegsave_buffer(Q=90))


def measure(job_dir: Path, *, rounds: int, content: bytes | None = None) -> Result:
    """In turn, wall and CPU milliseconds of the processes that each piece of work starts."""
    source = job_dir / "source"
    source.write_bytes(content or photograph())
    picture = pyvips.Image.new_from_file(str(source))
    environment = {"PATH": os.defpath, "VIPS_CONCURRENCY": str(LIMITS.threads)}

    def python(*arguments: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, *arguments], env=environment, check=True)

    with asyncio.Runner() as runner:
        work: dict[str, Callable[[], object]] = {
            "python that does nothing": python("-c", ""),
            "python -c 'import pyvips'": python("-c", "import pyvips"),
            "inspect_image": lambda: runner.run(inspect_image(source, job_dir, LIMITS)),
            "bare chain, one python process": python("-c", BARE_CHAIN, str(source), str(job_dir)),
            "render_image": lambda: runner.run(render_image(source, job_dir, LIMITS)),
        }
        samples: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, do in work.items():
                wall, cpu = _milliseconds(do)
                samples.setdefault(f"{name}.wall", []).append(wall)
                samples.setdefault(f"{name}.cpu", []).append(cpu)
    return _result(samples, list(work), f"{picture.width} × {picture.height}", source.stat().st_size, rounds)


def _milliseconds(do: Callable[[], object]) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    do()
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (ended - began) * 1000, cpu * 1000


def _result(
    samples: dict[str, list[float]], names: list[str], dimensions: str, size: int, rounds: int
) -> Result:
    for figure in ("wall", "cpu"):
        samples[f"ratio.{figure}"] = ratios(
            samples[f"render_image.{figure}"], samples[f"bare chain, one python process.{figure}"]
        )
    rows = [[name, spread(samples[f"{name}.wall"]), spread(samples[f"{name}.cpu"])] for name in names]
    rows.append(
        ["render_image / bare chain", spread(samples["ratio.wall"], 2), spread(samples["ratio.cpu"], 2)]
    )
    return Result(
        title="images: the child process around libvips",
        method=f"A JPEG of {dimensions} pixels and {size / 1e6:.1f} MB; {rounds} rounds, in turn; "
        "without database, network and store.",
        columns=("work", "wall, ms", "CPU of the children, ms"),
        rows=rows,
        samples=samples,
    )


def main() -> None:
    content = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as directory:
        print(measure(Path(directory), rounds=6, content=content).markdown())


if __name__ == "__main__":
    main()
