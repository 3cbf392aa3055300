"""Media rows and the log of their changes, which are written together or not at all.

Locks are taken in one order everywhere: media by id, then everything else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, tuple_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import (
    Media,
    MediaEvent,
    MediaEventType,
    MediaKind,
    MediaStatus,
    MediaTag,
    Tag,
    utc_now,
)
from db.tags import slugs_of


async def lock_media(session: AsyncSession, owner_id: UUID, media_ids: Iterable[UUID]) -> dict[UUID, Media]:
    """The owner's media among `media_ids`, as committed now, locked until the transaction ends."""
    statement = (
        select(Media)
        .where(col(Media.id).in_(sorted(set(media_ids))), col(Media.owner_id) == owner_id)
        .order_by(col(Media.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {media.id: media for media in (await session.exec(statement)).all()}


async def create_media(session: AsyncSession, media: Media, tags: Sequence[str]) -> None:
    """Insert the row and its CREATED line. `tags` are the slugs it starts with."""
    session.add(media)
    session.add(_line(media, MediaEventType.CREATED, tags=tags))
    await session.flush()


async def change_media(
    session: AsyncSession,
    media: Media,
    type: MediaEventType,
    *,
    tags: Sequence[str] | None = None,
    previous_tags: Sequence[str] | None = None,
    **values: Any,
) -> None:
    """Apply `values` to a row locked by `lock_media`: the next version and its line in the log.

    `tags` and `previous_tags` are slugs, given where the change is one of tags; else they are read.
    """
    before = (media.status, media.kind, media.visibility)
    for name, value in values.items():
        setattr(media, name, value)
    media.version += 1
    media.updated_at = utc_now()
    after = list(tags) if tags is not None else await slugs_of(session, media.id)
    line = _line(media, type, tags=after)
    line.previous_status, line.previous_kind, line.previous_visibility = before
    line.previous_tags = sorted(previous_tags) if previous_tags is not None else sorted(after)
    session.add(line)
    await session.flush()


async def delete_media(session: AsyncSession, media: Media) -> None:
    """Delete the locked row; its DELETED line carries the version after the last one."""
    tags = await slugs_of(session, media.id)
    line = _line(media, MediaEventType.DELETED, tags=tags)
    line.version += 1
    line.previous_status, line.previous_kind = media.status, media.kind
    line.previous_visibility, line.previous_tags = media.visibility, sorted(tags)
    session.add(line)
    await session.delete(media)
    await session.flush()


def _line(media: Media, type: MediaEventType, *, tags: Sequence[str]) -> MediaEvent:
    return MediaEvent(
        media_id=media.id,
        owner_id=media.owner_id,
        version=media.version,
        type=type,
        status=media.status,
        kind=media.kind,
        visibility=media.visibility,
        tags=sorted(tags),
        at=media.updated_at if type is not MediaEventType.DELETED else utc_now(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCriteria:
    """Which media a list shows, or a stream tells of. None asks nothing; in an empty set is nothing.

    Tags are slugs.
    """

    media_ids: frozenset[UUID] | None = None
    kinds: frozenset[MediaKind] | None = None
    statuses: frozenset[MediaStatus] | None = None
    tags_all: frozenset[str] = field(default_factory=frozenset)
    tags_any: frozenset[str] | None = None
    tags_none: frozenset[str] = field(default_factory=frozenset)


async def page_media(
    session: AsyncSession,
    owner_id: UUID,
    criteria: MediaCriteria,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Media]:
    """Newest first, strictly older than `after`: one statement, whatever the page's length."""
    statement = select(Media).where(*_conditions(owner_id, criteria))
    if after is not None:
        statement = statement.where(tuple_(col(Media.created_at), col(Media.id)) < after)
    statement = statement.order_by(col(Media.created_at).desc(), col(Media.id).desc()).limit(limit)
    return (await session.exec(statement)).all()


async def count_media(session: AsyncSession, owner_id: UUID, criteria: MediaCriteria) -> int:
    statement = select(func.count()).select_from(Media).where(*_conditions(owner_id, criteria))
    return (await session.exec(statement)).one()


async def media_by_ids(session: AsyncSession, owner_id: UUID, media_ids: Iterable[UUID]) -> Sequence[Media]:
    statement = select(Media).where(col(Media.id).in_(list(media_ids)), col(Media.owner_id) == owner_id)
    return (await session.exec(statement)).all()


def _conditions(owner_id: UUID, criteria: MediaCriteria) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [col(Media.owner_id) == owner_id]
    if criteria.media_ids is not None:
        conditions.append(col(Media.id).in_(criteria.media_ids))
    if criteria.kinds is not None:
        conditions.append(col(Media.kind).in_(criteria.kinds))
    if criteria.statuses is not None:
        conditions.append(col(Media.status).in_(criteria.statuses))
    conditions += [_tagged(owner_id, {slug}) for slug in sorted(criteria.tags_all)]
    if criteria.tags_any is not None:
        conditions.append(_tagged(owner_id, criteria.tags_any))
    if criteria.tags_none:
        conditions.append(~_tagged(owner_id, criteria.tags_none))
    return conditions


def _tagged(owner_id: UUID, slugs: Iterable[str]) -> ColumnElement[bool]:
    return exists().where(
        and_(
            col(MediaTag.media_id) == col(Media.id),
            col(MediaTag.tag_id) == col(Tag.id),
            col(Tag.owner_id) == owner_id,
            col(Tag.slug).in_(sorted(slugs)),
        )
    )
