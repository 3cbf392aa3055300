"""Tags and their links to media. A tag belongs to its owner; (owner, slug) is unique."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import delete, func, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import MediaTag, Tag, new_id, utc_now

#: A media's id and a tag's.
Link = tuple[UUID, UUID]

#: A deleted tag is out of sight although media still hang on it.
_ALIVE = col(Tag.deleted_at).is_(None)


async def ensure_tags(session: AsyncSession, owner_id: UUID, names: Mapping[str, str]) -> dict[str, Tag]:
    """The owner's tags by slug; `names` gives the name of each slug, used only where it is new.

    Two transactions may ask for the same new tag at once: one inserts, the other waits and reads it.
    Slugs are inserted in order, so that the two can't wait for each other.
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
    """Put tags on media: call it once in a transaction.

    The counters of the tags are locked by each statement in the order of their ids, so that two transactions
    can't wait for each other; two statements of one would break that order.
    """
    rows = [{"media_id": media_id, "tag_id": tag_id} for media_id, tag_id in sorted(set(links))]
    if rows:
        await session.exec(insert(MediaTag).values(rows).on_conflict_do_nothing())


async def unlink_tags(session: AsyncSession, links: Iterable[Link]) -> None:
    """Take tags off media: once in a transaction, like `link_tags`, and not beside it."""
    place = tuple_(col(MediaTag.media_id), col(MediaTag.tag_id))
    if pairs := sorted(set(links)):
        await session.exec(delete(MediaTag).where(place.in_(pairs)))


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
