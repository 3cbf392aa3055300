"""What a user can mend, as the errors of the schema: each with all that its type promises."""

from dataclasses import asdict

import pytest

from resolvers.errors import user_errors
from schema.enums import ErrorCode
from schema.errors import (
    ChecksumMismatchError,
    ConflictError,
    GenericError,
    InvalidInputError,
    NotFoundError,
    PartsMissingError,
    QuotaExceededError,
    UserError,
)
from services.errors import (
    ChecksumMismatch,
    Conflict,
    InvalidInput,
    NotFound,
    PartsMissing,
    QuotaExceeded,
    Refusal,
    Rejected,
    SizeMismatch,
    Taken,
)

EXPECTED, ACTUAL = "0" * 64, "f" * 64


@pytest.mark.parametrize(
    ("refusal", "type", "more"),
    [
        (
            ChecksumMismatch("Other bytes.", "a", expected=EXPECTED, actual=ACTUAL),
            ChecksumMismatchError,
            {"expected": EXPECTED, "actual": ACTUAL},
        ),
        (Conflict("Too late.", "a", current_version=3), ConflictError, {"current_version": 3}),
        (Taken("It is taken.", "a"), GenericError, {}),
        (InvalidInput("It is empty.", "a"), InvalidInputError, {}),
        (NotFound("There is none.", "a"), NotFoundError, {}),
        (PartsMissing("Two are missing.", "a", missing=[1, 3]), PartsMissingError, {"missing": [1, 3]}),
        (QuotaExceeded("No room.", "a", limit=5, used=4), QuotaExceededError, {"limit": 5, "used": 4}),
        (SizeMismatch("Other bytes.", "a"), GenericError, {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Refusal) else "",
)
def test_a_refusal_is_the_error_of_its_type(
    refusal: Refusal, type: type[UserError], more: dict[str, object]
) -> None:
    [error] = user_errors(refusal)
    assert error.__class__ is type
    assert asdict(error) == {
        "code": ErrorCode(refusal.code),
        "message": refusal.message,
        "path": ["a"],
        **more,
    }


@pytest.mark.parametrize(("expected", "actual"), [(None, None), (EXPECTED, None), (None, ACTUAL)])
def test_without_both_hashes_a_mismatch_has_its_code_alone(expected: str | None, actual: str | None) -> None:
    [error] = user_errors(ChecksumMismatch("Other bytes.", expected=expected, actual=actual))
    assert error.__class__ is GenericError
    assert (error.code, error.message, error.path) == (ErrorCode.CHECKSUM_MISMATCH, "Other bytes.", None)


def test_all_refusals_of_an_input_are_told_in_their_order() -> None:
    refusals: list[Refusal] = [
        InvalidInput("It is empty.", "a"),
        ChecksumMismatch("Other bytes.", "b", expected=EXPECTED, actual=ACTUAL),
    ]
    errors = user_errors(Rejected(refusals))
    assert [error.__class__ for error in errors] == [InvalidInputError, ChecksumMismatchError]
    assert [error.path for error in errors] == [["a"], ["b"]]
