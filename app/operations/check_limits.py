"""What the machine allows: open files, memory, and a clock that can be true."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from app.operations.findings import Finding, ok, problem, warning
from app.settings import CHECKOUT, Settings
from pipeline.limits import MEBIBYTE, ImageLimits

#: Below the first nothing works, below the second streams and uploads are refused early: each is a file.
FEWEST_FILES, ENOUGH_FILES = 256, 1024

#: Files may have been written by a machine whose clock is a little ahead.
CLOCK_TOLERANCE_SECONDS = 24 * 3600


async def check(settings: Settings) -> list[Finding]:
    return [
        check_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        check_memory(memory_bytes(), settings.slots),
        check_clock(time.time(), (CHECKOUT / "requirements.lock").stat().st_mtime),
    ]


def check_open_files(limit: int) -> Finding:
    if limit == resource.RLIM_INFINITY or limit >= ENOUGH_FILES:
        return ok("open-files", f"The limit of open files is {_number(limit)}.")
    advice = "Raise it: ulimit -n 65536 (systemd: LimitNOFILE=, Docker: --ulimit nofile=)."
    sentence = f"Only {limit:,} files may be open at once, and each connection is one."
    return (problem if limit < FEWEST_FILES else warning)("open-files", sentence, advice)


def check_memory(available: int | None, slots: int) -> Finding:
    """`available` in bytes, None where it can't be told."""
    if available is None:
        return ok("memory", "How much memory there is can't be told on this system.")
    limit = ImageLimits().address_space_bytes
    sentence = (
        f"{available // MEBIBYTE:,} MiB of memory; up to {slots} pictures are decoded at once, each within "
        f"{limit // MEBIBYTE:,} MiB."
    )
    if available < limit:
        advice = "Set DARKROOM_MAX_PIXELS lower, or give it more memory."
        return warning("memory", f"{sentence} The largest would not fit.", advice)
    if available < slots * limit:
        advice = f"Set DARKROOM_WORKER_SLOTS={max(2, available // limit)} if large pictures are usual."
        return warning("memory", f"{sentence} All of them large would not fit.", advice)
    return ok("memory", sentence)


def check_clock(now: float, code_written: float) -> Finding:
    if now < code_written - CLOCK_TOLERANCE_SECONDS:
        return problem(
            "clock",
            f"The clock says {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC, which is before this "
            "code was written: signed addresses and expiries would be wrong.",
            "Set the clock, best by NTP.",
        )
    return ok("clock", f"The clock says {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC.")


def memory_bytes() -> int | None:
    """The machine's, or the container's if that is less."""
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    with suppress(OSError, ValueError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(file).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            yield int(text)


def _number(limit: int) -> str:
    return "not set" if limit == resource.RLIM_INFINITY else f"{limit:,}"
