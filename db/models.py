"""The tables. A row is a fact; `media.version` and the log of its changes move together in one transaction.

Ids are UUIDv7, so they sort by creation; all times are timestamptz in UTC.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

import orjson
import uuid_utils
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Enum,
    FetchedValue,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlmodel import Field, SQLModel


class Role(StrEnum):
    VIEWER = "VIEWER"
    EDITOR = "EDITOR"
    ADMIN = "ADMIN"


class MediaStatus(StrEnum):
    UPLOADING = "UPLOADING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"


class MediaKind(StrEnum):
    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    AUDIO = "AUDIO"
    DOCUMENT = "DOCUMENT"
    OTHER = "OTHER"


class Visibility(StrEnum):
    PRIVATE = "PRIVATE"
    PUBLIC = "PUBLIC"


class UploadStatus(StrEnum):
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    EXPIRED = "EXPIRED"
    ABORTED = "ABORTED"


class RenditionRole(StrEnum):
    THUMBNAIL = "THUMBNAIL"
    IMAGE = "IMAGE"
    POSTER = "POSTER"


class StepStatus(StrEnum):
    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    #: What it would have made was there already.
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"


class FailureCode(StrEnum):
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    SIZE_MISMATCH = "SIZE_MISMATCH"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    CORRUPT_INPUT = "CORRUPT_INPUT"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    UPLOAD_EXPIRED = "UPLOAD_EXPIRED"
    TIMED_OUT = "TIMED_OUT"
    WORKER_LOST = "WORKER_LOST"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"

    @property
    def retryable(self) -> bool:
        """Whether another attempt on the same bytes, where they came, may end differently."""
        return self in {
            FailureCode.TIMED_OUT,
            FailureCode.WORKER_LOST,
            FailureCode.CANCELLED,
            FailureCode.INTERNAL,
        }


class MediaEventType(StrEnum):
    """The types that stand in the log; the others of the contract exist only on the wire."""

    CREATED = "CREATED"
    STATUS_CHANGED = "STATUS_CHANGED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


def new_id() -> UUID:
    return UUID(int=uuid_utils.uuid7().int)


def utc_now() -> datetime:
    return datetime.now(UTC)


def _text_enum(enum: type[StrEnum]) -> Any:
    """Stored as text: a new value needs no ALTER TYPE. Reading a value that the enum lacks raises."""
    return Enum(enum, native_enum=False, length=32, create_constraint=False)


_TIMESTAMP = DateTime(timezone=True)


def is_same_json(one: object, other: object) -> bool:
    """Whether two values are one JSON text, keys in any order: to Python, 1, 1.0 and True are equal."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


class _Json(JSONB):
    """Sees every change of a value: an attribute that is set to an equal one is not written."""

    def compare_values(self, x: Any, y: Any) -> bool:
        return is_same_json(x, y)


class User(SQLModel, table=True):
    """`used_bytes` is the sum of `held_bytes` of the user's media, kept by a trigger on them; whoever adds to
    it up to the quota locks the row before. `quota_bytes` is null where the setting's default holds.
    """

    __tablename__: ClassVar[Any] = "users"

    id: UUID = Field(default_factory=new_id, primary_key=True)
    username: str = Field(sa_type=Text, unique=True)
    role: Role = Field(sa_type=_text_enum(Role))
    used_bytes: int = Field(default=0, sa_column=Column(BigInteger, server_default=text("0"), nullable=False))
    quota_bytes: int | None = Field(default=None, sa_type=BigInteger)
    created_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)


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
    verified_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    is_shared: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    recipe: str | None = Field(default=None, sa_type=Text)
    facts: dict[str, Any] | None = Field(default=None, sa_column=Column(_Json(none_as_null=True)))
    created_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)


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


#: Names in the order of their bytes, capital letters of ASCII as small ones: the same in every database.
FILENAME_ORDER = """lower(filename COLLATE "C")"""

IS_PUBLIC = "visibility = 'PUBLIC'"
HAS_METADATA = "metadata <> '{}'"

#: Of a publication: not all copies are there, or not all are gone.
IS_UNFINISHED = "published_at IS NULL OR withdrawn_at IS NOT NULL"

#: Of a tag.
IS_ALIVE = "deleted_at IS NULL"

