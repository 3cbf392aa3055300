"""Blobs that may not be needed any more, and the outbox through which their objects are removed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import Blob, BlobBlock, DeletionOutbox, Media, Rendition, utc_now

#: SQL of a blob's row, in every revision: whether somebody would miss its original. A media that still waits
#: for its bytes has none to miss, nor has one whose bytes never came, or came otherwise than announced.
ORIGINAL_IS_MISSED = """EXISTS (
    SELECT FROM media WHERE media.blob_id = blobs.id AND (
        status IN ('PROCESSING', 'READY')
        OR status = 'FAILED' AND blobs.etag IS NOT NULL
           AND failure_code NOT IN ('SIZE_MISMATCH', 'CHECKSUM_MISMATCH')))"""

#: SQL of a rendition's row, as above.
RENDITION_IS_MISSED = """EXISTS (
    SELECT FROM media WHERE media.blob_id = renditions.blob_id AND status = 'READY')"""


async def give_to_collector(session: AsyncSession, blob_id: UUID, *, grace: timedelta) -> None:
    """Let the collector look at the blob after `grace`; it takes what is not needed then."""
    blob = await session.get_one(Blob, blob_id)
    due = utc_now() + grace
    statement = insert(DeletionOutbox).values(blob_id=blob_id, key=blob.key, not_before=due)
    await session.exec(statement.on_conflict_do_update(index_elements=["blob_id"], set_={"not_before": due}))


async def lock_due(session: AsyncSession, *, limit: int) -> Sequence[DeletionOutbox]:
    """Rows whose time has come, locked; those that another collector holds are passed over."""
    statement = (
        select(DeletionOutbox)
        .where(col(DeletionOutbox.not_before) <= utc_now())
        .order_by(col(DeletionOutbox.not_before))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.exec(statement)).all()


async def forget_unneeded(session: AsyncSession, blob_id: UUID) -> bool:
    """Remove the blob's row and its renditions' if no media needs it; True when it is not needed.

    A blob that a media still names, whose bytes were given up, keeps its row, by which it is known no more.
    After the commit nobody can come to need it. Of several blobs in one transaction, by id.
    """
    await session.exec(select(Blob.id).where(col(Blob.id) == blob_id).with_for_update())
    if await is_needed(session, blob_id):
        return False
    await session.exec(delete(Rendition).where(col(Rendition.blob_id) == blob_id))
    await session.exec(delete(BlobBlock).where(col(BlobBlock.blob_id) == blob_id))
    named = select(Media.id).where(col(Media.blob_id) == blob_id)
    await session.exec(delete(Blob).where(col(Blob.id) == blob_id, ~named.exists()))
    forgotten = update(Blob).where(col(Blob.id) == blob_id)
    await session.exec(forgotten.values(sha256=None, verified_at=None, etag=None, recipe=None, facts=None))
    return True


async def is_needed(session: AsyncSession, blob_id: UUID) -> bool:
    """Whether some media shows the blob, or may still come to show it."""
    statement = select(Media.id).where(col(Media.blob_id) == blob_id, col(Media.held_bytes) > 0).limit(1)
    return (await session.exec(statement)).first() is not None


async def leave_outbox(session: AsyncSession, blob_id: UUID, *, leased_until: datetime) -> None:
    """Remove the row, unless the blob was given to the collector anew meanwhile."""
    await session.exec(
        delete(DeletionOutbox).where(
            col(DeletionOutbox.blob_id) == blob_id, col(DeletionOutbox.not_before) == leased_until
        )
    )


async def add_renditions(session: AsyncSession, renditions: Sequence[Rendition]) -> None:
    """Insert those that are not there: media that share a blob may be worked on at once, and make the same
    ones.
    """
    if renditions:
        statement = insert(Rendition).values([rendition.model_dump() for rendition in renditions])
        await session.exec(statement.on_conflict_do_nothing(index_elements=["blob_id", "recipe", "name"]))
