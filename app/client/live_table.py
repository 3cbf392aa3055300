"""The live table in a terminal: as many media as fit, and how many there are in each status."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.client.board import Board
from app.client.media import Status
from app.client.media_table import ROOMY_COLUMNS, fits, media_table
from app.client.printer import STATUS_STYLES, stdout_console

#: The table's header, an empty line and the footer.
_OTHER_LINES = 3


@contextmanager
def showing_live_table(board: Board) -> Iterator["LiveTable"]:
    """On the terminal's other screen, so that what stood there before comes back."""
    live = Live(
        console=stdout_console(),
        screen=True,
        auto_refresh=False,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with live:
        yield LiveTable(board, live)


class LiveTable:
    def __init__(self, board: Board, live: Live) -> None:
        self._board = board
        self._live = live
        self.counts: Mapping[Status, int] = {}
        self.connected = True

    def draw(self) -> None:
        console = self._live.console
        rows = self._board.latest(max(1, console.height - _OTHER_LINES))
        table: Table | Text = Text("Nothing is here yet.", "dim")
        if rows:
            table = media_table(rows, with_ids=True)
            if not fits(table, console):
                table = media_table(rows, with_ids=False, roomy=console.width >= ROOMY_COLUMNS)
        self._live.update(Group(table, Text(), self._footer()), refresh=True)

    def _footer(self) -> Text:
        """On one line, however narrow."""
        footer = Text(no_wrap=True, overflow="ellipsis")
        if not self.connected:
            footer.append("reconnecting  ", "bold red")
        for status, count in self.counts.items():
            footer.append(f"{count:,} {status}  ", STATUS_STYLES[status] if count else "dim")
        return footer.append("Ctrl-C ends", "dim")
