"""Keys under which a request was answered once: asked again, it gets the same answer."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, delete, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import IdempotencyKey


async def take_keys(
    session: AsyncSession, owner_id: UUID, wanted: Sequence[IdempotencyKey], *, older_than: datetime
) -> dict[str, IdempotencyKey]:
    """Take each wanted key that is free, and give all of them as they now stand.

    Keys from before `older_than` are free. Two transactions that want the same key wait for each other:
    keys are taken in order, so that they can't do so in a circle.
    """
    keys = [row.key for row in wanted]
    mine = [col(IdempotencyKey.owner_id) == owner_id, col(IdempotencyKey.key).in_(keys)]
    await session.exec(delete(IdempotencyKey).where(*mine, col(IdempotencyKey.created_at) < older_than))
    rows = [row.model_dump() for row in sorted(wanted, key=lambda row: row.key)]
    await session.exec(insert(IdempotencyKey).values(rows).on_conflict_do_nothing())
    taken = (await session.exec(select(IdempotencyKey).where(*mine))).all()
    return {row.key: row for row in taken}


async def forget_keys(session: AsyncSession, *, older_than: datetime, limit: int = 10_000) -> int:
    """Forget at most `limit` keys from before; how many it were."""
    oldest = (
        select(IdempotencyKey.owner_id, IdempotencyKey.key)
        .where(col(IdempotencyKey.created_at) < older_than)
        .limit(limit)
    )
    place = tuple_(col(IdempotencyKey.owner_id), col(IdempotencyKey.key))
    result: CursorResult[*tuple[Any, ...]] = await session.exec(
        delete(IdempotencyKey).where(place.in_(oldest))
    )
    return result.rowcount
