"""What the rows say of objects: which are to be there, and which nobody knows of."""

from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text, Uuid
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.blobs import ORIGINAL_IS_MISSED, RENDITION_IS_MISSED, is_needed
from db.models import Blob, DeletionOutbox, Media, MediaStatus, Publication, Rendition, Upload, UploadStatus
from db.sessions import Sessions


class Role(StrEnum):
    """What an object is to its media."""

    ORIGINAL = "original"
    RENDITION = "rendition"
    COPY = "copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedObject:
    """A key that a row names. Only if `needed` would somebody miss the object; unless `kept`, no media may
    ever come to show it, and what is stored under the key nevertheless is the collector's or nobody's.
    """

    key: str
    role: Role
    byte_size: int
    needed: bool
    kept: bool


#: A copy is needed once all of its publication were there; its key is made as by `services.keys.public_key`.
_ORIGINALS = f"""
    SELECT key, 'original' AS role, size, {ORIGINAL_IS_MISSED} AS needed,
        EXISTS (SELECT FROM media WHERE media.blob_id = blobs.id AND held_bytes > 0) AS kept
    FROM blobs
"""
_RENDITIONS = f"""
    SELECT key, 'rendition' AS role, size, {RENDITION_IS_MISSED} AS needed, true AS kept FROM renditions
"""
_COPIES = """
    SELECT prefix || '/' || substring(renditions.key FROM '[^/]+/[^/]+$') AS key, 'copy' AS role,
        renditions.size, published_at IS NOT NULL AND withdrawn_at IS NULL AS needed, true AS kept
    FROM publications JOIN media ON media.id = publications.media_id
    JOIN renditions ON renditions.blob_id = media.blob_id
"""
_ALL = text(f"""
    SELECT key, role, size, needed, kept
    FROM ({_ORIGINALS} UNION ALL {_RENDITIONS} UNION ALL {_COPIES}) AS named ORDER BY key COLLATE "C"
""")
_NEEDED = text(f"""
    SELECT key FROM (
        {_ORIGINALS} WHERE key = ANY(:keys)
        UNION ALL {_RENDITIONS} WHERE blob_id = ANY(:blob_ids)
        UNION ALL {_COPIES} WHERE prefix = ANY(:prefixes)
    ) AS named WHERE needed AND key = ANY(:keys)
""").bindparams(
    bindparam("keys", type_=ARRAY(Text)),
    bindparam("blob_ids", type_=ARRAY(Uuid)),
    bindparam("prefixes", type_=ARRAY(Text)),
)

#: Sorting millions of keys takes a while, and then the transaction waits for the store's listing.
_PATIENCE = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"

_PAGE = 1000


async def named_objects(sessions: Sessions) -> AsyncGenerator[NamedObject]:
    """All keys that rows name, in the order of their bytes, as of one moment; memory stays bounded.

    The rows are sorted by the database, whose snapshot is held until the end.
    """
    async with sessions.begin() as session:
        connection = await session.connection()
        for setting in _PATIENCE.split(";"):
            await connection.execute(text(setting))
        rows = await connection.stream(_ALL, execution_options={"yield_per": _PAGE})
        async for key, role, size, needed, kept in rows:
            yield NamedObject(key=key, role=Role(role), byte_size=size, needed=needed, kept=kept)


async def still_needed(
    session: AsyncSession, keys: Collection[str], *, blob_ids: Collection[UUID], prefixes: Collection[str]
) -> set[str]:
    """Those of the keys whose objects somebody would miss now; `blob_ids` and `prefixes` are the keys'."""
    connection = await session.connection()
    values = {"keys": list(keys), "blob_ids": list(blob_ids), "prefixes": list(prefixes)}
    return set((await connection.execute(_NEEDED, values)).scalars())


async def lock_media_of(session: AsyncSession, blob_id: UUID) -> bool:
    """Hold the media that show the blob as they are; whether one of them is being processed."""
    statement = (
        select(Media).where(col(Media.blob_id) == blob_id).order_by(col(Media.id)).with_for_update()
    ).execution_options(populate_existing=True)
    return any(media.status is MediaStatus.PROCESSING for media in (await session.exec(statement)).all())


async def is_leaving(session: AsyncSession, blob_id: UUID) -> bool:
    """Whether the collector has been given the blob: it removes what is stored of it."""
    statement = select(DeletionOutbox.blob_id).where(col(DeletionOutbox.blob_id) == blob_id)
    return (await session.exec(statement)).one_or_none() is not None


async def keys_of_blob(session: AsyncSession, blob_id: UUID) -> set[str]:
    """The keys of the blob and of all that was made from it; none where no media needs it any more."""
    if not await is_needed(session, blob_id):
        return set()
    blob = await session.exec(select(Blob.key).where(col(Blob.id) == blob_id))
    made = await session.exec(select(Rendition.key).where(col(Rendition.blob_id) == blob_id))
    return {*blob.all(), *made.all()}


async def awaited_keys(session: AsyncSession, keys: Collection[str]) -> set[str]:
    """Those of the keys to which an upload's bytes may still be sent."""
    statement = select(Upload.key).where(
        col(Upload.key).in_(keys), col(Upload.status) == UploadStatus.PENDING
    )
    return set((await session.exec(statement)).all())


async def media_of_prefix(session: AsyncSession, prefix: str) -> UUID | None:
    """Whose copies lie beneath the prefix, if anybody's."""
    statement = select(Publication.media_id).where(col(Publication.prefix) == prefix)
    return (await session.exec(statement)).one_or_none()


async def doubt_publication(session: AsyncSession, prefix: str) -> UUID | None:
    """Take the copies beneath the prefix not for made any more; whose they are, if they are wanted."""
    statement = select(Publication).where(col(Publication.prefix) == prefix).with_for_update()
    publication = (await session.exec(statement)).one_or_none()
    if publication is None or publication.withdrawn_at is not None:
        return None
    publication.published_at = None
    return publication.media_id
