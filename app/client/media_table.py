"""Media as a table in a terminal, and as tab-separated lines everywhere else.

Ids are never shortened: where a line is too narrow for all, an id gets the line below its media, and
the names and the tags become shorter.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from app.client.media import ListedMedia
from app.client.printer import status_text
from app.client.text import decimal_bytes, printable

#: Below this the columns that say least are left out.
ROOMY_COLUMNS = 72

#: Wider than any table: to measure one that need not give way.
_UNBOUNDED_COLUMNS = 10_000


def separated_line(media: ListedMedia) -> str:
    """id, filename, kind, status, bytes, creation and the tags' slugs, for scripts: this order stays."""
    cells = (
        media.id,
        media.filename,
        media.kind,
        media.status,
        str(media.byte_size),
        media.created_at,
        ",".join(tag.slug for tag in media.tags),
    )
    return "\t".join(map(printable, cells)) + "\n"


def table_lines(media: Sequence[ListedMedia], console: Console) -> Iterator[Segments]:
    """The table's lines, each no wider than the console."""
    table = media_table(media, with_ids=True)
    if fits(table, console):
        yield from map(_line, console.render_lines(table, pad=False))
        return
    table = media_table(media, with_ids=False, roomy=console.width >= ROOMY_COLUMNS)
    header, *rows = console.render_lines(table, pad=False)
    yield _line(header)
    for row, each in zip(rows, media, strict=True):
        yield _line(row)
        below = Text(f"  {printable(each.id)}", "dim", no_wrap=True, overflow="ignore")
        yield Segments(console.render(below))


def media_table(media: Sequence[ListedMedia], *, with_ids: bool, roomy: bool = True) -> Table:
    """One line for each media; FILENAME and TAGS give way where it is narrow."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    if with_ids:
        table.add_column("ID", no_wrap=True, style="dim")
    table.add_column("FILENAME", min_width=8, style="bold")
    if roomy:
        table.add_column("KIND", no_wrap=True)
    table.add_column("STATUS", no_wrap=True, min_width=10)
    table.add_column("SIZE", no_wrap=True, justify="right", min_width=8)
    if roomy:
        table.add_column("CREATED", no_wrap=True)
        table.add_column("TAGS", min_width=4)
    for each in media:
        always = (_shortened(each.filename), status_text(each.status), decimal_bytes(each.byte_size))
        name, status, size = always
        cells: list[Text | str] = [printable(each.id)] if with_ids else []
        if roomy:
            cells += [name, each.kind, status, size, local_time(each.created_at)]
            cells += [_shortened(", ".join(tag.name for tag in each.tags))]
        else:
            cells += always
        table.add_row(*cells)
    return table


def fits(table: Table, console: Console) -> bool:
    """Whether nothing in it would have to give way."""
    unbounded = console.options.update_width(_UNBOUNDED_COLUMNS)
    return Measurement.get(console, unbounded, table).maximum <= console.width


def local_time(moment: str) -> str:
    """An RFC 3339 moment by the clock on the wall, to the minute."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")


def _shortened(text: str) -> Text:
    return Text(printable(text), no_wrap=True, overflow="ellipsis")


def _line(segments: list[Segment]) -> Segments:
    return Segments([*segments, Segment.line()])
