"""The progress in a terminal: a bar and the live status for each file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from app.client.media import Status
from app.client.printer import STATUS_STYLES
from app.client.text import decimal_bytes


@contextmanager
def showing_bars(names: Sequence[str], *, visible: int) -> Iterator["Bars"]:
    """With more files than `visible`, one that has ended becomes a line above the bars."""
    with file_bars() as display:
        yield Bars(display, names, few=len(names) <= visible)


@contextmanager
def file_bars() -> Iterator[Progress]:
    """A row for each task: its description, a bar, and its fields `size` and `state` (with markup)."""
    display = Progress(
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[size]}", table_column=Column(justify="right", min_width=8, no_wrap=True)),
        TextColumn("{task.fields[state]}", table_column=Column(min_width=12, no_wrap=True)),
        console=Console(stderr=True, highlight=False),
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with display:
        yield display


class Bars:
    def __init__(self, display: Progress, names: Sequence[str], *, few: bool) -> None:
        self._display = display
        self._names = names
        self._few = few
        self._rows: dict[int, TaskID] = {}
        self._statuses: dict[int, Status] = {}

    def reading(self, number: int) -> None:
        if self._few:
            self._show(number, "[dim]reading[/]")

    def sending(self, number: int, byte_size: int) -> None:
        self._show(number, _styled(Status.UPLOADING))
        self._display.update(self._rows[number], total=byte_size, size=decimal_bytes(byte_size))

    def sent(self, number: int, byte_size: int) -> None:
        self._display.update(self._rows[number], completed=byte_size)

    def status(self, number: int, status: Status) -> None:
        self._statuses[number] = status
        self._show(number, _styled(status))

    def connection(self, number: int, alive: bool) -> None:
        self._show(number, _styled(self._statuses[number]) if alive else "[dim]reconnecting[/]")

    def ended(self, number: int, status: Status | None) -> None:
        state = _styled(status) if status else "[red]not sent[/]"
        if self._few:
            self._show(number, state)
            if status is None:
                self._display.update(self._rows[number], total=1)  # else its bar would go on swinging
            return
        self._display.console.print(Text.assemble(f"{self._names[number]}  ", Text.from_markup(state)))
        if number in self._rows:
            self._display.remove_task(self._rows.pop(number))

    def _show(self, number: int, state: str) -> None:
        if number not in self._rows:
            self._rows[number] = self._display.add_task(self._names[number], total=None, size="", state=state)
        self._display.update(self._rows[number], state=state, refresh=True)


def _styled(status: Status) -> str:
    return f"[{STATUS_STYLES[status]}]{status}[/]"
