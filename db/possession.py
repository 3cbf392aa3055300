"""Possession challenges: one for an upload, answered once, counted by owner."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, delete, func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import Blob, PossessionChallenge


async def find_shared(
    session: AsyncSession, wanted: Collection[tuple[str, int]]
) -> dict[tuple[str, int], Blob]:
    """Verified blobs, one for each of these (SHA-256, bytes), that media of any owner may come to show."""
    if not wanted:
        return {}
    statement = select(Blob).where(
        col(Blob.sha256).in_({sha256 for sha256, _ in wanted}),
        col(Blob.verified_at).is_not(None),
        col(Blob.is_shared),
    )
    blobs = (await session.exec(statement)).all()
    return {(blob.sha256, blob.size): blob for blob in blobs if blob.sha256 is not None}


async def find_unanswered(
    session: AsyncSession, upload_ids: Collection[UUID]
) -> dict[UUID, PossessionChallenge]:
    """The challenges of these uploads that nobody has answered, by upload."""
    statement = select(PossessionChallenge).where(
        col(PossessionChallenge.upload_id).in_(set(upload_ids)),
        col(PossessionChallenge.answered_at).is_(None),
    )
    return {row.upload_id: row for row in (await session.exec(statement)).all()}


async def hold_shared(session: AsyncSession, blob_id: UUID) -> Blob | None:
    """The blob if it is still there to be shown; held, as by `db.known_bytes.find_known`."""
    statement = (
        select(Blob)
        .where(col(Blob.id) == blob_id, col(Blob.verified_at).is_not(None), col(Blob.is_shared))
        .with_for_update(read=True, key_share=True)
        .execution_options(populate_existing=True)
    )
    return (await session.exec(statement)).one_or_none()


async def count_challenges(session: AsyncSession, owner_id: UUID, *, since: datetime) -> int:
    statement = select(func.count()).where(
        col(PossessionChallenge.owner_id) == owner_id, col(PossessionChallenge.created_at) >= since
    )
    return (await session.exec(statement)).one()


async def lock_challenge(session: AsyncSession, upload_id: UUID) -> PossessionChallenge | None:
    """As committed now, locked until the transaction ends; after the upload's media."""
    statement = (
        select(PossessionChallenge)
        .where(col(PossessionChallenge.upload_id) == upload_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await session.exec(statement)).one_or_none()


async def forget_challenges(session: AsyncSession, *, older_than: datetime, limit: int = 10_000) -> int:
    """Forget at most `limit` challenges from before; how many it were."""
    oldest = (
        select(col(PossessionChallenge.upload_id))
        .where(col(PossessionChallenge.created_at) < older_than)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    result: CursorResult[*tuple[Any, ...]] = await session.exec(
        delete(PossessionChallenge).where(col(PossessionChallenge.upload_id).in_(oldest))
    )
    return result.rowcount
