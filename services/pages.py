"""Pages: how long they are, and from which end of the list they are cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.errors import InvalidInput

DEFAULT_PAGE = 20
MAX_PAGE = 100

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """The first `size` items between the cursors, or the last ones."""

    size: int
    after: str | None = None
    before: str | None = None
    from_end: bool = False

    def cut(self, rows: Sequence[Row]) -> tuple[Sequence[Row], bool, bool]:
        """The page out of `size + 1` rows in the list's order; whether there is more after and before it.

        On the side that was not read, a cursor tells that the list went on when it was given.
        """
        more = len(rows) > self.size
        if self.from_end:
            return rows[-self.size :], self.before is not None, more
        return rows[: self.size], more, self.after is not None


def page_request(
    *,
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
) -> PageRequest:
    """The first 20 by default. Raises InvalidInput for a length outside 1 to 100, or `first` with `last`."""
    if first is not None and last is not None:
        raise InvalidInput("first and last exclude each other: ask for one end of the list.", "last")
    for name, length in (("first", first), ("last", last)):
        if length is not None and not 1 <= length <= MAX_PAGE:
            raise InvalidInput(f"{name} must be from 1 to {MAX_PAGE}, not {length:,}.", name)
    return PageRequest(
        size=first or last or DEFAULT_PAGE, after=after, before=before, from_end=last is not None
    )
