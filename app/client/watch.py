"""`watch`: everything live, as a table in a terminal and as a line for each event elsewhere."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import NoReturn

from app.client import documents
from app.client.board import Board
from app.client.endpoint import open_endpoint
from app.client.errors import ClientError
from app.client.library_api import PAGE_SIZE, LibraryApi
from app.client.library_watch import LibraryEvent, follow_library
from app.client.live_table import LiveTable, showing_live_table
from app.client.media import Order
from app.client.running import ExitCode
from app.client.selection import Selection
from app.client.streams import complain, put
from app.client.subscription import Line, Subscriber, open_subscriber
from app.client.text import printable

#: Between two pictures of the table, and between two counts of the library, in seconds.
_DRAWING_PAUSE = 0.1
_COUNTING_PAUSE = 1.0


async def watch(selection: Selection, *, json: bool, origin: str) -> ExitCode:
    """Does not end by itself."""
    async with open_endpoint(LibraryApi, origin) as api, open_subscriber(api) as subscriber:
        await api.ping()
        if json or not sys.stdout.isatty():
            await _print_events(subscriber, selection, json=json)
        else:
            await _show_table(api, subscriber, selection)
    return ExitCode.SUCCESS


async def _print_events(subscriber: Subscriber, selection: Selection, *, json: bool) -> None:
    line = Line(lambda alive: complain("connected again" if alive else "connection lost, trying again"))
    async with aclosing(follow_library(subscriber, selection, line)) as events:
        async for event in events:
            if event.type == "RESYNC":
                complain("Some changes are no longer known: read the list again.")
            if json:
                put(documents.line(documents.event(event)))
            elif event.type == "CURSOR":
                complain("Watching: Ctrl-C ends.")
            else:
                put(_separated_line(event))


def _separated_line(event: LibraryEvent) -> str:
    """When, what, id, status and filename, for scripts: this order stays."""
    filename = event.media.filename if event.media else "-"
    cells = (event.occurred_at, event.type, event.media_id or "-", event.status or "-", filename)
    return "\t".join(map(printable, cells)) + "\n"


async def _show_table(api: LibraryApi, subscriber: Subscriber, selection: Selection) -> None:
    board = Board()
    with showing_live_table(board) as table, _ended_by_sigterm():
        watching = TableWatch(api, subscriber, selection, board, table)
        await watching.run()


class TableWatch:
    """Three tasks: events change the board, the board is drawn, the library is counted."""

    def __init__(
        self,
        api: LibraryApi,
        subscriber: Subscriber,
        selection: Selection,
        board: Board,
        table: LiveTable,
    ) -> None:
        self._api = api
        self._subscriber = subscriber
        self._selection = selection
        self._board = board
        self._table = table
        self._to_draw = asyncio.Event()
        self._to_count = asyncio.Event()

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._to_draw.set)
        problem: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._draw())
                group.create_task(self._count())
        except* ClientError as problems:
            problem = problems.exceptions[0]
        if problem:
            raise problem

    async def _follow(self) -> None:
        while True:
            page = await self._api.page(self._selection, first=PAGE_SIZE, order=Order.CHANGED)
            self._board.reset(page.media)
            self._changed()
            await self._follow_from(page.live_cursor)

    async def _follow_from(self, cursor: str) -> None:
        """Until the list must be read again."""
        events = follow_library(self._subscriber, self._selection, Line(self._connection), after=cursor)
        async with aclosing(events):
            async for event in events:
                if event.type == "RESYNC":
                    return
                self._board.apply(event)
                self._changed()

    def _connection(self, alive: bool) -> None:
        self._table.connected = alive
        self._to_draw.set()

    def _changed(self) -> None:
        self._to_draw.set()
        self._to_count.set()

    async def _draw(self) -> NoReturn:
        while True:
            await self._to_draw.wait()
            self._to_draw.clear()
            self._table.draw()
            await asyncio.sleep(_DRAWING_PAUSE)

    async def _count(self) -> NoReturn:
        while True:
            await self._to_count.wait()
            self._to_count.clear()
            self._table.counts = await self._api.counts(self._selection)
            self._to_draw.set()
            await asyncio.sleep(_COUNTING_PAUSE)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """As by Ctrl-C: the terminal gets its screen and its cursor back."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        with suppress(RuntimeError):
            loop.remove_signal_handler(signal.SIGTERM)
