"""What `upload` answers on stdout: a table of renditions for people, a JSON document a file for scripts.

What went wrong is said on stderr. Signed addresses appear in these answers and nowhere else.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from app.client.files import display_name
from app.client.media import Status
from app.client.outcomes import Outcome
from app.client.printer import Printer
from app.client.streams import silence, write
from app.client.text import printable, sendable


def json_document(outcome: Outcome) -> str:
    """One line; `status` is null where no media came of the file, `error` tells what went wrong here.

    `alreadyStored`: the service had these bytes, and none were sent.
    """
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
        "alreadyStored": outcome.already_stored,
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
    def __init__(self) -> None:
        self._printer = Printer()

    def print(self, outcome: Outcome) -> bool:
        """False when nobody got it."""
        if outcome.status is None:
            return True
        try:
            self._print(outcome, outcome.status)
            sys.stdout.flush()
        except OSError:
            silence(sys.stdout)
            return False
        return True

    def _print(self, outcome: Outcome, status: Status) -> None:
        media = outcome.media
        pixels = (media.width, media.height) if media and media.width and media.height else None
        self._printer.title(display_name(outcome.path), status, outcome.media_id or "", pixels=pixels)
        if media and media.renditions:
            self._printer.renditions(media.renditions)
            self._printer.line()
