"""stdout and stderr that may be closed, full, or no longer read: no work ends half done for that."""

import errno
import os
import sys
from typing import TextIO

from app.client.errors import OutputError


class ReaderGoneError(Exception):
    """Whoever read stdout has closed it: there is nobody to say more to."""


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


def put(text: str) -> None:
    """Write to stdout and flush, for commands that only tell.

    Raises ReaderGoneError when nobody reads any more, and OutputError when it can't be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        raise output_problem(error) from None


def output_problem(error: OSError) -> ReaderGoneError | OutputError:
    """What it means that stdout took nothing."""
    if error.errno == errno.EPIPE:
        return ReaderGoneError()
    return OutputError(f"The output can't be written: {(error.strerror or str(error)).lower()}.")


def complain(sentence: str) -> None:
    write(sys.stderr, f"{sentence}\n")


def silence(stream: TextIO) -> None:
    """Python flushes once more at its end, which must not fail too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
