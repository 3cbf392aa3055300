"""Media rows and the log of their changes, which are written together or not at all.

Locks are taken in one order everywhere: media by id, then everything else.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.media_lists import in_sight
from db.models import Media, MediaEvent, MediaEventType, User, utc_now
from db.search import save_words
from db.tags import slugs_of

#: The columns whose words a media is found by.
WORDED = frozenset({"filename", "title", "description"})


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
    await save_words(session, media)


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
    if not WORDED.isdisjoint(values):
        await save_words(session, media)


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


async def media_by_ids(session: AsyncSession, viewer: User, media_ids: Iterable[UUID]) -> Sequence[Media]:
    """Those of them that the viewer may look at."""
    statement = select(Media).where(col(Media.id).in_(list(media_ids)), in_sight(viewer))
    return (await session.exec(statement)).all()
