"""Processes that a benchmark starts, and what processes have used, from /proc: in seconds, to 10 ms."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bench.report import CHECKOUT

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

#: Below the range of ephemeral ports: a client's socket must not take the port first.
PORTS = range(21_000, 32_000)

START_SECONDS = 60
STOP_SECONDS = 20


def cpu_seconds(pid: int) -> float:
    """User and system time of the process itself, all its threads included."""
    return sum(_times(pid)[:2])


def tree_cpu_seconds(pid: int) -> float:
    """Of the process, of the children it has waited for, and of those that are alive."""
    alive = sum(tree_cpu_seconds(child) for child in children(pid))
    try:
        return sum(_times(pid)) + alive
    except (FileNotFoundError, ProcessLookupError):
        return alive


def children(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        lists = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
        return [int(child) for text in lists for child in text.split()]
    return []


def _times(pid: int) -> list[float]:
    """utime, stime, cutime, cstime: the 14th to 17th field, counted behind the name in parentheses."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(ticks) / TICKS_PER_SECOND for ticks in fields[11:15]]


def free_port() -> int:
    for port in PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError(f"No port from {PORTS.start} to {PORTS.stop} is free.")


@asynccontextmanager
async def running(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, port: int
) -> AsyncIterator[int]:
    """Start the program, wait until it listens on `port`, yield its pid, and end it.

    What it prints goes to `log`. Raises RuntimeError with the end of it when the program does not listen.
    """
    with log.open("ab") as output:
        process = _start(command, environment, output)
        try:
            await _listening(process, port, log)
            yield process.pid
        finally:
            await asyncio.to_thread(_end, process)


def _start(
    command: Sequence[str], environment: Mapping[str, str], output: BinaryIO
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C comes to us, and we end it in order
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def _listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS):
            while process.poll() is None:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)
    raise RuntimeError(f"The server does not listen. It printed:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2_000:]


def clean_environment() -> dict[str, str]:
    """Ours without the settings of a Darkroom: a benchmark measures the defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
