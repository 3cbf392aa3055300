"""Lists of media: which of them, in which order, from which place on.

A place in a list is the order's column and the id of a row (a keyset): rows that come, change or go meanwhile
move no other row, and page 1,000 costs what page 1 does. Each order has an index for the media of one owner,
for those that are public and for all (`db.models.Media`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    SQLColumnExpression,
    Uuid,
    bindparam,
    false,
    func,
    literal,
    literal_column,
    or_,
    true,
    tuple_,
)
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from db.models import (
    Media,
    MediaKind,
    MediaStatus,
    MediaTag,
    Role,
    User,
    Visibility,
)
from db.search import found_by
from db.terms import FEW, Term, named, numbers_of, tagged, tagged_by_id


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

    Tags are slugs, but for `tag_id`: the media of a tag stay the same when it is renamed. Only lists ask for
    it, as the log of changes has slugs. `words` are folded (`db.search.split_words`). Of `created_after` and
    `created_before` the moment itself is outside. `metadata` must be contained in a media's (jsonb's @>).
    """

    scope: MediaScope = MediaScope.MINE
    media_ids: frozenset[UUID] | None = None
    kinds: frozenset[MediaKind] | None = None
    statuses: frozenset[MediaStatus] | None = None
    tag_id: UUID | None = None
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


#: What a list is ordered by: its own column, and the id.
Columns = tuple[SQLColumnExpression[Any], SQLColumnExpression[UUID]]

