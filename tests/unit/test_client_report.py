"""What `upload` says on stderr when all is over."""

from pathlib import Path

import pytest

from app.client.media import Status, UserError
from app.client.outcomes import Outcome
from app.client.report import Complaints, summary

TYPES = "image/avif, image/jpeg"


def refused(name: str, mime_type: str) -> Outcome:
    message = f"mimeType {mime_type} is not accepted: send one of {TYPES}."
    return Outcome(
        path=Path(name), user_errors=[UserError(code="UNSUPPORTED_TYPE", message=message, path=None)]
    )


def test_the_types_that_are_taken_are_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    complaints = Complaints()
    for outcome in (refused("a.txt", "text/plain"), refused("b.csv", "text/csv"), refused("c.txt", "a/b")):
        complaints.print(outcome)
    assert capsys.readouterr().err.splitlines() == [
        f"a.txt: mimeType text/plain is not accepted: send one of {TYPES}.",
        "b.csv: mimeType text/csv is not accepted.",
        "c.txt: mimeType a/b is not accepted.",
    ]


def test_many_files_end_in_one_line() -> None:
    path = Path("a.jpg")
    outcomes = [
        *[Outcome(path=path, status=Status.READY)] * 280,
        *[refused("notes.txt", "text/plain")] * 15,
        Outcome(path=path, status=Status.READY, already_stored=True),
        Outcome(path=path, status=Status.FAILED),
        Outcome(path=path, error="The file is empty."),
        Outcome(path=path, status=Status.UPLOADING, error="The connection broke."),
    ]
    assert summary(outcomes) == "280 sent, 1 stored already, 15 refused, 2 failed, 1 unfinished."
    assert summary(outcomes[:280]) == "280 sent."
