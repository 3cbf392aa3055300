"""The enums of the contract, with a sentence for each of their values.

Those that stand in tables are the tables' own: one definition, described here for the public.
"""

from enum import Enum, StrEnum
from typing import TypeVar

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from db.media_lists import MediaOrder, MediaScope
from db.models import (
    FailureCode,
    MediaKind,
    MediaStatus,
    RenditionRole,
    Role,
    UploadStatus,
    Visibility,
)

AnyEnum = TypeVar("AnyEnum", bound=type[Enum])


def _describe(enum: AnyEnum, description: str, **sentences: str) -> AnyEnum:
    """Make the enum a GraphQL one. Raises KeyError for a value without a sentence."""
    strawberry.enum(enum, description=description)
    definition: StrawberryEnumDefinition = enum.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = sentences[value.name]
    return enum


class Disposition(StrEnum):
    INLINE = "INLINE"
    ATTACHMENT = "ATTACHMENT"


class ErrorCode(StrEnum):
    INVALID_INPUT = "INVALID_INPUT"
    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    CONFLICT = "CONFLICT"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE"
    OBJECT_MISSING = "OBJECT_MISSING"
    PARTS_MISSING = "PARTS_MISSING"
    SIZE_MISMATCH = "SIZE_MISMATCH"
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    UPLOAD_EXPIRED = "UPLOAD_EXPIRED"
    CHALLENGE_FAILED = "CHALLENGE_FAILED"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"


class MediaEventType(StrEnum):
    """What a stream sends; the first four stand in the log (`db.models.MediaEventType`)."""

    CREATED = "CREATED"
    STATUS_CHANGED = "STATUS_CHANGED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    SNAPSHOT = "SNAPSHOT"
    CURSOR = "CURSOR"
    RESYNC = "RESYNC"


_describe(
    Role,
    "What a user may do.",
    VIEWER="May look.",
    EDITOR="May look, upload and change what is theirs.",
    ADMIN="May do everything.",
)
_describe(
    MediaStatus,
    "Where a media stands on its way.",
    UPLOADING="Its bytes are awaited.",
    PROCESSING="Its bytes are stored and being worked on.",
    READY="It can be shown.",
    FAILED="It ended without a result; `failure` says why.",
)
_describe(
    MediaKind,
    "What a media is: from its declared type first, from its bytes once they are inspected.",
    IMAGE="A picture.",
    VIDEO="A film.",
    AUDIO="Sound without a picture.",
    DOCUMENT="A document.",
    OTHER="Anything else.",
)
_describe(
    Visibility,
    "Who may look at a media.",
    PRIVATE="Its owner, and admins.",
    PUBLIC="Everybody.",
)
_describe(
    MediaScope,
    "Whose media.",
    MINE="The viewer's own.",
    PUBLIC="Those that are public, whoever owns them.",
    ALL="All; for admins only.",
)
_describe(
    MediaOrder,
    "The order of a list; media that are equal in it follow each other by their ids. By CREATED_AT, whoever "
    "pages through it meets each media that is there throughout exactly once; in the other orders one that "
    "is changed between two pages may be met twice or not at all.",
    CREATED_AT_DESC="The newest first.",
    CREATED_AT_ASC="The oldest first.",
    UPDATED_AT_DESC="The last changed first.",
    FILENAME_ASC="By filename, in the order of its characters' codes, A to Z as a to z.",
    SIZE_DESC="The largest first.",
)
_describe(
    UploadStatus,
    "Where an upload stands.",
    PENDING="The bytes are awaited.",
    COMPLETED="It was finalized.",
    EXPIRED="The bytes did not arrive in time.",
    ABORTED="It was given up.",
)
_describe(
    RenditionRole,
    "What a rendition is for.",
    THUMBNAIL="The smallest still, for grids.",
    IMAGE="A picture to show; of an animation the one that moves.",
    POSTER="A still to show in place of what moves.",
)
_describe(
    FailureCode,
    "Why a media failed.",
    CHECKSUM_MISMATCH="The stored bytes have another digest than was announced.",
    SIZE_MISMATCH="The stored bytes are not as many as were announced.",
    UNSUPPORTED_FORMAT="The bytes are of no format that is processed here.",
    CORRUPT_INPUT="The bytes are damaged.",
    LIMIT_EXCEEDED="The media is larger than what is processed here.",
    UPLOAD_EXPIRED="The bytes did not arrive in time.",
    TIMED_OUT="Processing took too long.",
    WORKER_LOST="The worker was lost each time it tried.",
    CANCELLED="The upload was given up, or the processing cancelled.",
    INTERNAL="Something went wrong inside the service.",
)
_describe(
    Disposition,
    "What a browser does with an address.",
    INLINE="Shows the file.",
    ATTACHMENT="Saves the file.",
)
_describe(
    ErrorCode,
    "What kind of mistake a `UserError` speaks of.",
    INVALID_INPUT="A field has a value that it can't have.",
    NOT_FOUND="There is no such thing, or it is not yours.",
    FORBIDDEN="This is not for you to do.",
    CONFLICT="The thing is in a state that forbids this.",
    QUOTA_EXCEEDED="There is no room for these bytes in the quota.",
    FILE_TOO_LARGE="The file is larger than what is accepted.",
    UNSUPPORTED_TYPE="Files of this type are not accepted.",
    OBJECT_MISSING="The bytes have not arrived yet.",
    PARTS_MISSING="Not all parts have arrived as announced.",
    SIZE_MISMATCH="The stored bytes are not as many as were announced.",
    CHECKSUM_MISMATCH="The stored bytes have another digest than was announced.",
    UPLOAD_EXPIRED="The upload was not finished in time.",
    CHALLENGE_FAILED="Possession of the bytes was not proved, or nothing is asked (any more): send them.",
    STORAGE_UNAVAILABLE="The object store does not answer; try again later.",
)
_describe(
    MediaEventType,
    "What an event tells.",
    CREATED="A media was created.",
    STATUS_CHANGED="The status of a media changed.",
    UPDATED="Something else about a media changed.",
    DELETED="A media was deleted.",
    SNAPSHOT="How a media stands now; not in the log, so it may repeat what an event told.",
    CURSOR="A place to resume from, sent at once when no cursor was given; concerns no media.",
    RESYNC="The cursor is too old or of another log: read the list again; concerns no media.",
)

__all__ = [
    "Disposition",
    "ErrorCode",
    "FailureCode",
    "MediaEventType",
    "MediaKind",
    "MediaOrder",
    "MediaScope",
    "MediaStatus",
    "RenditionRole",
    "Role",
    "UploadStatus",
    "Visibility",
]
