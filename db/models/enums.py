"""What columns may hold, as text."""

from enum import StrEnum


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
