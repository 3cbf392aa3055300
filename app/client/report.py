"""What `upload` answers on stdout: a table of renditions for people, a JSON document a file for scripts.

What went wrong is said on stderr. Signed addresses appear in these answers and nowhere else.
"""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from app.client.files import display_name
from app.client.media import Status, UserError
from app.client.outcomes import Outcome
from app.client.printer import Printer
from app.client.streams import complain, silence, write
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


class Complaints:
    """Why files are not READY, on stderr; the types that the service takes are listed once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def print(self, outcome: Outcome) -> None:
        """Every reason on a line of its own."""
        failure = outcome.media.failure if outcome.media else None
        reasons = [*map(self._brief, outcome.user_errors), outcome.error]
        if failure and not any(reasons):
            reasons.append(failure.message)
        for reason in filter(None, reasons):
            complain(printable(f"{outcome.path.name}: {reason}"))

    def _brief(self, error: UserError) -> str:
        said, colon, wanted = error.message.partition(": ")
        if error.code != "UNSUPPORTED_TYPE" or not colon:
            return error.message
        if wanted in self._told:
            return f"{said}."
        self._told.add(wanted)
        return error.message


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many files came to which end, as in: 280 sent, 15 refused."""
    counts = Counter(map(_end, outcomes))
    return ", ".join(f"{counts[end]:,} {end}" for end in _ENDS if counts[end]) + "."


_ENDS = ("sent", "stored already", "refused", "failed", "unfinished")


def _end(outcome: Outcome) -> str:
    if outcome.user_errors:
        return "refused"
    if outcome.error is not None and outcome.status is Status.UPLOADING:
        return "unfinished"
    if outcome.error is not None or outcome.status in {None, Status.FAILED}:
        return "failed"
    return "stored already" if outcome.already_stored else "sent"


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
