"""Conditional and range requests for one immutable file (RFC 9110 §13 and §14). Pure functions."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.datastructures import Headers

# 18 digits are more than any file has; longer numbers are not worth parsing.
_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE)
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes from offset `start` up to, not including, `end`."""

    start: int
    end: int


class RangeNotSatisfiableError(Exception):
    """The wanted range has no byte in common with the file."""


def http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def not_modified(headers: Headers, *, etag: str, modified_at: datetime) -> bool:
    """Say whether the client has these bytes; `etag` is quoted, `modified_at` in UTC and whole seconds."""
    tags = headers.get("if-none-match")
    if tags is not None:
        # If-Modified-Since counts only without If-None-Match (§13.1.3).
        return tags.strip() == "*" or etag in _ENTITY_TAG.findall(tags)
    since = _parse_date(headers.get("if-modified-since", ""))
    return since is not None and modified_at <= since


def wanted_range(headers: Headers, *, byte_size: int, etag: str, modified_at: datetime) -> ByteRange | None:
    """Return the one range to answer with, or None for the whole file; raises `RangeNotSatisfiableError`.

    Other units, malformed ranges and several ranges at once are answered with the whole file, as §14.2
    permits.
    """
    match = _ONE_RANGE.fullmatch(headers.get("range", ""))
    if match is None or not _same_version(headers, etag, modified_at):
        return None
    first, last = match.groups()
    if not first:
        return _suffix(last, byte_size)
    start, end = int(first), int(last) + 1 if last else byte_size
    if start >= end and last:
        return None
    if start >= byte_size:
        raise RangeNotSatisfiableError
    return ByteRange(start, min(end, byte_size))


def _suffix(length: str, byte_size: int) -> ByteRange | None:
    if not length:
        return None
    if int(length) == 0 or byte_size == 0:
        raise RangeNotSatisfiableError
    return ByteRange(max(0, byte_size - int(length)), byte_size)


def _same_version(headers: Headers, etag: str, modified_at: datetime) -> bool:
    condition = headers.get("if-range")
    return condition is None or condition in (etag, http_date(modified_at))


def _parse_date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
