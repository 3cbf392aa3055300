"""Lists of media: which of them, in which order, from which place on.

A place in a list is the order's column and the id of a row (a keyset): rows that come, change or go meanwhile
move no other row, and page 1,000 costs what page 1 does. Each order has an index for the media of one owner,
for those that are public and for all (`db.models.Media`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    and_,
    exists,
    false,
    func,
    literal_column,
    or_,
    true,
    tuple_,
)
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import (
    Media,
    MediaKind,
    MediaStatus,
    MediaTag,
    Role,
    Tag,
    User,
    Visibility,
)
from db.search import found_by


class MediaScope(StrEnum):
    """Whose media: the viewer's, those that are public, or all."""

    MINE = "MINE"
    PUBLIC = "PUBLIC"
    ALL = "ALL"


class MediaOrder(StrEnum):
    CREATED_AT_DESC = "CREATED_AT_DESC"
    CREATED_AT_ASC = "CREATED_AT_ASC"
    UPDATED_AT_DESC = "UPDATED_AT_DESC"
    FILENAME_ASC = "FILENAME_ASC"
    SIZE_DESC = "SIZE_DESC"

    @property
    def descending(self) -> bool:
        return self.name.endswith("_DESC")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCriteria:
    """Which media a list shows, or a stream tells of. None asks nothing; in an empty set is nothing.

    Tags are slugs; `words` are folded (`db.search.split_words`). Of `created_after` and `created_before`
    the moment itself is outside. `metadata` must be contained in a media's (jsonb's @>).
    """

    scope: MediaScope = MediaScope.MINE
    media_ids: frozenset[UUID] | None = None
    kinds: frozenset[MediaKind] | None = None
    statuses: frozenset[MediaStatus] | None = None
    tags_all: frozenset[str] = field(default_factory=frozenset)
    tags_any: frozenset[str] | None = None
    tags_none: frozenset[str] = field(default_factory=frozenset)
    words: tuple[str, ...] = ()
    visibility: Visibility | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    metadata: dict[str, Any] | None = None


#: A row's place: the value of the order's column (filenames folded as in the index) and the id.
Place = tuple[datetime | str | int, UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The part of a list strictly between two places: its first `limit` rows, or its last."""

    limit: int
    after: Place | None = None
    before: Place | None = None
    from_end: bool = False


_COLUMNS: dict[MediaOrder, SQLColumnExpression[Any]] = {
    MediaOrder.CREATED_AT_DESC: col(Media.created_at),
    MediaOrder.CREATED_AT_ASC: col(Media.created_at),
    MediaOrder.UPDATED_AT_DESC: col(Media.updated_at),
    MediaOrder.FILENAME_ASC: func.lower(col(Media.filename).collate("C")),
    MediaOrder.SIZE_DESC: col(Media.size),
}

# Written out, not bound: only so does the planner see that the partial indexes hold all that is asked for.
_IS_PUBLIC = col(Media.visibility) == literal_column(f"'{Visibility.PUBLIC}'")
_HAS_METADATA = col(Media.client_metadata) != literal_column("'{}'::jsonb")


def place_of(media: Media, order: MediaOrder) -> Place:
    match order:
        case MediaOrder.CREATED_AT_DESC | MediaOrder.CREATED_AT_ASC:
            return media.created_at, media.id
        case MediaOrder.UPDATED_AT_DESC:
            return media.updated_at, media.id
        case MediaOrder.FILENAME_ASC:
            return _ascii_lower(media.filename), media.id
        case MediaOrder.SIZE_DESC:
            return media.size, media.id


def _ascii_lower(text: str) -> str:
    """What `lower` does in the collation C."""
    return text.encode().lower().decode()


async def page_media(
    session: AsyncSession, viewer: User, criteria: MediaCriteria, order: MediaOrder, stretch: Stretch
) -> Sequence[Media]:
    """The rows of a stretch in the list's order: one statement, whatever its length."""
    column, descending = _COLUMNS[order], order.descending
    place = tuple_(column, col(Media.id))
    statement = select(Media).where(*_conditions(viewer, criteria))
    if stretch.after is not None:
        statement = statement.where(place < stretch.after if descending else place > stretch.after)
    if stretch.before is not None:
        statement = statement.where(place > stretch.before if descending else place < stretch.before)
    if descending is stretch.from_end:
        statement = statement.order_by(column, col(Media.id))
    else:
        statement = statement.order_by(column.desc(), col(Media.id).desc())
    rows = (await session.exec(statement.limit(stretch.limit))).all()
    return rows[::-1] if stretch.from_end else rows


async def count_media(session: AsyncSession, viewer: User, criteria: MediaCriteria) -> int:
    statement = select(func.count()).select_from(Media).where(*_conditions(viewer, criteria))
    return (await session.exec(statement)).one()


def in_sight(viewer: User) -> ColumnElement[bool]:
    """The media that a viewer may look at, in whatever scope."""
    if viewer.role is Role.ADMIN:
        return true()
    return or_(col(Media.owner_id) == viewer.id, col(Media.visibility) == Visibility.PUBLIC)


def _conditions(viewer: User, criteria: MediaCriteria) -> list[ColumnElement[bool]]:
    mine = criteria.scope is MediaScope.MINE
    conditions = [_in_scope(viewer, criteria.scope)]
    if criteria.media_ids is not None:
        conditions.append(col(Media.id).in_(criteria.media_ids))
    if criteria.kinds is not None:
        conditions.append(col(Media.kind).in_(criteria.kinds))
    if criteria.statuses is not None:
        conditions.append(col(Media.status).in_(criteria.statuses))
    if criteria.visibility is not None:
        conditions.append(col(Media.visibility) == criteria.visibility)
    if criteria.created_after is not None:
        conditions.append(col(Media.created_at) > criteria.created_after)
    if criteria.created_before is not None:
        conditions.append(col(Media.created_at) < criteria.created_before)
    if criteria.metadata:
        conditions += [col(Media.client_metadata).contains(criteria.metadata), _HAS_METADATA]
    conditions += [_tagged({slug}) for slug in sorted(criteria.tags_all)]
    if criteria.tags_any is not None:
        conditions.append(_tagged(criteria.tags_any))
    if criteria.tags_none:
        conditions.append(~_tagged(criteria.tags_none))
    return conditions + found_by(criteria.words, viewer.id if mine else None)


def _in_scope(viewer: User, scope: MediaScope) -> ColumnElement[bool]:
    match scope:
        case MediaScope.MINE:
            return col(Media.owner_id) == viewer.id
        case MediaScope.PUBLIC:
            return _IS_PUBLIC
        case MediaScope.ALL:
            return true() if viewer.role is Role.ADMIN else false()


def _tagged(slugs: Iterable[str]) -> ColumnElement[bool]:
    """A media carries tags of its owner's only."""
    return exists().where(
        and_(
            col(MediaTag.media_id) == col(Media.id),
            col(MediaTag.tag_id) == col(Tag.id),
            col(Tag.owner_id) == col(Media.owner_id),
            col(Tag.slug).in_(sorted(slugs)),
            col(Tag.deleted_at).is_(None),
        )
    )
