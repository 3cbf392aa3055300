"""Which media a command means, as its options say it and as the service is asked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.client.errors import UsageError
from app.client.media import Kind, Status
from app.client.text import printable, sendable, tag_slug


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Each field that is not empty must match; of `statuses` and `kinds` one, of `tags` (slugs) all."""

    statuses: Sequence[Status] = ()
    kinds: Sequence[Kind] = ()
    tags: Sequence[str] = ()

    def filter(self) -> dict[str, Any]:
        """The value of the contract's MediaFilter and MediaEventFilter."""
        chosen: dict[str, Any] = {}
        if self.statuses:
            chosen["status"] = [status.value for status in self.statuses]
        if self.kinds:
            chosen["kind"] = [kind.value for kind in self.kinds]
        if self.tags:
            chosen["tags"] = {"all": list(self.tags)}
        return chosen


def select(*, statuses: Sequence[Status], kinds: Sequence[Kind], tags: Sequence[str]) -> Selection:
    """`tags` are names. Raises UsageError for one that can be no tag's."""
    return Selection(statuses=statuses, kinds=kinds, tags=[_slug(name) for name in tags])


def distinct_ids(ids: Sequence[str]) -> list[str]:
    """The ids in their order, each once."""
    return list(dict.fromkeys(map(sendable, ids)))


def in_chunks(ids: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _slug(name: str) -> str:
    slug = tag_slug(sendable(name))
    if not slug:
        raise UsageError(f"--tag {printable(name)}: the name of a tag has a letter or a digit.")
    return slug
