"""The shared corpus of real and hostile files, `../shared/media` beside this checkout, and its manifest.

Where it is missing the tests that need it are skipped by name; on CI (the variable CI is set) they fail.
`DARKROOM_TEST_CORPUS` names another place.
"""

import csv
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
CORPUS = Path(os.environ.get("DARKROOM_TEST_CORPUS") or CHECKOUT.parent / "shared" / "media")

#: By content, whatever the file's name says.
PICTURE_TYPES = frozenset(
    {
        *("image/jpeg", "image/png", "image/apng", "image/webp", "image/gif"),
        *("image/heic", "image/avif", "image/tiff", "image/jxl"),
    }
)
DRAWING_TYPE = "image/svg+xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file of the manifest; `expected` is "ok" or "reject"."""

    path: Path
    sha256: str
    byte_size: int
    kind: str
    mime_type: str
    expected: str
    note: str


def entries() -> tuple[Entry, ...]:
    """All files of the manifest; FileNotFoundError where there is no corpus."""
    with (CORPUS / "manifest.csv").open(newline="", encoding="utf-8") as manifest:
        return tuple(
            Entry(
                path=CORPUS / row["file"],
                sha256=row["sha256"],
                byte_size=int(row["bytes"]),
                kind=row["kind"],
                mime_type=row["mime"],
                expected=row["expected"],
                note=row["note"],
            )
            for row in csv.DictReader(manifest)
        )


def each(chosen: Callable[[Entry], bool]) -> pytest.MarkDecorator:
    """Run a test once for each chosen entry, as its argument `entry`."""
    return pytest.mark.parametrize("entry", list(_parameters(chosen)))


def is_picture(entry: Entry) -> bool:
    """Of a type that Darkroom makes renditions of."""
    return entry.mime_type in PICTURE_TYPES


def is_drawing(entry: Entry) -> bool:
    """Of a type that Darkroom hands out as it came."""
    return entry.mime_type == DRAWING_TYPE


def _parameters(chosen: Callable[[Entry], bool]) -> Iterable[object]:
    try:
        found = entries()
    except FileNotFoundError:
        reason = f"NO CORPUS at {CORPUS}: real and hostile files are not tested"
        if os.environ.get("CI"):
            raise RuntimeError(reason) from None
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-corpus")]
    return [pytest.param(entry, id=entry.path.name) for entry in found if chosen(entry)]
