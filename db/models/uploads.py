"""Uploads, how they are asked for again, and proofs that stand for them."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, ForeignKey, Index, LargeBinary, Text, text
from sqlmodel import Field, SQLModel

from db.models.columns import TIMESTAMP, new_id, text_enum, utc_now
from db.models.enums import UploadStatus


class Upload(SQLModel, table=True):
    """`md5` is the client's optional second check; `sha256` and the size stand on the media.

    `key` is where the bytes are sent: the blob's, or one to be copied from. An upload in parts has a
    `part_size`, in bytes; `multipart_id` is the store's name for it, bound once when it is first opened.
    `block_sha256s` are the client's claims of all parts, 32 bytes each. With `is_stored` there was nothing to
    send: the bytes were here already.
    """

    __tablename__: ClassVar[Any] = "uploads"
    __table_args__ = (
        Index("uploads_pending_expiry", "expires_at", postgresql_where=text("status = 'PENDING'")),
        Index("uploads_pending_key", "key", unique=True, postgresql_where=text("status = 'PENDING'")),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    media_id: UUID = Field(
        sa_column=Column(ForeignKey("media.id", ondelete="CASCADE"), nullable=False, unique=True)
    )
    key: str = Field(sa_type=Text)
    md5: str | None = Field(default=None, sa_type=Text)
    part_size: int | None = Field(default=None, sa_type=BigInteger)
    multipart_id: str | None = Field(default=None, sa_type=Text)
    block_sha256s: bytes | None = Field(default=None, sa_type=LargeBinary)
    is_stored: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    status: UploadStatus = Field(sa_type=text_enum(UploadStatus))
    expires_at: datetime = Field(sa_type=TIMESTAMP)
    created_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)


class PossessionChallenge(SQLModel, table=True):
    """A proof that was asked of an upload's owner: that they hold the bytes of the blob too.

    No foreign keys: how many somebody was asked is remembered when their upload or the blob is gone.
    `offsets` are where the ranges begin, in bytes; `answered_at` is set by the one try there is.
    """

    __tablename__: ClassVar[Any] = "possession_challenges"
    __table_args__ = (Index("possession_challenges_owner", "owner_id", "created_at"),)

    upload_id: UUID = Field(primary_key=True)
    owner_id: UUID
    blob_id: UUID
    nonce: str = Field(sa_type=Text)
    offsets: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))
    answered_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    created_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)


class IdempotencyKey(SQLModel, table=True):
    """A request for an upload that was answered with `media_id`, by the key that its client gave it.

    No foreign key to the media: the key stays taken when the media is deleted. `digest` is the SHA-256 of
    the request, to tell another one under the same key.
    """

    __tablename__: ClassVar[Any] = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_created", "created_at"),)

    owner_id: UUID = Field(foreign_key="users.id", primary_key=True)
    key: str = Field(sa_type=Text, primary_key=True)
    digest: bytes = Field(sa_type=LargeBinary)
    media_id: UUID
    created_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)
