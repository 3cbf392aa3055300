"""What the child process costs: a 12 MP JPEG through the pipeline, and through the bare libvips chain.

`python -m bench.image_chain [PICTURE]`; without a picture one is made of soft noise.
"""

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyvips

from pipeline.images import inspect_image, render_image
from pipeline.limits import ImageLimits

ROUNDS = 7
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
    """4000 × 3000."""
    bands = [
        pyvips.Image.gaussnoise(1000, 750, mean=128, sigma=60, seed=seed).gaussblur(1.5).resize(4)
        + pyvips.Image.gaussnoise(4000, 3000, mean=0, sigma=3, seed=seed)
        for seed in (1, 2, 3)
    ]
    image = bands[0].bandjoin(bands[1:]).cast("uchar").copy(interpretation="srgb")
    return bytes(image.jpegsave_buffer(Q=90))


def measure(name: str, work: Callable[[], object]) -> tuple[float, float]:
    """Median wall and processor seconds of the child processes that `work` starts."""
    walls, processors = [], []
    for _ in range(ROUNDS):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        work()
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    wall, processor = statistics.median(walls), statistics.median(processors)
    print(f"{name:<44}{wall * 1000:9.1f} ms wall {processor * 1000:9.1f} ms CPU")
    return wall, processor


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner() as runner:
        job_dir, source = Path(directory), Path(directory) / "source"
        source.write_bytes(Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else photograph())
        bare_command = [sys.executable, "-c", BARE_CHAIN, str(source), directory]
        environment = {"VIPS_CONCURRENCY": str(LIMITS.threads)}
        picture = pyvips.Image.new_from_file(str(source))
        print(f"{picture.width} × {picture.height}, {source.stat().st_size:,} bytes, median of {ROUNDS}")
        measure("python that does nothing", lambda: subprocess.run([sys.executable, "-c", ""], check=True))
        measure(
            "python -c 'import pyvips'",
            lambda: subprocess.run([sys.executable, "-c", "import pyvips"], check=True),
        )
        measure("inspect_image", lambda: runner.run(inspect_image(source, job_dir, LIMITS)))
        bare = measure(
            "bare chain, one python process",
            lambda: subprocess.run(bare_command, env=environment, check=True),
        )
        ours = measure("render_image", lambda: runner.run(render_image(source, job_dir, LIMITS)))
        print(
            f"{'render_image / bare chain':<44}{ours[0] / bare[0]:9.2f} × wall {ours[1] / bare[1]:9.2f} × CPU"
        )


if __name__ == "__main__":
    main()
