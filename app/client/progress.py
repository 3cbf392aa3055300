"""What a person sees meanwhile, on stderr: bars in a terminal, a line for each change elsewhere."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from app.client.media import Status
from app.client.streams import write
from app.client.text import decimal_bytes

#: With more files than this, the bars of those that have ended make room.
_BARS = 12


class Progress(Protocol):
    """`number` is the file's place in the command line. No method blocks or fails."""

    def reading(self, number: int, done: int, byte_size: int) -> None:
        """So many of its bytes have been hashed, of so many."""

    def note(self, number: int, what: str) -> None:
        """Something that is worth a line."""

    def notice(self, what: str) -> None:
        """Something that is worth a line and no file's alone."""

    def sending(self, number: int, byte_size: int) -> None:
        """So many of its bytes are next: those that are not stored already."""

    def sent(self, number: int, done: int, byte_size: int) -> None:
        """So many of these went out, of so many; fewer than before when they are sent again."""

    def finalizing(self, number: int) -> None:
        """All its parts are stored; to put thousands of them together takes minutes."""

    def status(self, number: int, status: Status) -> None:
        """The service says so."""

    def connection(self, number: int, alive: bool) -> None:
        """The stream of its status broke and is being taken up again, or has been."""

    def ended(self, number: int, status: Status | None) -> None:
        """Nothing more comes; None where it did not become a media."""


@contextmanager
def showing_progress(names: Sequence[str], *, bars: bool) -> Iterator[Progress]:
    """`names` must be printable."""
    if not bars:
        yield PlainProgress(names)
        return
    from app.client.bars import showing_bars

    with showing_bars(names, visible=_BARS) as progress:
        yield progress


class PlainProgress:
    """Lines for logs and pipes, without control characters."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def reading(self, number: int, done: int, byte_size: int) -> None:
        pass

    def note(self, number: int, what: str) -> None:
        self._say(number, what)

    def notice(self, what: str) -> None:
        write(sys.stderr, f"{what}\n")

    def sending(self, number: int, byte_size: int) -> None:
        self._say(number, f"{Status.UPLOADING} {decimal_bytes(byte_size)}")

    def sent(self, number: int, done: int, byte_size: int) -> None:
        pass

    def finalizing(self, number: int) -> None:
        self._say(number, "putting together")

    def status(self, number: int, status: Status) -> None:
        self._say(number, status)

    def connection(self, number: int, alive: bool) -> None:
        self._say(number, "connected again" if alive else "connection lost, trying again")

    def ended(self, number: int, status: Status | None) -> None:
        if status is not Status.PROCESSING:  # said before, when nobody waits for more
            self._say(number, status or "not sent")

    def _say(self, number: int, what: str) -> None:
        write(sys.stderr, f"{self._names[number]}: {what}\n")
