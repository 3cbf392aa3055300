"""What a measurement hands back, how it is printed, and on what it was taken."""

import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pyvips

CHECKOUT = Path(__file__).resolve().parent.parent

PACKAGES = ("strawberry-graphql", "graphql-core", "sqlalchemy", "asyncpg", "orjson", "uvicorn", "uvloop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`samples` are the figures behind the table, by name, one for each round (or each upload)."""

    title: str
    method: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    remarks: Sequence[str] = ()
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.method, ""]
        if self.rows:
            lines += [_line(self.columns), _line(["---"] * len(self.columns)), *map(_line, self.rows), ""]
        return "\n".join([*lines, *(f"- {remark}" for remark in self.remarks)]).rstrip()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def spread(samples: Sequence[float], digits: int = 0) -> str:
    """The median and, behind it, the least and the greatest."""
    low, middle, high = min(samples), statistics.median(samples), max(samples)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round: both halves of a round saw the same machine."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def percentile(samples: Sequence[float], percent: int) -> float:
    return statistics.quantiles(samples, n=100, method="inclusive")[percent - 1]


def conditions(postgres: str) -> dict[str, str]:
    """The machine, the code and the versions; no names of hosts, users or directories."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    libvips = ".".join(str(pyvips.version(part)) for part in range(3))
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {_processor()}, {_memory_gib():.0f} GiB, {platform.system()}",
        "load": f"{os.getloadavg()[0]:.1f} when it began",
        "versions": f"Python {platform.python_version()}, PostgreSQL {postgres}, libvips {libvips}, "
        f"{packages}",
    }


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
        ).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
