"""Tags, and the media that carry them."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Column, FetchedValue, ForeignKey, Index, Text, text
from sqlmodel import Field, SQLModel

from db.models.columns import TIMESTAMP, new_id, utc_now

#: Of a tag.
IS_ALIVE = "deleted_at IS NULL"

#: The words of a tag's slug, which has hyphens between them and may have underscores in them.
TAG_WORDS = "array_to_tsvector(array_remove(string_to_array(replace(slug, '_', '-'), '-'), ''))"


class Tag(SQLModel, table=True):
    """`media_count` is kept by a trigger on the links. A deleted tag is out of sight at once; its row goes
    when it is off the last media.
    """

    __tablename__: ClassVar[Any] = "tags"
    __table_args__ = (
        Index("tags_owner_slug", "owner_id", "slug", unique=True, postgresql_where=text(IS_ALIVE)),
        Index("tags_slug", "slug", postgresql_where=text(IS_ALIVE)),
        Index("tags_words", text(TAG_WORDS), postgresql_using="gin", postgresql_where=text(IS_ALIVE)),
        Index("tags_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id")
    name: str = Field(sa_type=Text)
    slug: str = Field(sa_type=Text)
    media_count: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    created_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)
    deleted_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)


class MediaTag(SQLModel, table=True):
    """`media_created_at` is the media's, which nobody moves: an index has the media of a tag in their order.

    A trigger copies it when the link is made.
    """

    __tablename__: ClassVar[Any] = "media_tags"
    __table_args__ = (Index("media_tags_tag_created", "tag_id", "media_created_at", "media_id"),)

    media_id: UUID = Field(
        sa_column=Column(ForeignKey("media.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    tag_id: UUID = Field(
        sa_column=Column(ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True, nullable=False)
    )
    media_created_at: datetime | None = Field(
        default=None, sa_column=Column(TIMESTAMP, FetchedValue(), nullable=False)
    )
