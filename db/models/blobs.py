"""Stored bytes and their blocks, and those that may not be needed any more."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

from db.models.columns import TIMESTAMP, Json, new_id, utc_now


class Blob(SQLModel, table=True):
    """Stored bytes under one key. `sha256` is ours, never a claim: null until `verified_at`.

    `recipe` is the one by which everything was made from them: null until then. What the first media that
    became READY with them learned is kept in `facts`, for those to come. A shared blob may be shown by media
    of other owners than the first one, whose `owner_id` it bears; its key names nobody.
    """

    __tablename__: ClassVar[Any] = "blobs"
    __table_args__ = (
        Index("blobs_owner_sha256", "owner_id", "sha256", postgresql_where=text("sha256 IS NOT NULL")),
        Index("blobs_shared_sha256", "sha256", postgresql_where=text("is_shared AND sha256 IS NOT NULL")),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", index=True)
    key: str = Field(sa_type=Text, unique=True)
    size: int = Field(sa_type=BigInteger)
    sha256: str | None = Field(default=None, sa_type=Text)
    etag: str | None = Field(default=None, sa_type=Text)
    verified_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    is_shared: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    recipe: str | None = Field(default=None, sa_type=Text)
    facts: dict[str, Any] | None = Field(default=None, sa_column=Column(Json(none_as_null=True)))
    created_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)


class BlobBlock(SQLModel, table=True):
    """The SHA-256, ours, of block `number` (from 1) of a blob, for an owner who has sent the bytes.

    Blocks are as long as the parts of a multipart upload of the blob's size (`services.parts.part_size`).
    """

    __tablename__: ClassVar[Any] = "blob_blocks"
    __table_args__ = (Index("blob_blocks_owner_sha256", "owner_id", "sha256"),)

    blob_id: UUID = Field(
        sa_column=Column(ForeignKey("blobs.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    owner_id: UUID = Field(foreign_key="users.id", primary_key=True)
    number: int = Field(primary_key=True)
    sha256: bytes = Field(sa_type=LargeBinary)


class DeletionOutbox(SQLModel, table=True):
    """Blobs that may not be needed any more: their media was deleted, or their upload came to nothing.

    Once `not_before` has passed, the collector looks whether they are. The row outlives the blob's, so that
    the objects below `key` are removed although nothing else knows of them.
    """

    __tablename__: ClassVar[Any] = "deletion_outbox"

    blob_id: UUID = Field(primary_key=True)
    key: str = Field(sa_type=Text)
    not_before: datetime = Field(sa_type=TIMESTAMP, index=True)
