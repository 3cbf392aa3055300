"""The tables. A row is a fact; `media.version` and the log of its changes move together in one transaction.

Ids are UUIDv7, so they sort by creation; all times are timestamptz in UTC.
"""

from db.models.blobs import Blob, BlobBlock, DeletionOutbox
from db.models.columns import is_same_json, new_id, utc_now
from db.models.enums import (
    FailureCode,
    MediaEventType,
    MediaKind,
    MediaStatus,
    RenditionRole,
    Role,
    StepStatus,
    UploadStatus,
    Visibility,
)
from db.models.events import EventLog, MediaEvent
from db.models.media import FILENAME_ORDER, HAS_METADATA, IS_PUBLIC, Media, MediaSearch
from db.models.processing import ProcessingStep, Rendition
from db.models.publications import IS_UNFINISHED, Publication, PublicationChange
from db.models.tags import IS_ALIVE, TAG_WORDS, MediaTag, Tag
from db.models.uploads import IdempotencyKey, PossessionChallenge, Upload
from db.models.users import User

__all__ = [
    "FILENAME_ORDER",
    "HAS_METADATA",
    "IS_ALIVE",
    "IS_PUBLIC",
    "IS_UNFINISHED",
    "TAG_WORDS",
    "Blob",
    "BlobBlock",
    "DeletionOutbox",
    "EventLog",
    "FailureCode",
    "IdempotencyKey",
    "Media",
    "MediaEvent",
    "MediaEventType",
    "MediaKind",
    "MediaSearch",
    "MediaStatus",
    "MediaTag",
    "PossessionChallenge",
    "ProcessingStep",
    "Publication",
    "PublicationChange",
    "Rendition",
    "RenditionRole",
    "Role",
    "StepStatus",
    "Tag",
    "Upload",
    "UploadStatus",
    "User",
    "Visibility",
    "is_same_json",
    "new_id",
    "utc_now",
]
