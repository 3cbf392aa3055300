"""What it means for a step when its work raises: which code the client sees, and whether to try again."""

from dataclasses import dataclass

from db.models import FailureCode
from pipeline.facts import (
    ChildCrashedError,
    CorruptInputError,
    LimitExceededError,
    TimedOutError,
    UnsupportedFormatError,
)

_OF_THE_BYTES: dict[type[Exception], FailureCode] = {
    UnsupportedFormatError: FailureCode.UNSUPPORTED_FORMAT,
    CorruptInputError: FailureCode.CORRUPT_INPUT,
    LimitExceededError: FailureCode.LIMIT_EXCEEDED,
    TimedOutError: FailureCode.TIMED_OUT,
}


class ClaimMismatch(Exception):
    """The stored bytes are not what the client announced."""

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFailure:
    """`try_again`: while attempts are left. `message` is for the owner of the media."""

    code: FailureCode
    message: str
    try_again: bool


def failure_of(error: Exception) -> StepFailure:
    """A sentence about the bytes is passed on; one about the inside of the service is not."""
    if isinstance(error, ClaimMismatch):
        return StepFailure(code=error.code, message=str(error), try_again=False)
    for kind, code in _OF_THE_BYTES.items():
        if isinstance(error, kind):
            return StepFailure(code=code, message=str(error), try_again=False)
    if isinstance(error, ChildCrashedError):
        return StepFailure(
            code=FailureCode.INTERNAL, message="The process that read the file ended early.", try_again=True
        )
    return StepFailure(code=FailureCode.INTERNAL, message="The file could not be processed.", try_again=True)
