"""Tags and their links to media. A tag belongs to its owner; (owner, slug) is unique.

Locks are taken in one order, in which no two transactions can wait for each other: media by id, the owner's
tags as a whole (`hold_tags` by whoever puts them on or takes them off or tells of their media, `reserve_tags`
by whoever renames or deletes one), then single tags by id, which the trigger that counts them does.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, cast, delete, func, literal_column, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import MediaTag, Tag, new_id, utc_now

#: A media's id and a tag's.
Link = tuple[UUID, UUID]

#: A deleted tag is out of sight although media still hang on it.
_ALIVE = col(Tag.deleted_at).is_(None)

#: The class of the advisory locks of `hold_tags` and `reserve_tags` ("tags" in ASCII).
_TAGS_LOCK = 0x74616773


async def hold_tags(session: AsyncSession, owner_id: UUID) -> None:
    """Until the transaction ends none of the owner's tags is renamed or deleted; others may hold them too.

    After all the media of the transaction were locked. Who holds them may do so again, but not reserve them.
    """
    await session.exec(select(func.pg_advisory_xact_lock_shared(_TAGS_LOCK, _lock_number(owner_id))))


async def reserve_tags(session: AsyncSession, owner_id: UUID) -> None:
    """Wait until nobody holds the owner's tags, and let nobody until the transaction ends; as `hold_tags`."""
    await session.exec(select(func.pg_advisory_xact_lock(_TAGS_LOCK, _lock_number(owner_id))))


def _lock_number(owner_id: UUID) -> int:
    """32 bits: two owners may share a number, and wait for each other for nothing."""
    return int.from_bytes(owner_id.bytes[-4:], signed=True)


async def ensure_tags(session: AsyncSession, owner_id: UUID, names: Mapping[str, str]) -> dict[str, Tag]:
    """The owner's tags by slug; `names` gives the name of each slug, used only where it is new.

    They must be held (`hold_tags`). Two transactions may ask for the same new tag at once: one inserts, the
    other waits and reads it. Slugs are inserted in order, so that the two can't wait for each other.
    """
    if not names:
        return {}
    rows = [
        {"id": new_id(), "owner_id": owner_id, "slug": slug, "name": name, "created_at": utc_now()}
        for slug, name in sorted(names.items())
    ]
    await session.exec(
        insert(Tag)
        .values(rows)
        .on_conflict_do_nothing(index_elements=["owner_id", "slug"], index_where=_ALIVE)
    )
    return {tag.slug: tag for tag in await tags_by_slug(session, owner_id, names)}


async def tags_by_slug(session: AsyncSession, owner_id: UUID, slugs: Iterable[str]) -> Sequence[Tag]:
    statement = select(Tag).where(col(Tag.owner_id) == owner_id, col(Tag.slug).in_(list(slugs)), _ALIVE)
    return (await session.exec(statement)).all()


async def slugs_of(session: AsyncSession, media_id: UUID) -> list[str]:
    return sorted((await slugs_by_media(session, [media_id])).get(media_id, set()))


async def slugs_by_media(session: AsyncSession, media_ids: Iterable[UUID]) -> dict[UUID, set[str]]:
    """The slugs of each media; media without tags are absent."""
    statement = (
        select(MediaTag.media_id, Tag.slug)
        .join(Tag, col(Tag.id) == col(MediaTag.tag_id))
        .where(col(MediaTag.media_id).in_(list(media_ids)), _ALIVE)
    )
    slugs: dict[UUID, set[str]] = {}
    for media_id, slug in (await session.exec(statement)).all():
        slugs.setdefault(media_id, set()).add(slug)
    return slugs


async def tags_by_media(session: AsyncSession, media_ids: Iterable[UUID]) -> dict[UUID, list[Tag]]:
    """The tags of each media by name; media without tags are absent."""
    statement = (
        select(MediaTag.media_id, Tag)
        .join(Tag, col(Tag.id) == col(MediaTag.tag_id))
        .where(col(MediaTag.media_id).in_(list(media_ids)), _ALIVE)
        .order_by(col(Tag.name), col(Tag.id))
    )
    tags: dict[UUID, list[Tag]] = {}
    for media_id, tag in (await session.exec(statement)).all():
        tags.setdefault(media_id, []).append(tag)
    return tags


