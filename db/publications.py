"""Publications: which media have copies of their renditions beneath `public/`, and which should have."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Result,
    and_,
    delete,
    func,
    literal,
    literal_column,
    or_,
    text,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import (
    IS_UNFINISHED,
    Blob,
    Media,
    MediaStatus,
    Publication,
    PublicationChange,
    Rendition,
    Visibility,
    utc_now,
)

_TIMESTAMP = DateTime(timezone=True)

#: Of a media: whether its renditions are to be public. Written out, for a plan knows no parameter's value.
_WANTED = and_(
    col(Media.visibility) == literal_column(f"'{Visibility.PUBLIC}'"),
    col(Media.status) == literal_column(f"'{MediaStatus.READY}'"),
)


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
        .join(Blob, col(Blob.id) == col(Rendition.blob_id))
        .where(col(Media.id) == media_id, is_shown())
        .order_by(col(Rendition.id))
    )
    return (await session.exec(statement)).all()


async def hold_renditions(session: AsyncSession, media_id: UUID) -> Sequence[Rendition]:
    """As `renditions_of_media`, as committed now; until the transaction ends the blob gets no others."""
    shown = select(col(Media.blob_id)).where(col(Media.id) == media_id).scalar_subquery()
    await session.exec(select(Blob.id).where(col(Blob.id) == shown).with_for_update(read=True))
    return await renditions_of_media(session, media_id)


def is_shown() -> ColumnElement[bool]:
    """Of a rendition and its blob: whether its recipe is the one by which everything was made."""
    return or_(col(Blob.recipe).is_(None), col(Rendition.recipe) == col(Blob.recipe))


async def renew_publications(session: AsyncSession, blob_id: UUID) -> Sequence[UUID]:
    """Take for unmade the copies of media whose blob has just got other renditions; the media's ids.

    What was copied from the former ones stays beneath the same prefix until it is withdrawn. Waits for nobody
    who copies or removes: copies that are being made are looked at again (`hold_renditions`), after the
    blob's row that is locked here.
    """
    shown = select(col(Media.id)).where(col(Media.blob_id) == blob_id)
    statement = (
        update(Publication)
        .where(
            col(Publication.media_id).in_(shown),
            col(Publication.published_at).is_not(None),
            col(Publication.withdrawn_at).is_(None),
        )
        .values(published_at=None)
        .returning(col(Publication.media_id))
    )
    return (await session.exec(statement)).scalars().all()


async def is_recorded(session: AsyncSession, prefix: str) -> bool:
    """Waits for whoever works on the row: that may be its end."""
    statement = (
        select(col(Publication.media_id)).where(col(Publication.prefix) == prefix).with_for_update(read=True)
    )
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


async def changes_of(session: AsyncSession, media_id: UUID) -> Sequence[int]:
    """The changes of what is wanted of the media that nobody has said to be settled."""
    statement = select(col(PublicationChange.id)).where(col(PublicationChange.media_id) == media_id)
    return [id for id in (await session.exec(statement)).all() if id is not None]


async def forget_changes(session: AsyncSession, media_id: UUID, ids: Sequence[int]) -> None:
    """Only these: later ones are still to be settled. What somebody else just forgets is left to them."""
    settled = (
        select(col(PublicationChange.id))
        .where(col(PublicationChange.media_id) == media_id, col(PublicationChange.id).in_(ids))
        .with_for_update(skip_locked=True)
    )
    await session.exec(
        delete(PublicationChange).where(
            col(PublicationChange.media_id) == media_id, col(PublicationChange.id).in_(settled)
        )
    )


async def unsettled_media(
    session: AsyncSession, *, after: UUID, changed_before: datetime, limit: int
) -> Sequence[UUID]:
    """Media above `after`, in the order of their ids, that nobody has settled since they changed.

    Costs what the unsettled ones cost, however many are settled.
    """
    changed = select(col(PublicationChange.media_id)).where(
        col(PublicationChange.media_id) > after, col(PublicationChange.at) < changed_before
    )
    unfinished = select(col(Publication.media_id)).where(
        col(Publication.media_id) > after,
        text(f"({IS_UNFINISHED})"),
        func.greatest(col(Publication.created_at), col(Publication.withdrawn_at)) < changed_before,
    )
    found = union(changed, unfinished).order_by(text("media_id")).limit(limit)
    result: Result[UUID] = await session.exec(found)  # type: ignore[call-overload]
    return result.scalars().all()
