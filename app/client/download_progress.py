"""What a person sees while files come, on stderr: bars in a terminal, nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from app.client.text import decimal_bytes

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: With more files than this, those that have ended make room.
_BARS = 12


class DownloadProgress(Protocol):
    """`number` is the file's place in the command line. No method blocks or fails."""

    def receiving(self, number: int, name: str, byte_size: int) -> None:
        """Its bytes are next; `name` is printable."""

    def received(self, number: int, byte_size: int) -> None:
        """So many of its bytes are here."""

    def ended(self, number: int, *, saved: bool) -> None:
        """Nothing more comes."""


@contextmanager
def showing_download(count: int, *, bars: bool) -> Iterator[DownloadProgress]:
    if not bars:
        yield _Silence()
        return
    from app.client.bars import file_bars

    with file_bars() as display:
        yield _Bars(display, few=count <= _BARS)


class _Bars:
    def __init__(self, display: "Progress", *, few: bool) -> None:
        self._display = display
        self._few = few
        self._rows: dict[int, TaskID] = {}

    def receiving(self, number: int, name: str, byte_size: int) -> None:
        self._rows[number] = self._display.add_task(
            name, total=byte_size, size=decimal_bytes(byte_size), state="[cyan]receiving[/]"
        )

    def received(self, number: int, byte_size: int) -> None:
        self._display.update(self._rows[number], completed=byte_size)

    def ended(self, number: int, *, saved: bool) -> None:
        if number not in self._rows:
            return
        if self._few:
            self._display.update(
                self._rows[number], state="[green]saved[/]" if saved else "[red]not saved[/]"
            )
        else:
            self._display.remove_task(self._rows.pop(number))


class _Silence:
    def receiving(self, number: int, name: str, byte_size: int) -> None:
        pass

    def received(self, number: int, byte_size: int) -> None:
        pass

    def ended(self, number: int, *, saved: bool) -> None:
        pass
