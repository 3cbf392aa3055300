"""The steps of processing, and the files that they make."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, ForeignKey, Index, Text, text
from sqlmodel import Field, SQLModel

from db.models.columns import TIMESTAMP, new_id, text_enum, utc_now
from db.models.enums import FailureCode, RenditionRole, StepStatus


class Rendition(SQLModel, table=True):
    """A file made from a blob; the same for every media that shows the blob."""

    __tablename__: ClassVar[Any] = "renditions"
    __table_args__ = (Index("renditions_blob_recipe_name", "blob_id", "recipe", "name", unique=True),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    blob_id: UUID = Field(sa_column=Column(ForeignKey("blobs.id", ondelete="CASCADE"), nullable=False))
    recipe: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    role: RenditionRole = Field(sa_type=text_enum(RenditionRole))
    mime_type: str = Field(sa_type=Text)
    width: int
    height: int
    size: int = Field(sa_type=BigInteger)
    key: str = Field(sa_type=Text)
    created_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)


class ProcessingStep(SQLModel, table=True):
    """One node of a media's processing DAG. `attempt` is the fence: only its holder may finish the step.

    `job_id` is the queue's job that runs it: a job delivered again may take the step over, another may not.
    `uncounted_attempts` are those that a stopping worker gave back, those that found the object store away,
    and all from before a retry that somebody asked for: they don't count towards the limit. The attempts
    since `store_away_since` have found it so, one after the other.
    """

    __tablename__: ClassVar[Any] = "processing_steps"
    __table_args__ = (
        Index("processing_steps_media_name", "media_id", "name", unique=True),
        Index(
            "processing_steps_unfinished",
            "updated_at",
            postgresql_where=text("status IN ('QUEUED', 'RUNNING')"),
        ),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    media_id: UUID = Field(sa_column=Column(ForeignKey("media.id", ondelete="CASCADE"), nullable=False))
    recipe: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    depends_on: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    status: StepStatus = Field(sa_type=text_enum(StepStatus))
    attempt: int = 0
    uncounted_attempts: int = 0
    store_away_since: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    job_id: int | None = Field(default=None, sa_type=BigInteger)
    failure_code: FailureCode | None = Field(default=None, sa_type=text_enum(FailureCode))
    failure_message: str | None = Field(default=None, sa_type=Text)
    started_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    finished_at: datetime | None = Field(default=None, sa_type=TIMESTAMP)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=TIMESTAMP)
