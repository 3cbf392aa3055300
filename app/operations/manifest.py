"""What an archive says of itself, checked field by field: it may have been made by somebody else.

What passes has only plain letters and digits in it, so it can be shown on a terminal.
"""

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime

FORMAT = 1

_TEXTS = {
    "darkroom": re.compile(r"[0-9A-Za-z.+!_-]{1,64}"),
    "revision": re.compile(r"[0-9a-z_]{1,64}"),
    "created_at": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\+00:00"),
    "sums_sha256": re.compile(r"[0-9a-f]{64}"),
    "bucket": re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"),
}
_NUMBERS = ("postgresql", "media", "objects", "object_bytes", "missing")
_NUMBERS_END = 2**63
_FORMATS_END = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive holds. `missing` counts objects that rows name and the store did not have.

    `bucket` is where the objects are, if they lie on S3: then the archive holds the database alone.
    """

    format: int
    darkroom: str
    revision: str
    postgresql: int
    created_at: str
    media: int
    objects: int
    object_bytes: int
    missing: int
    sums_sha256: str
    bucket: str | None = None

    def document(self) -> dict[str, object]:
        """The fields as they are written: without a bucket, what was always written."""
        fields = asdict(self)
        if self.bucket is None:
            del fields["bucket"]
        return fields


class OtherFormatError(Exception):
    """The archive has a format that is not read here."""

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version


def parse_manifest(document: bytes) -> Manifest:
    """Raises OtherFormatError, or ValueError where any field is not what a backup writes."""
    try:
        fields = json.loads(document)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError("no object")
    version = _number(fields.get("format"), 1, _FORMATS_END)
    if version != FORMAT:
        raise OtherFormatError(version)
    if set(fields) | {"bucket"} != set(Manifest.__dataclass_fields__):
        raise ValueError("other fields")
    for name in _NUMBERS:
        _number(fields[name], 0, _NUMBERS_END)
    for name, pattern in _TEXTS.items():
        if name == "bucket" and name not in fields:
            continue
        if not isinstance(fields[name], str) or not pattern.fullmatch(fields[name]):
            raise ValueError(name)
    datetime.fromisoformat(fields["created_at"])
    return Manifest(**fields)


def _number(value: object, least: int, end: int) -> int:
    if type(value) is not int or not least <= value < end:
        raise ValueError("no number that a backup writes")
    return value
