"""The progress in a terminal: a bar and the live status for each file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from app.client.media import Status
from app.client.printer import STATUS_STYLES
from app.client.text import decimal_bytes

#: Narrower terminals have no room for the speed beside the name.
_WIDE_COLUMNS = 80

#: To read it takes long enough to be shown.
_LARGE_BYTES = 10_000_000


@contextmanager
def showing_bars(names: Sequence[str], *, visible: int) -> Iterator["Bars"]:
    """With more files than `visible`, one that has ended becomes a line above the bars."""
    with file_bars(speed=True) as display:
        yield Bars(display, names, few=len(names) <= visible)


@contextmanager
def file_bars(*, speed: bool = False) -> Iterator[Progress]:
    """A row for each task: its description, a bar, and its fields `size` and `state` (with markup).

    With `speed` also how fast those are whose field `moving` says so, where there is room.
    """
    console = Console(stderr=True, highlight=False)
    display = Progress(
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[size]}", table_column=Column(justify="right", min_width=8, no_wrap=True)),
        *([_Speed()] if speed and console.width >= _WIDE_COLUMNS else []),
        TextColumn("{task.fields[state]}", table_column=Column(min_width=12, no_wrap=True)),
        console=console,
        expand=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with display:
        yield display


class _Speed(ProgressColumn):
    def __init__(self) -> None:
        super().__init__(Column(justify="right", min_width=10, no_wrap=True))

    def render(self, task: Task) -> Text:
        speed = task.speed if task.fields.get("moving") else None
        return Text(f"{decimal_bytes(int(speed))}/s" if speed else "", "dim")


class Bars:
    def __init__(self, display: Progress, names: Sequence[str], *, few: bool) -> None:
        self._display = display
        self._names = names
        self._few = few
        self._wide = display.console.width >= _WIDE_COLUMNS
        self._rows: dict[int, TaskID] = {}
        self._statuses: dict[int, Status] = {}

    def reading(self, number: int, done: int, byte_size: int) -> None:
        """Where only those that move have a row, a small file is read too quickly for one."""
        if not self._few and byte_size < _LARGE_BYTES:
            return
        row = self._show(number, "[dim]reading[/]", moving=True)
        self._display.update(row, completed=done, total=byte_size, size=self._size(done, byte_size))
        if done == byte_size and not self._few:
            self._display.remove_task(self._rows.pop(number))

    def note(self, number: int, what: str) -> None:
        self._display.console.print(Text(f"{self._names[number]}: {what}"), soft_wrap=True)

    def notice(self, what: str) -> None:
        self._display.console.print(Text(what), soft_wrap=True)

    def sending(self, number: int, byte_size: int) -> None:
        state = _styled(Status.UPLOADING)
        row = self._show(number, state, moving=True)
        self._display.reset(row, total=byte_size, size=self._size(0, byte_size), state=state, moving=True)

    def sent(self, number: int, done: int, byte_size: int) -> None:
        self._display.update(self._rows[number], completed=done, size=self._size(done, byte_size))

    def finalizing(self, number: int) -> None:
        self._show(number, "[dim]putting together[/]")

    def status(self, number: int, status: Status) -> None:
        self._statuses[number] = status
        self._show(number, _styled(status))

    def connection(self, number: int, alive: bool) -> None:
        self._show(number, _styled(self._statuses[number]) if alive else "[dim]reconnecting[/]")

    def ended(self, number: int, status: Status | None) -> None:
        state = _styled(status) if status else "[red]not sent[/]"
        if self._few:
            row = self._show(number, state)
            if status is None:
                self._display.update(row, total=1)  # else its bar would go on swinging
            return
        self._display.console.print(Text.assemble(f"{self._names[number]}  ", Text.from_markup(state)))
        if number in self._rows:
            self._display.remove_task(self._rows.pop(number))

    def _show(self, number: int, state: str, *, moving: bool = False) -> TaskID:
        if number not in self._rows:
            self._rows[number] = self._display.add_task(
                self._names[number], total=None, size="", state=state, moving=moving
            )
        self._display.update(self._rows[number], state=state, moving=moving, refresh=not moving)
        return self._rows[number]

    def _size(self, done: int, byte_size: int) -> str:
        """As in 12.3 MB of 1.0 GB, where there is room; at its ends only the whole."""
        whole = decimal_bytes(byte_size)
        return f"{decimal_bytes(done)} of {whole}" if self._wide and 0 < done < byte_size else whole


def _styled(status: Status) -> str:
    return f"[{STATUS_STYLES[status]}]{status}[/]"
