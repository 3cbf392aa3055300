"""The child process: it keeps its limits, and nothing of it is left however it or its parent ends."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.facts import (
    ChildCrashedError,
    ImageFacts,
    ImageRenditions,
    LimitExceededError,
    TimedOutError,
)
from pipeline.images import inspect_image, render_image
from pipeline.limits import ImageLimits
from tests import pictures
from tests.corpus import CHECKOUT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: these tests read /proc")

LIMITS = ImageLimits()
PATIENCE_SECONDS = 20.0

PARENT = """
import asyncio, sys
from pathlib import Path
from pipeline.images import render_image
from pipeline.limits import ImageLimits
made = asyncio.run(render_image(Path(sys.argv[1]), Path(sys.argv[2]), ImageLimits()))
print(len(made.files))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes a second of processor time or more."""
    path = tmp_path_factory.mktemp("pictures") / "source"
    path.write_bytes(pictures.noise_png(1920, 1400))
    return path


@pytest.fixture
def job_dir(tmp_path: Path) -> Path:
    path = tmp_path / "job"
    path.mkdir()
    return path


def children(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found.update(int(child) for child in task.read_text().split())
    return found


def is_decoding(pid: int) -> bool:
    """Its limits stand and libvips is loaded."""
    try:
        return "libvips" in Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_gone(pid: int) -> bool:
    """Not even a zombie that someone still has to wait for."""
    return not Path(f"/proc/{pid}").exists()


def ended(pid: int) -> bool:
    """Gone, or a zombie that waits for an init that isn't ours."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(fulfilled: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fulfilled():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


class Render:
    """A rendering that has got as far as its child process decoding."""

    def __init__(self, task: asyncio.Task[ImageRenditions], child: int) -> None:
        self.task = task
        self.child = child

    @classmethod
    async def begin(cls, source: Path, job_dir: Path, limits: ImageLimits = LIMITS) -> "Render":
        before = children(os.getpid())
        task = asyncio.create_task(render_image(source, job_dir, limits))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline and not task.done():
            for child in children(os.getpid()) - before:
                if is_decoding(child):
                    return cls(task, child)
            await asyncio.sleep(0.002)
        raise AssertionError("the child process was not seen")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_a_killed_child_is_a_crash_that_names_the_signal(
    source: Path, job_dir: Path, number: signal.Signals
) -> None:
    render = await Render.begin(source, job_dir)
    os.kill(render.child, number)
    with pytest.raises(ChildCrashedError, match=number.name):
        await render.task
    assert is_gone(render.child)


async def test_the_wall_clock_ends_even_a_stopped_child(source: Path, job_dir: Path) -> None:
    render = await Render.begin(source, job_dir, ImageLimits(wall_seconds=3.0))
    os.kill(render.child, signal.SIGSTOP)
    with pytest.raises(TimedOutError, match=r"3 seconds"):
        await render.task
    assert is_gone(render.child)


async def test_a_limit_shorter_than_the_start_is_kept(source: Path, job_dir: Path) -> None:
    before = children(os.getpid())
    with pytest.raises(TimedOutError):
        await render_image(source, job_dir, ImageLimits(wall_seconds=0.001))
    assert children(os.getpid()) == before


