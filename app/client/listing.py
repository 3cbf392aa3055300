"""`ls`: media as a table, as tab-separated lines or as JSON documents."""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from app.client import documents
from app.client.endpoint import open_endpoint
from app.client.library_api import PAGE_SIZE, LibraryApi
from app.client.media import ListedMedia, Order
from app.client.running import ExitCode
from app.client.selection import Selection
from app.client.streams import complain, put

USUAL_LIMIT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`limit` None means `USUAL_LIMIT`, and that it is said when there is more."""

    selection: Selection
    order: Order
    limit: int | None
    all: bool
    json: bool

    @property
    def bound(self) -> int | None:
        return None if self.all else self.limit or USUAL_LIMIT


@dataclass(slots=True)
class _Listed:
    """How far the list was read: whether there was anything, and whether there is more."""

    count: int = 0
    more: bool = False


async def list_media(options: Options, origin: str) -> ExitCode:
    listed = _Listed()
    async with (
        open_endpoint(LibraryApi, origin) as api,
        aclosing(_pages(api, options, listed)) as pages,
    ):
        await api.ping()
        if options.json or not sys.stdout.isatty():
            await _print_lines(pages, json=options.json)
        else:
            await _print_table(pages)
    if not listed.count:
        complain("No media match." if options.selection.filter() else "The library is empty.")
    elif listed.more and options.limit is None:
        complain(f"There are more than these {USUAL_LIMIT}: say --all, or --limit N.")
    return ExitCode.SUCCESS


async def _pages(
    api: LibraryApi, options: Options, listed: _Listed
) -> AsyncGenerator[tuple[ListedMedia, ...]]:
    """As many pages as it takes."""
    after: str | None = None
    while True:
        left = PAGE_SIZE if options.bound is None else options.bound - listed.count
        page = await api.page(options.selection, first=min(left, PAGE_SIZE), after=after, order=options.order)
        listed.count += len(page.media)
        listed.more = page.next is not None
        yield page.media
        if page.next is None or listed.count == options.bound:
            return
        after = page.next


async def _print_lines(pages: AsyncGenerator[tuple[ListedMedia, ...]], *, json: bool) -> None:
    from app.client.media_table import separated_line

    async for page in pages:
        lines = (documents.line(documents.listed(each)) if json else separated_line(each) for each in page)
        put("".join(lines))


async def _print_table(pages: AsyncGenerator[tuple[ListedMedia, ...]]) -> None:
    """At once: the columns are as wide as the widest of all needs."""
    from app.client.media_table import table_lines
    from app.client.printer import stdout_console

    media = [each async for page in pages for each in page]
    console = stdout_console()
    if media:
        with console.capture() as text:
            for line in table_lines(media, console):
                console.print(line, end="")
        put(text.get())
