"""Media, and the words by which they are found."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field, SQLModel

from db.models.columns import TIMESTAMP, Json, new_id, text_enum, utc_now
from db.models.enums import FailureCode, MediaKind, MediaStatus, Visibility

#: Names in the order of their bytes, capital letters of ASCII as small ones: the same in every database.
FILENAME_ORDER = """lower(filename COLLATE "C")"""

IS_PUBLIC = "visibility = 'PUBLIC'"
HAS_METADATA = "metadata <> '{}'"


class Media(SQLModel, table=True):
    """`mime_type`, `size` and, until `sha256_verified`, `sha256` are what the client claimed.

    `held_bytes` is what the media takes of its owner's quota: its size from the request on, and 0 once its
    bytes were given up, which is for good. Only while it is more is the blob needed.
    """

    __tablename__: ClassVar[Any] = "media"
    # A list of one owner's begins with the owner, one of what is public holds nothing else, and one of
    # everything is an admin's; each in the five orders of `db.media_lists`.
    __table_args__ = (
        Index("media_owner_created", "owner_id", "created_at", "id"),
        Index("media_owner_updated", "owner_id", "updated_at", "id"),
        Index("media_owner_filename", "owner_id", text(FILENAME_ORDER), "id"),
        Index("media_owner_size", "owner_id", "size", "id"),
        Index("media_owner_status_created", "owner_id", "status", "created_at", "id"),
        Index("media_owner_kind_created", "owner_id", "kind", "created_at", "id"),
        Index("media_public_created", "created_at", "id", postgresql_where=text(IS_PUBLIC)),
        Index("media_public_updated", "updated_at", "id", postgresql_where=text(IS_PUBLIC)),
        Index("media_public_filename", text(FILENAME_ORDER), "id", postgresql_where=text(IS_PUBLIC)),
        Index("media_public_size", "size", "id", postgresql_where=text(IS_PUBLIC)),
        Index("media_created", "created_at", "id"),
        Index("media_updated", "updated_at", "id"),
        Index("media_filename", text(FILENAME_ORDER), "id"),
        Index("media_size", "size", "id"),
        # Most media have no metadata, and every change of a row writes its entries anew.
        Index(
            "media_metadata",
            "metadata",
            postgresql_using="gin",
            postgresql_ops={"metadata": "jsonb_path_ops"},
            postgresql_where=text(HAS_METADATA),
        ),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id")
    blob_id: UUID = Field(
        sa_column=Column(ForeignKey("blobs.id", ondelete="RESTRICT"), nullable=False, index=True)
    )
    version: int = 1
    kind: MediaKind = Field(sa_type=text_enum(MediaKind))
    status: MediaStatus = Field(sa_type=text_enum(MediaStatus))
    visibility: Visibility = Field(default=Visibility.PRIVATE, sa_type=text_enum(Visibility))
    filename: str = Field(sa_type=Text)
    mime_type: str = Field(sa_type=Text)
    detected_mime_type: str | None = Field(default=None, sa_type=Text)
    size: int = Field(sa_type=BigInteger)
    held_bytes: int = Field(default=0, sa_column=Column(BigInteger, server_default=text("0"), nullable=False))
    sha256: str | None = Field(default=None, sa_type=Text)
    sha256_verified: bool = False
    title: str | None = Field(default=None, sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    # "metadata" is SQLModel's own attribute.
    client_metadata: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column("metadata", Json, nullable=False, server_default=text("'{}'"))
    )
    #: The facts of the inspected picture, the fields of `ImageDetails`; null until inspected.
    details: dict[str, Any] | None = Field(default=None, sa_column=Column(Json(none_as_null=True)))
    failure_code: FailureCode | None = Field(default=None, sa_type=text_enum(FailureCode))
    failure_message: str | None = Field(default=None, sa_type=Text)
    failure_step: str | None = Field(default=None, sa_type=Text)
    #: Of a CHECKSUM_MISMATCH: the two hashes in lower-case hex; null where it was found before revision 0005.
    failure_expected: str | None = Field(default=None, sa_type=Text)
    failure_actual: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)
    ready_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)


class MediaSearch(SQLModel, table=True):
    """The words by which a media is found, but for those of its tags (`db.search` says which words).

    A table of its own: a media's row changes with every step of its processing, these words do not.
    """

    __tablename__: ClassVar[Any] = "media_search"
    __table_args__ = (Index("media_search_words", "words", postgresql_using="gin"),)

    media_id: UUID = Field(
        sa_column=Column(ForeignKey("media.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    words: str = Field(sa_column=Column(TSVECTOR, nullable=False))
