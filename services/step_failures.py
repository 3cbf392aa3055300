"""What it means for a step when its work raises: which code the client sees, and whether to try again."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from db.models import FailureCode
from pipeline.facts import (
    ChildCrashedError,
    CorruptInputError,
    LimitExceededError,
    TimedOutError,
    UnsupportedFormatError,
)
from storage.errors import StorageFullError, StorageUnavailableError

#: Before the next attempt when the object store is away: as long again as it has been, within these.
FIRST_STORE_PAUSE = timedelta(seconds=5)
LONGEST_STORE_PAUSE = timedelta(minutes=1)

#: How long a step waits for the object store before it fails.
STORE_PATIENCE = timedelta(hours=24)

_OF_THE_BYTES: dict[type[Exception], FailureCode] = {
    UnsupportedFormatError: FailureCode.UNSUPPORTED_FORMAT,
    CorruptInputError: FailureCode.CORRUPT_INPUT,
    LimitExceededError: FailureCode.LIMIT_EXCEEDED,
    TimedOutError: FailureCode.TIMED_OUT,
}


class ClaimMismatch(Exception):
    """The stored bytes are not what was announced.

    Where their hash isn't, `expected` and `actual` are the two that were compared, in lower-case hex.
    """

    def __init__(
        self, code: FailureCode, message: str, *, expected: str | None = None, actual: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.expected = expected
        self.actual = actual


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailure:
    """`try_again`: while attempts are left. `message` is for the owner of the media.

    `expected` and `actual` are those of a `ClaimMismatch`. With `store_is_away` nothing was wrong with the
    step: the attempt does not count, and `store_pause` says when the next one is due.
    """

    code: FailureCode
    message: str
    try_again: bool
    store_is_away: bool = False
    expected: str | None = None
    actual: str | None = None


def failure_of(error: Exception) -> StepFailure:
    """A sentence about the bytes is passed on; one about the inside of the service is not."""
    if isinstance(error, ClaimMismatch):
        return StepFailure(
            code=error.code,
            message=str(error),
            try_again=False,
            expected=error.expected,
            actual=error.actual,
        )
    for kind, code in _OF_THE_BYTES.items():
        if isinstance(error, kind):
            return StepFailure(code=code, message=str(error), try_again=False)
    if isinstance(error, StorageUnavailableError | StorageFullError):
        hours = STORE_PATIENCE // timedelta(hours=1)
        return StepFailure(
            code=FailureCode.INTERNAL,
            message=f"The object store could not be used for {hours} hours.",
            try_again=False,
            store_is_away=True,
        )
    if isinstance(error, ChildCrashedError):
        return StepFailure(
            code=FailureCode.INTERNAL, message="The process that read the file ended early.", try_again=True
        )
    return StepFailure(code=FailureCode.INTERNAL, message="The file could not be processed.", try_again=True)


def store_pause(*, away_since: datetime, now: datetime) -> timedelta | None:
    """How long to wait for the store before the next attempt: 5 s to 1 min; None when it was long enough."""
    away = now - away_since
    if away >= STORE_PATIENCE:
        return None
    return min(max(away, FIRST_STORE_PAUSE), LONGEST_STORE_PAUSE)
