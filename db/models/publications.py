"""Copies of renditions that everybody may read."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, Text, text
from sqlmodel import Field, SQLModel

from db.models.columns import TIMESTAMP, utc_now

#: Of a publication: not all copies are there, or not all are gone.
IS_UNFINISHED = "published_at IS NULL OR withdrawn_at IS NOT NULL"


class Publication(SQLModel, table=True):
    """The copies of a media's renditions below `public/`, the one prefix that is served unsigned.

    The row is there before the first copy and until after the last one is removed, also when its media is
    not. `published_at` is set once all copies are there, `withdrawn_at` before the first one is removed:
    such a prefix is never used again.
    """

    __tablename__: ClassVar[Any] = "publications"
    __table_args__ = (Index("publications_unfinished", "media_id", postgresql_where=text(IS_UNFINISHED)),)

    media_id: UUID = Field(primary_key=True)
    #: `public/<random>`: nobody finds it without having been given an address.
    prefix: str = Field(sa_type=Text, unique=True)
    published_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    withdrawn_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    created_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)


class PublicationChange(SQLModel, table=True):
    """That a media's renditions are to be public since `at`, or no longer: written by a trigger on the media,
    in the transaction of the change, and gone once the media was settled. So settled media cost nothing.
    """

    __tablename__: ClassVar[Any] = "publication_changes"

    media_id: UUID = Field(primary_key=True)
    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    at: datetime = Field(sa_column=Column(TIMESTAMP, server_default=text("now()"), nullable=False))
