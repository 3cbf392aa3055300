"""Keys under which a request was answered once: asked again, it gets the same answer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, case, delete, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import IdempotencyKey


async def take_keys(
    session: AsyncSession, wanted: Sequence[IdempotencyKey], *, older_than: datetime
) -> dict[str, IdempotencyKey]:
    """Take each wanted key of one owner that is free, and give all of them as they now stand, locked.

    Each may be wanted once. Keys from before `older_than` are free. Two transactions that want the same key
    wait for each other: keys are taken in order, so that they can't do so in a circle.
    """
    rows = [row.model_dump() for row in sorted(wanted, key=lambda row: row.key)]
    statement = insert(IdempotencyKey).values(rows)
    is_free = col(IdempotencyKey.created_at) < older_than
    # Rows that are not free are written as they are: so one statement locks them and gives them back.
    values = {
        name: case((is_free, statement.excluded[name]), else_=getattr(IdempotencyKey, name))
        for name in ("digest", "media_id", "created_at")
    }
    taken = await session.exec(
        statement.on_conflict_do_update(index_elements=["owner_id", "key"], set_=values)
        .returning(IdempotencyKey)
        .execution_options(populate_existing=True)
    )
    return {row.key: row for row in taken.scalars()}


async def release_keys(session: AsyncSession, owner_id: UUID, media_ids: Sequence[UUID]) -> None:
    """Let go of the keys that were taken for these media, which are not made after all."""
    if media_ids:
        statement = delete(IdempotencyKey).where(
            col(IdempotencyKey.owner_id) == owner_id, col(IdempotencyKey.media_id).in_(media_ids)
        )
        await session.exec(statement)


async def forget_keys(session: AsyncSession, *, older_than: datetime, limit: int = 10_000) -> int:
    """Forget at most `limit` keys from before, but those that somebody takes now; how many it were."""
    oldest = (
        select(IdempotencyKey.owner_id, IdempotencyKey.key)
        .where(col(IdempotencyKey.created_at) < older_than)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    place = tuple_(col(IdempotencyKey.owner_id), col(IdempotencyKey.key))
    result: CursorResult[*tuple[Any, ...]] = await session.exec(
        delete(IdempotencyKey).where(place.in_(oldest))
    )
    return result.rowcount
