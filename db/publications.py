"""Publications: which media have copies of their renditions beneath `public/`, and which should have."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, and_, delete, literal, not_, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import Media, MediaStatus, Publication, Rendition, Visibility, utc_now

_TIMESTAMP = DateTime(timezone=True)

#: Of a media: whether its renditions are to be public.
_WANTED = and_(col(Media.visibility) == Visibility.PUBLIC, col(Media.status) == MediaStatus.READY)


async def reserve_prefix(session: AsyncSession, media_id: UUID, prefix: str) -> None:
    """Record `prefix` for the media, if it is to be published and has no publication yet."""
    columns = ["media_id", "prefix", "created_at"]
    wanted = select(col(Media.id), literal(prefix), literal(utc_now(), _TIMESTAMP)).where(
        col(Media.id) == media_id, _WANTED
    )
    await session.exec(insert(Publication).from_select(columns, wanted).on_conflict_do_nothing())


async def lock_publication(session: AsyncSession, media_id: UUID) -> Publication | None:
    """The row as committed now, locked until the transaction ends; waits for whoever works on it."""
    statement = (
        select(Publication)
        .where(col(Publication.media_id) == media_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await session.exec(statement)).one_or_none()


async def is_wanted(session: AsyncSession, media_id: UUID) -> bool:
    """Whether the media, as committed now, is to be public."""
    statement = select(col(Media.id)).where(col(Media.id) == media_id, _WANTED)
    return (await session.exec(statement)).one_or_none() is not None


async def renditions_of_media(session: AsyncSession, media_id: UUID) -> Sequence[Rendition]:
    statement = (
        select(Rendition)
        .join(Media, col(Media.blob_id) == col(Rendition.blob_id))
        .where(col(Media.id) == media_id)
        .order_by(col(Rendition.id))
    )
    return (await session.exec(statement)).all()


async def is_recorded(session: AsyncSession, prefix: str) -> bool:
    statement = select(col(Publication.media_id)).where(col(Publication.prefix) == prefix)
    return (await session.exec(statement)).one_or_none() is not None


async def forget_publication(session: AsyncSession, prefix: str) -> None:
    await session.exec(delete(Publication).where(col(Publication.prefix) == prefix))


async def doubt_publications(session: AsyncSession) -> None:
    """Take no copies for made, so that the sweep makes them under the same prefixes.

    A prefix whose removal has begun stays as it is: it is never used again.
    """
    await session.exec(
        update(Publication).where(col(Publication.published_at).is_not(None)).values(published_at=None)
    )


async def unpublished_media(
    session: AsyncSession, *, after: UUID, changed_before: datetime, limit: int
) -> Sequence[UUID]:
    """Media that are to be public and are not, with ids above `after`, in their order."""
    published = select(col(Publication.media_id)).where(
        col(Publication.media_id) == col(Media.id),
        col(Publication.published_at).is_not(None),
        col(Publication.withdrawn_at).is_(None),
    )
    statement = (
        select(col(Media.id))
        .where(_WANTED, ~published.exists(), col(Media.id) > after, col(Media.updated_at) < changed_before)
        .order_by(col(Media.id))
        .limit(limit)
    )
    return (await session.exec(statement)).all()


async def unwanted_publications(
    session: AsyncSession, *, after: UUID, changed_before: datetime, limit: int
) -> Sequence[UUID]:
    """Media ids above `after`, in their order, whose publication is to go, as the media may have."""
    statement = (
        select(col(Publication.media_id))
        .outerjoin(Media, col(Media.id) == col(Publication.media_id))
        .where(
            or_(
                col(Media.id).is_(None),
                and_(
                    or_(not_(_WANTED), col(Publication.withdrawn_at).is_not(None)),
                    col(Media.updated_at) < changed_before,
                ),
            ),
            col(Publication.media_id) > after,
        )
        .order_by(col(Publication.media_id))
        .limit(limit)
    )
    return (await session.exec(statement)).all()
