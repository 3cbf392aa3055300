"""Terms of a list: the conditions on media that other tables answer, such as the tags.

Each can be put in two ways: as the ids of all media it holds for, which is cheap while they are few, and as
a question about one row, which is cheap while many rows say yes. How many they are is asked first, not left
to the planner: it has to guess without knowing which tag or which word it will be (docs/decisions/0007).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    SelectBase,
    Uuid,
    any_,
    func,
    literal,
    literal_column,
    or_,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.sql import Select
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import Media, MediaTag, Tag

#: Up to so many media it is cheaper to fetch and sort them all than to go through a list of 100,000.
FEW = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`media_ids` may name one several times, and some that are out of scope. `rows` are there for the row of
    `Media` in the statement around it, any of them, where the term holds. `number` is about how many media it
    holds for, exact up to FEW. `tag_id` is given where one tag alone decides.
    """

    media_ids: SelectBase
    rows: Sequence[Select[Any]]
    number: ColumnElement[int]
    tag_id: ColumnElement[UUID] | None = None

    @property
    def holds(self) -> ColumnElement[bool]:
        """Asked of row after row: OFFSET 0 keeps the planner from joining with all there are."""
        return or_(*(row.offset(literal_column("0")).exists() for row in self.rows))

    @property
    def selects(self) -> ColumnElement[bool]:
        """Fetched by the ids, whatever else is asked."""
        return is_among(self.media_ids)

    @property
    def includes(self) -> ColumnElement[bool]:
        """For whole lists: the planner may join as it likes."""
        return col(Media.id).in_(self.media_ids)

    @property
    def excludes(self) -> ColumnElement[bool]:
        """The contrary of `includes`, as a join as well: NOT IN is none."""
        return ~or_(*(row.exists() for row in self.rows))


def is_among(media_ids: SelectBase) -> ColumnElement[bool]:
    """Fetched one by one by their ids, in whatever plan."""
    ids: ColumnElement[Any] = func.array(media_ids.scalar_subquery())
    return col(Media.id) == any_(ids)


def named(media_ids: Iterable[UUID]) -> ColumnElement[bool]:
    array = literal(sorted(media_ids), ARRAY(Uuid()))
    return is_among(select(func.unnest(array)))


def tagged(slugs: Iterable[str], owner_id: UUID | None) -> Term:
    """Media that carry one of the tags; with an owner, of that owner's. A media carries its owner's only."""
    chosen = sorted(slugs)
    wanted = [col(Tag.slug).in_(chosen), *alive_tags(owner_id)]
    return _carrying(wanted, one_tag=owner_id is not None and len(chosen) == 1)


def tagged_by_id(tag_id: UUID, owner_id: UUID | None) -> Term:
    """Media that carry this tag, whatever it is called; with an owner, none where it is somebody else's."""
    return _carrying([col(Tag.id) == tag_id, *alive_tags(owner_id)], one_tag=True)


def _carrying(wanted: list[ColumnElement[bool]], *, one_tag: bool) -> Term:
    ids = select(col(MediaTag.media_id)).join(Tag, col(Tag.id) == col(MediaTag.tag_id)).where(*wanted)
    return Term(
        media_ids=ids,
        rows=[carried(*wanted)],
        number=count_links(*wanted),
        tag_id=select(col(Tag.id)).where(*wanted).scalar_subquery() if one_tag else None,
    )


def alive_tags(owner_id: UUID | None) -> list[ColumnElement[bool]]:
    alive: list[ColumnElement[bool]] = [col(Tag.deleted_at).is_(None)]
    return alive if owner_id is None else [*alive, col(Tag.owner_id) == owner_id]


def carried(*wanted: ColumnElement[bool]) -> Select[Any]:
    """The links of the media around it to such tags."""
    return (
        select(literal_column("1"))
        .select_from(MediaTag)
        .join(Tag, col(Tag.id) == col(MediaTag.tag_id))
        .where(col(MediaTag.media_id) == col(Media.id), *wanted)
        .correlate(Media)
    )


def count_links(*wanted: ColumnElement[bool]) -> ColumnElement[int]:
    """On how many media the tags are together: the sum of their counters."""
    return select(func.coalesce(func.sum(col(Tag.media_count)), 0)).where(*wanted).scalar_subquery()


async def numbers_of(session: AsyncSession, terms: Sequence[Term]) -> list[int]:
    """Of each term in its turn, in one statement."""
    statement = select(array([term.number for term in terms]))
    return cast(list[int], (await session.exec(statement)).one())
