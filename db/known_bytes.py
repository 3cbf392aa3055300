"""Stored bytes that are known by their SHA-256, which the service itself computed, and their blocks.

Whoever lets a media point at a blob that is there already holds the blob's row (FOR KEY SHARE) before: the
collector locks it FOR UPDATE, so one of the two comes first and the other sees what it did.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    LargeBinary,
    Uuid,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import Blob, BlobBlock, Media

#: The class of the advisory locks of `lock_hash` ("hash" in ASCII).
_HASH_LOCK = 0x68617368


async def lock_hash(session: AsyncSession, sha256: str) -> None:
    """Until the transaction ends nobody else decides which blob bears this hash; after tags and user."""
    number = int.from_bytes(bytes.fromhex(sha256[:8]), signed=True)
    await session.exec(select(func.pg_advisory_xact_lock(_HASH_LOCK, number)))


async def find_known(
    session: AsyncSession,
    owner_id: UUID,
    wanted: Collection[tuple[str, int]],
    *,
    of_anybody: bool = False,
    without: Collection[UUID] = (),
    hold: bool = False,
) -> Sequence[Blob]:
    """Verified blobs of these (SHA-256, bytes) that the owner has, or had and the collector has not taken.

    None of those `without`. `of_anybody`: and those shared by others, for an owner who has shown that they
    hold the bytes. With `hold` they are locked, by id, as the last rows of the transaction: they and their
    objects stay.
    """
    if not wanted:
        return []
    statement = select(Blob).where(
        col(Blob.sha256).in_({sha256 for sha256, _ in wanted}),
        tuple_(col(Blob.sha256), col(Blob.size)).in_(set(wanted)),
        col(Blob.verified_at).is_not(None),
        or_(_is_had_by(owner_id), col(Blob.is_shared)) if of_anybody else _is_had_by(owner_id),
        col(Blob.id).not_in(without),
    )
    statement = statement.order_by(col(Blob.id)).execution_options(populate_existing=True)
    if hold:
        statement = statement.with_for_update(read=True, key_share=True)
    return (await session.exec(statement)).all()


def _is_had_by(owner_id: UUID) -> ColumnElement[bool]:
    """A shared blob is had by a media alone: that it is still there may be due to somebody else's."""
    return or_(
        and_(col(Blob.owner_id) == owner_id, ~col(Blob.is_shared)),
        and_(
            col(Blob.is_shared),
            exists().where(
                col(Media.blob_id) == col(Blob.id),
                col(Media.owner_id) == owner_id,
                col(Media.held_bytes) > 0,
            ),
        ),
    )


async def forget_bytes(session: AsyncSession, blob_id: UUID) -> None:
    """Know the blob no more by its hash, nor its blocks: its object is lost. Media go on naming it."""
    lost = update(Blob).where(col(Blob.id) == blob_id)
    await session.exec(lost.values(sha256=None, verified_at=None, facts=None))
    await session.exec(delete(BlobBlock).where(col(BlobBlock.blob_id) == blob_id))


async def forget_made(session: AsyncSession, blob_id: UUID) -> None:
    """Take not everything for made of the blob: whoever sends the same bytes has it made again.

    The recipe stays, for what is there of it is shown.
    """
    await session.exec(update(Blob).where(col(Blob.id) == blob_id).values(facts=None))


async def save_blocks(session: AsyncSession, blob_id: UUID, owner_id: UUID, sha256s: Sequence[bytes]) -> None:
    """Note the SHA-256 of each block of a blob that the owner has sent; one statement, repeatable."""
    listed = func.unnest(literal(list(sha256s), ARRAY(LargeBinary)))
    blocks = listed.table_valued("sha256", with_ordinality="number").render_derived()
    rows = select(literal(blob_id, Uuid), literal(owner_id, Uuid), blocks.c.number, blocks.c.sha256)
    columns = ["blob_id", "owner_id", "number", "sha256"]
    await session.exec(insert(BlobBlock).from_select(columns, rows).on_conflict_do_nothing())


async def share_blocks(session: AsyncSession, blob_id: UUID, owner_id: UUID) -> None:
    """Note for an owner who has shown that they hold the bytes what is noted for another one."""
    rows = (
        select(col(BlobBlock.blob_id), literal(owner_id, Uuid), col(BlobBlock.number), col(BlobBlock.sha256))
        .where(col(BlobBlock.blob_id) == blob_id)
        .distinct()
    )
    columns = ["blob_id", "owner_id", "number", "sha256"]
    await session.exec(insert(BlobBlock).from_select(columns, rows).on_conflict_do_nothing())


class StoredBlock(NamedTuple):
    """Block `number`, from 1, of the object under `key`, which has `size` bytes in all."""

    key: str
    size: int
    number: int


async def find_blocks(
    session: AsyncSession, owner_id: UUID, sha256s: Collection[bytes]
) -> dict[bytes, StoredBlock]:
    """Where the owner's media hold blocks of these hashes: one place for each that is known.

    Whether a media holds a blob is asked once, however many of its blocks are found.
    """
    found = (
        select(col(BlobBlock.blob_id), col(BlobBlock.number), col(BlobBlock.sha256))
        .where(
            col(BlobBlock.owner_id) == owner_id,
            col(BlobBlock.sha256) == func.any(literal(list(sha256s), ARRAY(LargeBinary))),
        )
        .cte("found")
    )
    distinct = select(found.c.blob_id).distinct().subquery()
    holds = exists().where(
        col(Media.blob_id) == distinct.c.blob_id,
        col(Media.owner_id) == owner_id,
        col(Media.held_bytes) > 0,
    )
    held = (
        select(col(Blob.id), col(Blob.key), col(Blob.size))
        .join(distinct, distinct.c.blob_id == col(Blob.id))
        .where(holds)
        .cte("held")
    )
    statement = (
        select(found.c.sha256, held.c.key, held.c.size, found.c.number)
        .join(held, held.c.id == found.c.blob_id)
        .ext(distinct_on(found.c.sha256))
        .order_by(found.c.sha256, found.c.blob_id, found.c.number)
    )
    rows = (await session.exec(statement)).all()
    return {sha256: StoredBlock(key=key, size=size, number=number) for sha256, key, size, number in rows}