#: The words of a tag's slug, which has hyphens between them and may have underscores in them.
TAG_WORDS = "array_to_tsvector(array_remove(string_to_array(replace(slug, '_', '-'), '-'), ''))"


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
    kind: MediaKind = Field(sa_type=_text_enum(MediaKind))
    status: MediaStatus = Field(sa_type=_text_enum(MediaStatus))
    visibility: Visibility = Field(default=Visibility.PRIVATE, sa_type=_text_enum(Visibility))
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
        default_factory=dict, sa_column=Column("metadata", _Json, nullable=False, server_default=text("'{}'"))
    )
    #: The facts of the inspected picture, the fields of `ImageDetails`; null until inspected.
    details: dict[str, Any] | None = Field(default=None, sa_column=Column(_Json(none_as_null=True)))
    failure_code: FailureCode | None = Field(default=None, sa_type=_text_enum(FailureCode))
    failure_message: str | None = Field(default=None, sa_type=Text)
    failure_step: str | None = Field(default=None, sa_type=Text)
    #: Of a CHECKSUM_MISMATCH: the two hashes in lower-case hex; null where it was found before revision 0005.
    failure_expected: str | None = Field(default=None, sa_type=Text)
    failure_actual: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)
    ready_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)


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
    status: UploadStatus = Field(sa_type=_text_enum(UploadStatus))
    expires_at: datetime = Field(sa_type=_TIMESTAMP)
    created_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)


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
    answered_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    created_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)


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
    created_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)


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
    published_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    withdrawn_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    created_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)


class PublicationChange(SQLModel, table=True):
    """That a media's renditions are to be public since `at`, or no longer: written by a trigger on the media,
    in the transaction of the change, and gone once the media was settled. So settled media cost nothing.
    """

    __tablename__: ClassVar[Any] = "publication_changes"

    media_id: UUID = Field(primary_key=True)
    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    at: datetime = Field(sa_column=Column(_TIMESTAMP, server_default=text("now()"), nullable=False))


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
    created_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)
    deleted_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)


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
        default=None, sa_column=Column(_TIMESTAMP, FetchedValue(), nullable=False)
    )


class Rendition(SQLModel, table=True):
    """A file made from a blob; the same for every media that shows the blob."""

    __tablename__: ClassVar[Any] = "renditions"
    __table_args__ = (Index("renditions_blob_recipe_name", "blob_id", "recipe", "name", unique=True),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    blob_id: UUID = Field(sa_column=Column(ForeignKey("blobs.id", ondelete="CASCADE"), nullable=False))
    recipe: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    role: RenditionRole = Field(sa_type=_text_enum(RenditionRole))
    mime_type: str = Field(sa_type=Text)
    width: int
    height: int
    size: int = Field(sa_type=BigInteger)
    key: str = Field(sa_type=Text)
    created_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)


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
    status: StepStatus = Field(sa_type=_text_enum(StepStatus))
    attempt: int = 0
    uncounted_attempts: int = 0
    store_away_since: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    job_id: int | None = Field(default=None, sa_type=BigInteger)
    failure_code: FailureCode | None = Field(default=None, sa_type=_text_enum(FailureCode))
    failure_message: str | None = Field(default=None, sa_type=Text)
    started_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    finished_at: datetime | None = Field(default=None, sa_type=_TIMESTAMP)
    updated_at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)


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
    type: MediaEventType = Field(sa_type=_text_enum(MediaEventType))
    status: MediaStatus = Field(sa_type=_text_enum(MediaStatus))
    previous_status: MediaStatus | None = Field(default=None, sa_type=_text_enum(MediaStatus))
    kind: MediaKind = Field(sa_type=_text_enum(MediaKind))
    previous_kind: MediaKind | None = Field(default=None, sa_type=_text_enum(MediaKind))
    visibility: Visibility = Field(sa_type=_text_enum(Visibility))
    previous_visibility: Visibility | None = Field(default=None, sa_type=_text_enum(Visibility))
    #: Tag slugs, sorted, after and before.
    tags: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    previous_tags: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text)))
    at: datetime = Field(default_factory=utc_now, sa_type=_TIMESTAMP)
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


class DeletionOutbox(SQLModel, table=True):
    """Blobs that may not be needed any more: their media was deleted, or their upload came to nothing.

    Once `not_before` has passed, the collector looks whether they are. The row outlives the blob's, so that
    the objects below `key` are removed although nothing else knows of them.
    """

    __tablename__: ClassVar[Any] = "deletion_outbox"

    blob_id: UUID = Field(primary_key=True)
    key: str = Field(sa_type=Text)
    not_before: datetime = Field(sa_type=_TIMESTAMP, index=True)
