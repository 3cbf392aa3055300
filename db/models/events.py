"""The log of changes of media."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, Identity, Index, Text, text
from sqlmodel import Field, SQLModel

from db.models.columns import TIMESTAMP, new_id, text_enum, utc_now
from db.models.enums import MediaEventType, MediaKind, MediaStatus, Visibility


class MediaEvent(SQLModel, table=True):
    """One line of the log: what was true of the media before and after one change.

    No foreign keys: the line outlives the media, so that DELETED can be told to those who could see it.
    `position` is null until the line is numbered, after its commit (docs/decisions/0002).
    """

    __tablename__: ClassVar[Any] = "media_events"
    __table_args__ = (
        Index("media_events_position", "position", unique=True),
        Index("media_events_unnumbered", "version", "id", postgresql_where=text("position IS NULL")),
        Index("media_events_media_version", "media_id", "version", unique=True),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    media_id: UUID
    owner_id: UUID
    version: int
    type: MediaEventType = Field(sa_type=text_enum(MediaEventType))
    status: MediaStatus = Field(sa_type=text_enum(MediaStatus))
    previous_status: MediaStatus | None = Field(default=None, sa_type=text_enum(MediaStatus))
    kind: MediaKind = Field(sa_type=text_enum(MediaKind))
    previous_kind: MediaKind | None = Field(default=None, sa_type=text_enum(MediaKind))
    visibility: Visibility = Field(sa_type=text_enum(Visibility))
    previous_visibility: Visibility | None = Field(default=None, sa_type=text_enum(Visibility))
    #: Tag slugs, sorted, after and before.
    tags: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    previous_tags: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text)))
    at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)
    position: int | None = Field(default=None, sa_type=BigInteger)


class EventLog(SQLModel, table=True):
    """The one row that numbers the log.

    `epoch` names this log; `position` is the last number given; lines up to `pruned_through` are no longer
    kept. `home` is the database that the log belongs to: in another one, as after the restore of a dump, a
    new epoch is drawn (`db.home.settle_home`).
    """

    __tablename__: ClassVar[Any] = "event_log"

    id: int = Field(default=1, primary_key=True, sa_column_kwargs={"autoincrement": False})
    epoch: UUID = Field(default_factory=new_id)
    position: int = Field(default=0, sa_type=BigInteger)
    pruned_through: int = Field(default=0, sa_type=BigInteger)
    home: str | None = Field(default=None, sa_type=Text)