async def link_tags(session: AsyncSession, links: Iterable[Link]) -> None:
    """Put tags that are held on media: call it once in a transaction.

    The counters of the tags are locked by each statement in the order of their ids; two statements of one
    transaction would break that order.
    """
    if pairs := sorted(set(links)):
        ids = [func.unnest(cast(column, ARRAY(Uuid))) for column in zip(*pairs, strict=True)]
        statement = insert(MediaTag).from_select(["media_id", "tag_id"], select(*ids))
        await session.exec(statement.on_conflict_do_nothing())


async def unlink_tags(session: AsyncSession, links: Iterable[Link]) -> None:
    """Take tags off media: once in a transaction, like `link_tags`, and not beside it."""
    place = tuple_(col(MediaTag.media_id), col(MediaTag.tag_id))
    if pairs := sorted(set(links)):
        await session.exec(delete(MediaTag).where(place.in_(pairs)))


async def rename_tag(session: AsyncSession, tag: Tag, *, name: str, slug: str) -> bool:
    """Rename a tag of the reserved ones; False, and nothing is changed, where another has that slug."""
    if any(other.id != tag.id for other in await tags_by_slug(session, tag.owner_id, [slug])):
        return False
    tag.name, tag.slug = name, slug
    await session.flush()
    return True


async def tag_by_id(session: AsyncSession, owner_id: UUID, tag_id: UUID) -> Tag | None:
    statement = select(Tag).where(col(Tag.id) == tag_id, col(Tag.owner_id) == owner_id, _ALIVE)
    return (await session.exec(statement)).one_or_none()


async def tagged_media(session: AsyncSession, tag_id: UUID, *, limit: int) -> Sequence[UUID]:
    """The oldest media that are linked to the tag, deleted or not: one stretch of the index of its links."""
    statement = (
        select(MediaTag.media_id)
        .where(col(MediaTag.tag_id) == tag_id)
        .order_by(col(MediaTag.media_created_at), col(MediaTag.media_id))
        .limit(literal_column(str(limit)))
    )
    return (await session.exec(statement)).all()


async def mark_deleted(session: AsyncSession, owner_id: UUID, tag_id: UUID) -> Tag | None:
    """Take one of the reserved tags out of sight; None where there is none."""
    statement = (
        update(Tag)
        .where(col(Tag.id) == tag_id, col(Tag.owner_id) == owner_id, _ALIVE)
        .values(deleted_at=utc_now())
        .returning(Tag)
    )
    return (await session.exec(statement)).scalar_one_or_none()


async def unlink_tag(session: AsyncSession, tag_id: UUID, media_ids: Iterable[UUID]) -> set[UUID]:
    """Take a tag off those of these locked media that carry it; which they were."""
    statement = (
        delete(MediaTag)
        .where(col(MediaTag.tag_id) == tag_id, col(MediaTag.media_id).in_(list(media_ids)))
        .returning(col(MediaTag.media_id))
    )
    return set((await session.exec(statement)).scalars())


async def remove_deleted(session: AsyncSession, tag_id: UUID) -> bool:
    """Remove the row of a deleted tag unless a media is still linked to it; whether the row is gone."""
    linked = select(MediaTag.media_id).where(col(MediaTag.tag_id) == tag_id)
    await session.exec(
        delete(Tag).where(col(Tag.id) == tag_id, col(Tag.deleted_at).is_not(None), ~linked.exists())
    )
    return (await session.exec(select(Tag.id).where(col(Tag.id) == tag_id))).first() is None


async def deleted_tags(session: AsyncSession, *, before: datetime, limit: int) -> Sequence[Tag]:
    """Tags deleted before, whose rows are still there; locked, those that others hold are passed over."""
    statement = (
        select(Tag)
        .where(col(Tag.deleted_at) < before)
        .order_by(col(Tag.deleted_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.exec(statement)).all()


async def page_tags(
    session: AsyncSession, owner_id: UUID, *, search: str | None, after: str | None, limit: int
) -> Sequence[Tag]:
    """By slug, those after the slug `after`; `search` keeps the slugs that start with it."""
    statement = select(Tag).where(col(Tag.owner_id) == owner_id, _ALIVE)
    if search:
        statement = statement.where(col(Tag.slug).startswith(search, autoescape=True))
    if after is not None:
        statement = statement.where(col(Tag.slug) > after)
    return (await session.exec(statement.order_by(col(Tag.slug)).limit(limit))).all()


async def count_tags(session: AsyncSession, owner_id: UUID, *, search: str | None) -> int:
    statement = select(func.count()).select_from(Tag).where(col(Tag.owner_id) == owner_id, _ALIVE)
    if search:
        statement = statement.where(col(Tag.slug).startswith(search, autoescape=True))
    return (await session.exec(statement)).one()
