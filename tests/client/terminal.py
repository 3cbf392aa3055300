"""Commands in a terminal of their own: what a person sees, types and interrupts."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.client.service import CHECKOUT, client_environment, command

_SECONDS = 60


class Terminal:
    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self._process = process
        self._ours = ours
        self.output = ""

    def wait_for(self, seen: Callable[[str], bool]) -> None:
        """Until what the program has written so far satisfies `seen`."""
        deadline = time.monotonic() + _SECONDS
        while not seen(self.output):
            assert time.monotonic() < deadline, self.output
            assert self._read(), f"The program ended: {self.output}"

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> int:
        while self._read():
            pass
        return self._process.wait(timeout=_SECONDS)

    def _read(self) -> bool:
        """False when the program has ended."""
        readable, _, _ = select.select([self._ours], [], [], _SECONDS)
        assert readable, self.output
        try:
            block = os.read(self._ours, 65536)
        except OSError:  # Linux answers EIO when the last writer is gone
            return False
        self.output += block.decode(errors="replace")
        return bool(block)


@contextmanager
def terminal(
    origin: str,
    *arguments: str | Path,
    columns: int = 80,
    lines: int = 40,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        command(*arguments),
        cwd=CHECKOUT,
        env={**client_environment(origin), **(environment or {})},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


def in_terminal(
    origin: str,
    *arguments: str | Path,
    columns: int = 80,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """The exit code, and all that was written."""
    with terminal(origin, *arguments, columns=columns, environment=environment) as shown:
        return shown.finish(), shown.output


def plain(output: str) -> str:
    """Without escape sequences, and with the line ends of a file."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r\n", "\n")
