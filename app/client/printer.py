"""Text for people on stdout: coloured in a terminal, plain elsewhere; signed addresses whole in both."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from app.client.media import Rendition, Status
from app.client.text import printable

STATUS_STYLES = {
    Status.UPLOADING: "cyan",
    Status.PROCESSING: "yellow",
    Status.READY: "green",
    Status.FAILED: "red",
}
_HEADER = ("NAME", "TYPE", "PIXELS", "BYTES")


def stdout_console() -> Console:
    """Coloured exactly when stdout is a terminal, and NO_COLOR does not forbid it."""
    return Console(force_terminal=sys.stdout.isatty(), highlight=False, markup=False, emoji=False)


def status_text(status: Status) -> Text:
    return Text(status, STATUS_STYLES[status])


class Printer:
    """In a terminal an address has lines of its own, to be copied from; elsewhere it ends its row."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self.console = stdout_console()

    def title(self, filename: str, status: Status, media_id: str, *, pixels: tuple[int, int] | None) -> None:
        title = Text.assemble((printable(filename), "bold"), "  ", (status, f"bold {STATUS_STYLES[status]}"))
        if pixels:
            title.append(f"  {pixels[0]} × {pixels[1]}")
        title.append(f"  {media_id}", "dim")
        self.line(title)

    def renditions(self, renditions: Sequence[Rendition]) -> None:
        rows = [_HEADER, *map(_cells, renditions)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
        for row, rendition in zip(rows, [None, *renditions], strict=True):
            name, mime_type, pixels, size = row
            line = (
                f"  {name:<{widths[0]}}  {mime_type:<{widths[1]}}  {pixels:>{widths[2]}}  {size:>{widths[3]}}"
            )
            address = "ADDRESS" if rendition is None else printable(rendition.url or "-")
            if not self.terminal:
                self.line(Text(f"{line}  {address}"))
                continue
            self.line(Text(line, "dim" if rendition is None else ""))
            if rendition is not None:
                self.address(address)

    def address(self, address: str) -> None:
        self.line(Text(address, "blue"))

    def line(self, text: Text | str = "") -> None:
        """As long as it is: a terminal that breaks a line itself copies it as one."""
        self.console.print(text, soft_wrap=True)


def _cells(rendition: Rendition) -> tuple[str, str, str, str]:
    pixels = f"{rendition.width} × {rendition.height}" if rendition.width else "-"
    return printable(rendition.name), printable(rendition.mime_type), pixels, f"{rendition.byte_size:,}"
