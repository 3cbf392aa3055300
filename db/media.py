"""Media rows and the log of their changes, which are written together or not at all.

Locks are taken in one order everywhere: media by id, the tags of their owner as a whole (`db.tags`), then
everything else. A change holds the tags, so that no tag is renamed between its line and the line's commit:
whoever has seen a rename hears of no media by the old slug any more.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.media_lists import in_sight
from db.models import Media, MediaEvent, MediaEventType, User, utc_now
from db.search import save_words
from db.tags import hold_tags, slugs_by_media, slugs_of

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


async def create_media(session: AsyncSession, new: Sequence[tuple[Media, Iterable[str]]]) -> None:
    """Insert the rows and their CREATED lines, each with the slugs of the tags that it starts with.

    What the session has to write before, such as the blobs, is written first. A table costs one round trip.
    """
    await session.flush()
    session.add_all(media for media, _ in new)
    session.add_all(_line(media, MediaEventType.CREATED, tags=tags) for media, tags in new)
    await session.flush()
    await save_words(session, [media for media, _ in new])


async def change_media(
    session: AsyncSession,
    media: Media,
    type: MediaEventType,
    **values: Any,
) -> None:
    """Apply `values` to a row locked by `lock_media`: the next version and its line in the log.

    No media is locked after this one in the same transaction: the owner's tags are held from here on.
    """
    await change_several(session, [(media, values)], type)


async def change_several(
    session: AsyncSession, changes: Sequence[tuple[Media, Mapping[str, Any]]], type: MediaEventType
) -> None:
    """As `change_media`, for distinct media of one owner: no more statements for many of them."""
    if not changes:
        return
    await hold_tags(session, changes[0][0].owner_id)
    # A statement of its own: one that waits for a rename still sees the slugs from before its wait.
    slugs = await slugs_by_media(session, [media.id for media, _ in changes])
    for media, values in changes:
        carried = slugs.get(media.id, set())
        _change(session, media, type, values, carried, carried)
    await session.flush()
    worded = [media for media, values in changes if not WORDED.isdisjoint(values)]
    if worded:
        await save_words(session, worded)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagChange:
    """The slugs that a media carried and carries now."""

    media: Media
    before: AbstractSet[str]
    after: AbstractSet[str]


async def retag_media(session: AsyncSession, changes: Iterable[TagChange]) -> None:
    """The next version and line of each of these media, locked by `lock_media`: two statements in all.

    The links are changed by `db.tags`, which wants the tags held before their slugs are read.
    """
    for each in changes:
        _change(session, each.media, MediaEventType.UPDATED, {}, each.before, each.after)
    await session.flush()


async def delete_media(session: AsyncSession, media: Media) -> None:
    """Delete the locked row, as `change_media`; its DELETED line carries the version after the last one."""
    tags = await _held_slugs(session, media)
    line = _line(media, MediaEventType.DELETED, tags=tags)
    line.version += 1
    line.previous_status, line.previous_kind = media.status, media.kind
    line.previous_visibility, line.previous_tags = media.visibility, sorted(tags)
    session.add(line)
    await session.delete(media)
    await session.flush()


async def _held_slugs(session: AsyncSession, media: Media) -> list[str]:
    """Two statements: one that waits for a rename still sees the slugs from before its wait."""
    await hold_tags(session, media.owner_id)
    return await slugs_of(session, media.id)


def _change(
    session: AsyncSession,
    media: Media,
    type: MediaEventType,
    values: Mapping[str, Any],
    before: AbstractSet[str],
    after: AbstractSet[str],
) -> None:
    """Change the row and add its line; both are written by the next flush."""
    previous = (media.status, media.kind, media.visibility)
    for name, value in values.items():
        setattr(media, name, value)
    media.version += 1
    media.updated_at = utc_now()
    line = _line(media, type, tags=after)
    line.previous_status, line.previous_kind, line.previous_visibility = previous
    line.previous_tags = sorted(before)
    session.add(line)


def _line(media: Media, type: MediaEventType, *, tags: Iterable[str]) -> MediaEvent:
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
