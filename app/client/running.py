"""One command from its start to its exit code, the same way for all of them."""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine
from enum import IntEnum
from io import TextIOWrapper
from typing import Any
from urllib.parse import urlsplit

import stamina.instrumentation

from app.client.errors import ClientError, UsageError
from app.client.streams import ReaderGoneError, complain, open_missing_streams


class ExitCode(IntEnum):
    SUCCESS = 0
    FAILURE = 1
    USAGE = 2
    INTERRUPTED = 130
    TERMINATED = 143


Command = Callable[[str], Coroutine[Any, Any, ExitCode]]


def run(command: Command, origin: str, *, interrupted: str | Callable[[], str] = "Interrupted.") -> ExitCode:
    """Run `command`, given the checked origin, and say on stderr why it could not do what was wanted.

    `interrupted` is said after Ctrl-C; a function is asked then.

    A reader who closes our stdout, as `head` does, has what they wanted: that is no failure.
    """
    prepare_streams()
    try:
        return asyncio.run(command(checked_origin(origin)))
    except UsageError as error:
        complain(str(error))
        return ExitCode.USAGE
    except ClientError as error:
        complain(str(error))
        return ExitCode.FAILURE
    except ReaderGoneError:
        return ExitCode.SUCCESS
    except KeyboardInterrupt:
        said = interrupted if isinstance(interrupted, str) else interrupted()
        if said:
            complain(said)
        return ExitCode.INTERRUPTED
    except asyncio.CancelledError:
        return ExitCode.TERMINATED


def prepare_streams() -> None:
    open_missing_streams()
    # By itself stamina tells structlog of every attempt, which prints it on stdout.
    stamina.instrumentation.set_on_retry_hooks([])
    logging.disable()  # what a library logs of a failed request may hold its signed address
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for names that the terminal's encoding lacks


def checked_origin(url: str) -> str:
    """With the scheme in lower case and no slash at its end. Raises UsageError."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # A password in the address would stand in every sentence that names it.
    if (
        not usable
        or parts.query
        or parts.fragment
        or parts.username is not None
        or any(map(str.isspace, url))
    ):
        raise UsageError("--url must look like http://127.0.0.1:8000.")
    return parts.geturl().rstrip("/")
