"""stdout and stderr that may be closed, full, or no longer read: no upload ends for that."""

import os
import sys
from typing import TextIO


def open_missing_streams() -> None:
    """A stream that the shell closed is None in Python: what goes there goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the process lives


def write(stream: TextIO, text: str) -> bool:
    """Write and flush; False when that failed, after which the stream is silent."""
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        silence(stream)
        return False
    return True


def silence(stream: TextIO) -> None:
    """Python flushes once more at its end, which must not fail too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
