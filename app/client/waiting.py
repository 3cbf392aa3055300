"""What is said while a service or a store does not answer: who is waited for, and never the address."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from app.client.attempts import ATTEMPTS
from app.client.text import printable

#: Says one line; blocks no longer than a terminal does.
Say = Callable[[str], None]

#: Between two lines about the same outage.
_AGAIN_SECONDS = 15.0


def say_nothing(what: str) -> None:
    """For commands without a place for it."""


def host_of(url: str) -> str:
    """Host and port alone: a signed address is a credential."""
    return printable(urlsplit(url).netloc.rpartition("@")[2])


class Attempts:
    """Each attempt at a store is told once, however many files and parts wait for it."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._told = 1

    def failed(self, host: str, number: int) -> None:
        """Attempt `number`, from 1, was in vain."""
        if self._told <= number < ATTEMPTS:
            self._told = number + 1
            self._say(f"waiting for {host}: attempt {self._told} of {ATTEMPTS}")

    def succeeded(self) -> None:
        self._told = 1


class Outage:
    """Told when it begins, and now and then while it lasts."""

    def __init__(self, say: Say = say_nothing) -> None:
        self._say = say
        self._told_at: float | None = None

    def lasts(self, whom: str) -> None:
        now = time.monotonic()
        if self._told_at is None or now - self._told_at >= _AGAIN_SECONDS:
            self._told_at = now
            self._say(f"waiting for {whom}")

    def ended(self) -> None:
        self._told_at = None
