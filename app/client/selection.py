"""Which media a command means, as its options say it and as the service is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.client.errors import UsageError
from app.client.media import Kind, Status, Visibility
from app.client.text import printable, sendable, tag_slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Each field that is not empty must match; of `statuses` and `kinds` one, of `tags` (slugs) all.

    A stream knows the first three alone.
    """

    statuses: Sequence[Status] = ()
    kinds: Sequence[Kind] = ()
    tags: Sequence[str] = ()
    search: str | None = None
    visibility: Visibility | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def filter(self) -> dict[str, Any]:
        """The value of the contract's MediaFilter, and of its MediaEventFilter."""
        chosen: dict[str, Any] = {}
        if self.statuses:
            chosen["status"] = [status.value for status in self.statuses]
        if self.kinds:
            chosen["kind"] = [kind.value for kind in self.kinds]
        if self.tags:
            chosen["tags"] = {"all": list(self.tags)}
        if self.search is not None:
            chosen["search"] = sendable(self.search)
        if self.visibility:
            chosen["visibility"] = self.visibility.value
        if self.created_after:
            chosen["createdAfter"] = _moment(self.created_after)
        if self.created_before:
            chosen["createdBefore"] = _moment(self.created_before)
        return chosen


def tag_slugs(names: Sequence[str]) -> list[str]:
    """Raises UsageError for a name that can be no tag's."""
    return [_slug(name) for name in names]


def distinct_ids(ids: Sequence[str]) -> list[str]:
    """The ids in their order, each once."""
    return list(dict.fromkeys(map(sendable, ids)))


def in_chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _moment(time: datetime) -> str:
    """As RFC 3339; without an offset it is meant by the clock on the wall."""
    return time.astimezone(UTC).isoformat()


def _slug(name: str) -> str:
    slug = tag_slug(sendable(name))
    if not slug:
        raise UsageError(f"--tag {printable(name)}: the name of a tag has a letter or a digit.")
    return slug