async def test_processor_time_is_limited(tmp_path: Path, job_dir: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_bytes(pictures.noise_png(1920, 6000))
    with pytest.raises(TimedOutError, match="1 seconds of processor time"):
        await render_image(slow, job_dir, ImageLimits(cpu_seconds=1))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Decoded as a whole: 108 MB."""
    path = tmp_path_factory.mktemp("pictures") / "large"
    path.write_bytes(pictures.jpeg(6000, 6000, progressive=True))
    return path


@pytest.mark.parametrize("mebibytes", [24, 220])
async def test_lack_of_memory_is_told_as_such(large: Path, job_dir: Path, mebibytes: int) -> None:
    """While libraries are loaded, and while the picture is decoded."""
    with pytest.raises(LimitExceededError, match=f"{mebibytes} MiB"):
        await render_image(large, job_dir, ImageLimits(address_space_bytes=mebibytes * 1024**2))


@pytest.mark.parametrize("mebibytes", [16, 48, 56, 64, 72, 80, 96, 128, 160])
async def test_lack_of_memory_is_never_called_damage(large: Path, job_dir: Path, mebibytes: int) -> None:
    """It may also show as "no further thread", which a crowded machine says too: worth another try."""
    with pytest.raises((LimitExceededError, ChildCrashedError)):
        await render_image(large, job_dir, ImageLimits(address_space_bytes=mebibytes * 1024**2))


async def test_a_full_disk_is_not_the_pictures_fault(source: Path, job_dir: Path) -> None:
    for name in ("webp-1920.webp", "avif-1920.avif"):
        (job_dir / name).symlink_to("/dev/full")
    with pytest.raises(ChildCrashedError, match="outside the picture"):
        await render_image(source, job_dir, LIMITS)


@pytest.mark.parametrize("times", [1, 3])
async def test_cancellation_leaves_no_process(source: Path, job_dir: Path, times: int) -> None:
    render = await Render.begin(source, job_dir)
    for _ in range(times):
        render.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await render.task
    wait_until(lambda: is_gone(render.child))


async def test_cancellation_while_it_starts_leaves_no_process(source: Path, job_dir: Path) -> None:
    before = children(os.getpid())
    for turns in range(6):
        task = asyncio.create_task(render_image(source, job_dir, LIMITS))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    wait_until(lambda: children(os.getpid()) == before)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_parent_takes_its_child_along(source: Path, job_dir: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(source), str(job_dir)]
    with subprocess.Popen(command, cwd=CHECKOUT) as parent:
        wait_until(lambda: any(is_decoding(child) for child in children(parent.pid)))
        (child,) = children(parent.pid)
        os.kill(child, signal.SIGSTOP)  # So that it can't just have finished.
        parent.send_signal(number)
        parent.wait(PATIENCE_SECONDS)
        wait_until(lambda: ended(child))


def test_an_ended_event_loop_thread_takes_its_child_along(source: Path, job_dir: Path) -> None:
    """Why the loop belongs in a thread that lives: the kernel watches the thread, not the process."""
    seen: list[int] = []

    def work() -> None:
        loop = asyncio.new_event_loop()
        render = loop.run_until_complete(Render.begin(source, job_dir))
        seen.append(render.child)
        os.kill(render.child, signal.SIGSTOP)
        stopped.set()
        ended_thread.wait(PATIENCE_SECONDS)
        render.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(render.task)
        loop.close()

    stopped, ended_thread = threading.Event(), threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    assert stopped.wait(PATIENCE_SECONDS)
    ended_thread.set()
    thread.join(PATIENCE_SECONDS)
    wait_until(lambda: is_gone(seen[0]))


async def test_the_child_knows_nothing_of_the_service(
    source: Path, job_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_SECRET", "canary")
    monkeypatch.setenv("PYTHONPATH", str(job_dir))
    (job_dir / "json.py").write_text("raise SystemExit('imported from the job directory')")
    render = await Render.begin(source, job_dir)
    proc = Path(f"/proc/{render.child}")
    environment = dict(
        entry.split("=", 1) for entry in (proc / "environ").read_text().split("\0") if "=" in entry
    )
    assert set(environment) == {
        "LC_ALL",
        "MALLOC_ARENA_MAX",
        "TMPDIR",
        "VIPS_BLOCK_UNTRUSTED",
        "VIPS_CONCURRENCY",
    }
    assert os.getsid(render.child) == os.getpgid(render.child) == render.child
    assert (proc / "cwd").resolve() == job_dir
    assert (proc / "fd" / "0").resolve() == Path("/dev/null")
    assert "NoNewPrivs:\t1" in (proc / "status").read_text()
    limits = {line[:25].strip(): line[25:].split()[:2] for line in (proc / "limits").read_text().splitlines()}
    assert limits["Max address space"] == [str(LIMITS.address_space_bytes)] * 2
    assert limits["Max file size"] == [str(LIMITS.output_file_bytes)] * 2
    assert limits["Max open files"] == [str(LIMITS.open_files)] * 2
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max cpu time"] == [str(LIMITS.cpu_seconds), str(LIMITS.cpu_seconds + 1)]
    assert (proc / "oom_score_adj").read_text().strip() == "500"
    await render.task


async def test_no_descriptor_and_no_process_is_left(source: Path, job_dir: Path) -> None:
    async def once() -> None:
        await inspect_image(source, job_dir, LIMITS)
        with pytest.raises(TimedOutError):
            await inspect_image(source, job_dir, ImageLimits(wall_seconds=0.005))

    await once()
    before = (len(os.listdir("/proc/self/fd")), children(os.getpid()))
    for _ in range(5):
        await once()
    await asyncio.sleep(0.05)
    assert (len(os.listdir("/proc/self/fd")), children(os.getpid())) == before


async def test_many_at_once(source: Path, tmp_path: Path) -> None:
    directories = [tmp_path / f"job-{number}" for number in range(12)]
    for directory in directories:
        directory.mkdir()
    facts = await asyncio.gather(*(inspect_image(source, directory, LIMITS) for directory in directories))
    assert set(facts) == {ImageFacts(mime_type="image/png", width=1920, height=1400, pages=1)}


def test_a_checkout_may_lie_in_a_path_with_spaces(tmp_path: Path, job_dir: Path) -> None:
    checkout = tmp_path / "dark room: [ü]"
    shutil.copytree(
        CHECKOUT / "pipeline", checkout / "pipeline", ignore=shutil.ignore_patterns("__pycache__")
    )
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(pictures.jpeg())
    script = f"import sys; sys.path.insert(0, {json.dumps(str(checkout))})\n{PARENT}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, str(picture), str(job_dir)],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "3\n"


def test_limits_of_the_machine_that_are_lower_stay(tmp_path: Path, job_dir: Path) -> None:
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(pictures.jpeg())
    lower = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (48, 48)); r.setrlimit(r.RLIMIT_CPU, (30, 30))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{lower}\n{PARENT}", str(picture), str(job_dir)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("3\n", "")
