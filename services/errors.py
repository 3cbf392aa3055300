"""What a user can be told and can mend.

Refusal
├── InvalidInput
├── NotFound
├── Forbidden
├── Conflict
├── Taken
├── FileTooLarge
├── UnsupportedType
├── ObjectMissing
├── PartsMissing
├── QuotaExceeded
├── ChallengeFailed
├── SizeMismatch
├── ChecksumMismatch
├── UploadExpired
└── StorageUnavailable

`Rejected` carries several at once, so that a form shows all of them. Everything else that is raised is
a defect or an outage: masked towards the client, logged with a trace id.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class Refusal(Exception):
    """One sentence for a person; `path` names the field of the input that it speaks of."""

    code: ClassVar[str]

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class InvalidInput(Refusal):
    code = "INVALID_INPUT"


class NotFound(Refusal):
    code = "NOT_FOUND"


class Forbidden(Refusal):
    code = "FORBIDDEN"


class Conflict(Refusal):
    code = "CONFLICT"

    def __init__(self, message: str, *path: str, current_version: int) -> None:
        super().__init__(message, *path)
        self.current_version = current_version


class Taken(Refusal):
    """A conflict with something that has no version: a name or a key is another's already."""

    code = "CONFLICT"


class FileTooLarge(Refusal):
    code = "FILE_TOO_LARGE"


class UnsupportedType(Refusal):
    code = "UNSUPPORTED_TYPE"


class ObjectMissing(Refusal):
    code = "OBJECT_MISSING"


class PartsMissing(Refusal):
    code = "PARTS_MISSING"

    def __init__(self, message: str, *path: str, missing: list[int]) -> None:
        super().__init__(message, *path)
        self.missing = missing


class QuotaExceeded(Refusal):
    """`limit` and `used` in bytes."""

    code = "QUOTA_EXCEEDED"

    def __init__(self, message: str, *path: str, limit: int, used: int) -> None:
        super().__init__(message, *path)
        self.limit = limit
        self.used = used


class ChallengeFailed(Refusal):
    code = "CHALLENGE_FAILED"


class SizeMismatch(Refusal):
    code = "SIZE_MISMATCH"


class ChecksumMismatch(Refusal):
    """`expected` and `actual`, of the same bytes, in lower-case hex; None where they were not kept."""

    code = "CHECKSUM_MISMATCH"

    def __init__(self, message: str, *path: str, expected: str | None, actual: str | None) -> None:
        super().__init__(message, *path)
        self.expected = expected
        self.actual = actual


class UploadExpired(Refusal):
    code = "UPLOAD_EXPIRED"


class StorageUnavailable(Refusal):
    code = "STORAGE_UNAVAILABLE"


def no_such_media(field: str) -> NotFound:
    """Also for one that is there and not for the viewer to see."""
    return NotFound("There is no such media.", field)


class Rejected(Exception):
    """The input was refused for one or more reasons; nothing was changed."""

    def __init__(self, refusals: list[Refusal]) -> None:
        super().__init__("; ".join(refusal.message for refusal in refusals))
        self.refusals = refusals


@contextmanager
def collecting(refusals: list[Refusal]) -> Iterator[None]:
    """Keep a Refusal raised within the block, to go on with the next field."""
    try:
        yield
    except Refusal as refusal:
        refusals.append(refusal)