_CREATED_AT = col(Media.created_at)
_COLUMNS: dict[MediaOrder, SQLColumnExpression[Any]] = {
    MediaOrder.CREATED_AT_DESC: _CREATED_AT,
    MediaOrder.CREATED_AT_ASC: _CREATED_AT,
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
    """The rows of a stretch in the list's order: one statement, and one before it where there are terms."""
    terms = _terms(viewer, criteria)
    lead = await _lead(session, terms, criteria, order)
    conditions = _conditions(viewer, criteria) + [term.holds for term in terms if term is not lead]
    conditions += [~term.holds for term in _unwanted(viewer, criteria)]
    if lead is not None and _goes_by_links(lead, order):
        statement = _by_links(lead, conditions).where(*_created(col(MediaTag.media_created_at), criteria))
        columns: Columns = (col(MediaTag.media_created_at), col(MediaTag.media_id))
    else:
        statement = select(Media).where(*conditions, *(() if lead is None else (lead.selects,)))
        columns = (_COLUMNS[order], col(Media.id))
    rows = (await session.exec(_cut(statement, columns, order, stretch))).all()
    return rows[::-1] if stretch.from_end else rows


async def first_by_tag(
    session: AsyncSession, viewer: User, tag_ids: Iterable[UUID], limit: int
) -> dict[UUID, list[Media]]:
    """The newest `limit` of the viewer's media with each tag: one statement, which reads no others."""
    wanted = select(func.unnest(literal(sorted(tag_ids), ARRAY(Uuid()))).label("tag_id")).subquery()
    newest = (
        select(Media)
        .join(MediaTag, col(MediaTag.media_id) == col(Media.id))
        .where(col(MediaTag.tag_id) == wanted.c.tag_id, col(Media.owner_id) == viewer.id)
        .order_by(col(MediaTag.media_created_at).desc(), col(MediaTag.media_id).desc())
        .limit(_literal(limit))
        .lateral()
    )
    listed = aliased(Media, newest)
    statement = (
        select(wanted.c.tag_id, listed)
        .join(newest, true())
        .order_by(col(listed.created_at).desc(), col(listed.id).desc())
    )
    found: dict[UUID, list[Media]] = {}
    for tag_id, media in (await session.exec(statement)).all():
        found.setdefault(tag_id, []).append(media)
    return found


def _cut(
    statement: SelectOfScalar[Media], columns: Columns, order: MediaOrder, stretch: Stretch
) -> SelectOfScalar[Media]:
    place, descending = tuple_(*columns), order.descending
    if stretch.after is not None:
        statement = statement.where(place < stretch.after if descending else place > stretch.after)
    if stretch.before is not None:
        statement = statement.where(place > stretch.before if descending else place < stretch.before)
    backwards = descending is not stretch.from_end
    statement = statement.order_by(*(column.desc() if backwards else column for column in columns))
    return statement.limit(_literal(stretch.limit))


def _literal(limit: int) -> ColumnElement[int]:
    """Written out: of a bound limit a plan that is kept for all values takes a tenth of the rows."""
    return bindparam(None, limit, literal_execute=True)


async def _lead(
    session: AsyncSession, terms: list[Term], criteria: MediaCriteria, order: MediaOrder
) -> Term | None:
    """The term to begin with: the one of the fewest media, unless going through the list is cheaper."""
    if not terms or criteria.media_ids is not None:
        return None
    numbered = list(zip(await numbers_of(session, terms), terms, strict=True))
    linked = [(number, term) for number, term in numbered if _goes_by_links(term, order)]
    number, lead = min(linked + numbered, key=itemgetter(0))
    if number > FEW and linked:
        return min(linked, key=itemgetter(0))[1]
    return lead if number <= FEW else None


def _goes_by_links(term: Term, order: MediaOrder) -> bool:
    """Whether the index of a tag's links has the media in the list's order."""
    return term.tag_id is not None and _COLUMNS[order] is _CREATED_AT


def _by_links(tag: Term, conditions: Sequence[ColumnElement[bool]]) -> SelectOfScalar[Media]:
    """From link to link, each time to its media: OFFSET 0 keeps the planner from meeting both from afar."""
    linked = (
        select(Media)
        .where(col(Media.id) == col(MediaTag.media_id), *conditions)
        .correlate(MediaTag)
        .offset(literal_column("0"))
        .lateral()
    )
    return (
        select(aliased(Media, linked))
        .select_from(MediaTag)
        .join(linked, true())
        .where(col(MediaTag.tag_id) == tag.tag_id)
    )


async def count_media(session: AsyncSession, viewer: User, criteria: MediaCriteria) -> int:
    terms = [term.includes for term in _terms(viewer, criteria)]
    terms += [term.excludes for term in _unwanted(viewer, criteria)]
    statement = select(func.count()).select_from(Media).where(*_conditions(viewer, criteria), *terms)
    return (await session.exec(statement)).one()


def in_sight(viewer: User) -> ColumnElement[bool]:
    """The media that a viewer may look at, in whatever scope."""
    if viewer.role is Role.ADMIN:
        return true()
    return or_(col(Media.owner_id) == viewer.id, col(Media.visibility) == Visibility.PUBLIC)


def _conditions(viewer: User, criteria: MediaCriteria) -> list[ColumnElement[bool]]:
    """What a row of media says itself."""
    conditions = [_in_scope(viewer, criteria.scope)]
    if criteria.media_ids is not None:
        conditions.append(named(criteria.media_ids))
    if criteria.kinds is not None:
        conditions.append(col(Media.kind).in_(criteria.kinds))
    if criteria.statuses is not None:
        conditions.append(col(Media.status).in_(criteria.statuses))
    if criteria.visibility is not None:
        conditions.append(col(Media.visibility) == criteria.visibility)
    conditions += _created(col(Media.created_at), criteria)
    if criteria.metadata:
        conditions += [col(Media.client_metadata).contains(criteria.metadata), _HAS_METADATA]
    return conditions


def _created(at: SQLColumnExpression[Any], criteria: MediaCriteria) -> list[ColumnElement[bool]]:
    after, before = criteria.created_after, criteria.created_before
    return [*([] if after is None else [at > after]), *([] if before is None else [at < before])]


def _terms(viewer: User, criteria: MediaCriteria) -> list[Term]:
    owner_id = viewer.id if criteria.scope is MediaScope.MINE else None
    terms = [tagged({slug}, owner_id) for slug in sorted(criteria.tags_all)]
    if criteria.tag_id is not None:
        terms.append(tagged_by_id(criteria.tag_id, owner_id))
    if criteria.tags_any is not None:
        terms.append(tagged(criteria.tags_any, owner_id))
    return terms + [found_by(word, owner_id) for word in criteria.words]


def _unwanted(viewer: User, criteria: MediaCriteria) -> list[Term]:
    owner_id = viewer.id if criteria.scope is MediaScope.MINE else None
    return [tagged(criteria.tags_none, owner_id)] if criteria.tags_none else []


def _in_scope(viewer: User, scope: MediaScope) -> ColumnElement[bool]:
    match scope:
        case MediaScope.MINE:
            return col(Media.owner_id) == viewer.id
        case MediaScope.PUBLIC:
            return _IS_PUBLIC
        case MediaScope.ALL:
            return true() if viewer.role is Role.ADMIN else false()
