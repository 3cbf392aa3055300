"""What the command answers on stdout: a table of renditions for people, a JSON document a file for scripts.

What went wrong is said on stderr. Signed addresses appear in these answers and nowhere else.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from app.client.api import Rendition, Status
from app.client.files import display_name
from app.client.streams import silence, write
from app.client.text import printable, sendable
from app.client.uploads import Outcome

_HEADER = ("NAME", "TYPE", "PIXELS", "BYTES")
_STYLES = {Status.READY: "bold green", Status.PROCESSING: "bold yellow", Status.FAILED: "bold red"}


def json_document(outcome: Outcome) -> str:
    """One line; `status` is null where no media came of the file, `error` tells what went wrong here."""
    media = outcome.media
    failure = media.failure if media else None
    document: dict[str, Any] = {
        "id": outcome.media_id,
        "filename": sendable(outcome.path.name),
        "status": outcome.status,
        "failure": {"code": failure.code, "message": failure.message} if failure else None,
        "renditions": [
            {
                "name": rendition.name,
                "width": rendition.width,
                "height": rendition.height,
                "size": rendition.byte_size,
                "mimeType": rendition.mime_type,
                "url": rendition.url,
            }
            for rendition in (media.renditions if media else ())
        ],
        "userErrors": [
            {"code": error.code, "message": error.message, "path": error.path}
            for error in outcome.user_errors
        ],
        "error": outcome.error,
    }
    return json.dumps(document)


def print_document(outcome: Outcome) -> bool:
    """False when nobody got it."""
    return write(sys.stdout, f"{json_document(outcome)}\n")


def complaints(outcome: Outcome) -> Iterator[str]:
    """Every reason why the file is not READY, as one line each."""
    failure = outcome.media.failure if outcome.media else None
    reasons = [*(error.message for error in outcome.user_errors), outcome.error]
    if failure and not any(reasons):
        reasons.append(failure.message)
    for reason in filter(None, reasons):
        yield printable(f"{outcome.path.name}: {reason}")


def print_complaints(outcome: Outcome) -> None:
    for line in complaints(outcome):
        write(sys.stderr, f"{line}\n")


class Listing:
    """In a terminal an address has lines of its own, to be copied from; elsewhere it ends its row."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._console = Console(force_terminal=self._terminal, highlight=False, markup=False, emoji=False)

    def print(self, outcome: Outcome) -> bool:
        """False when nobody got it."""
        if outcome.status is None:
            return True
        try:
            self._line(self._title(outcome))
            if outcome.media and outcome.media.renditions:
                self._table(outcome.media.renditions)
            sys.stdout.flush()
        except OSError:
            silence(sys.stdout)
            return False
        return True

    def _title(self, outcome: Outcome) -> Text:
        status = outcome.status or ""
        title = Text.assemble(
            (display_name(outcome.path), "bold"), "  ", (status, _STYLES.get(Status(status), ""))
        )
        if outcome.media and outcome.media.width:
            title.append(f"  {outcome.media.width} × {outcome.media.height}")
        title.append(f"  {outcome.media_id}", "dim")
        return title

    def _table(self, renditions: Sequence[Rendition]) -> None:
        rows = [_HEADER, *map(_cells, renditions)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
        for row, rendition in zip(rows, [None, *renditions], strict=True):
            name, mime_type, pixels, size = row
            line = (
                f"  {name:<{widths[0]}}  {mime_type:<{widths[1]}}  {pixels:>{widths[2]}}  {size:>{widths[3]}}"
            )
            address = "ADDRESS" if rendition is None else printable(rendition.url or "-")
            if not self._terminal:
                self._line(Text(f"{line}  {address}"))
                continue
            self._line(Text(line, "dim" if rendition is None else ""))
            if rendition is not None:
                self._line(Text(address, "blue"))
        self._line(Text())

    def _line(self, text: Text) -> None:
        """As long as it is: a terminal that breaks a line itself copies it as one."""
        self._console.print(text, soft_wrap=True)


def _cells(rendition: Rendition) -> tuple[str, str, str, str]:
    pixels = f"{rendition.width} × {rendition.height}" if rendition.width else "-"
    return printable(rendition.name), printable(rendition.mime_type), pixels, f"{rendition.byte_size:,}"
