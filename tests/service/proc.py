"""Looks at other processes through /proc: whose they are, what they do, what they cost."""

import os
import signal
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The processes that this one has started and that somebody still has to wait for."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:  # the thread has just ended
            continue
    return found


def command_of(pid: int) -> list[str]:
    """Empty for a process that is gone, and for a zombie."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return command.decode(errors="replace").split("\0")


def state_of(pid: int) -> str:
    """The kernel's letter: R, S, D, T (stopped), Z (zombie); empty for a process that is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def has_loaded(pid: int, library: str) -> bool:
    try:
        return library in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def peak_bytes(pid: int) -> int:
    """The most memory it has held at once; 0 for a process that is gone."""
    return _status_bytes(pid, "VmHWM")


def resident_bytes(pid: int) -> int:
    """The memory that it holds now; 0 for a process that is gone."""
    return _status_bytes(pid, "VmRSS")


def open_files_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def users_of(directory: Path) -> dict[int, str]:
    """Every process that works in this directory or was started with it in its command, but not ourselves."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        command = " ".join(command_of(int(entry.name)))
        if str(directory) in command or _works_in(entry, directory):
            found[int(entry.name)] = command
    return found


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def go_on(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _status_bytes(pid: int, name: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name)), 0)


def _works_in(process: Path, directory: Path) -> bool:
    try:
        return (process / "cwd").readlink().is_relative_to(directory)
    except OSError:
        return False
