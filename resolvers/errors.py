"""Errors towards clients: what a user can mend becomes data, everything else a code and a trace id."""

from collections.abc import Sequence
from typing import Any, assert_never
from uuid import uuid4

import structlog
from graphql import GraphQLError, GraphQLFormattedError
from strawberry.extensions import MaskErrors

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
from schema.scalars import BigInt
from services.errors import (
    ChecksumMismatch,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PartsMissing,
    QuotaExceeded,
    Refusal,
    Rejected,
    StorageUnavailable,
)

log = structlog.get_logger()

#: A document with thousands of mistakes gets an answer of bounded length. What went wrong beside data is told
#: of every field, for its null alone would mean something else: no more than the page has, whose length and
#: aliases are bounded.
MAX_MISTAKES = 5

#: Of defects in one answer, which are mostly one defect many times.
MAX_LOGGED = 5


def user_errors(error: Refusal | Rejected) -> list[UserError]:
    match error:
        case Rejected():
            return [_user_error(refusal) for refusal in error.refusals]
        case Refusal():
            return [_user_error(error)]
        case _:
            assert_never(error)


def _user_error(refusal: Refusal) -> UserError:
    code, path = ErrorCode(refusal.code), list(refusal.path) or None
    match refusal:
        case Conflict():
            return ConflictError(
                code=code, message=refusal.message, path=path, current_version=refusal.current_version
            )
        case QuotaExceeded():
            return QuotaExceededError(
                code=code,
                message=refusal.message,
                path=path,
                limit=BigInt(refusal.limit),
                used=BigInt(refusal.used),
            )
        case PartsMissing():
            return PartsMissingError(code=code, message=refusal.message, path=path, missing=refusal.missing)
        case ChecksumMismatch(expected=str(expected), actual=str(actual)):
            return ChecksumMismatchError(
                code=code, message=refusal.message, path=path, expected=expected, actual=actual
            )
        case InvalidInput():
            return InvalidInputError(code=code, message=refusal.message, path=path)
        case NotFound():
            return NotFoundError(code=code, message=refusal.message, path=path)
        case _:
            return GenericError(code=code, message=refusal.message, path=path)


def bad_user_input(message: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})


def transport_error(message: str) -> GraphQLFormattedError:
    """A refusal from before GraphQL began, in the form of all others."""
    return {"message": message, "extensions": {"code": "BAD_USER_INPUT", "traceId": _trace_id()}}


def _trace_id() -> str:
    return structlog.contextvars.get_contextvars().get("trace_id") or uuid4().hex


#: Everything else that is refused is the client's to mend.
_TOP_LEVEL_CODES: dict[type[Exception], str] = {Forbidden: "FORBIDDEN", StorageUnavailable: "INTERNAL"}


class ErrorPolicy(MaskErrors):
    """Gives every top-level error a code and the trace id, and hides what clients can't mend.

    It also covers each message of a subscription.
    """

    def _process_errors(self, errors: list[GraphQLError]) -> list[GraphQLError]:
        trace_id = _trace_id()
        told = errors if all(error.path for error in errors) else errors[:MAX_MISTAKES]
        return [_published(error, trace_id, logged=place < MAX_LOGGED) for place, error in enumerate(told)]


def _published(error: GraphQLError, trace_id: str, *, logged: bool) -> GraphQLError:
    original = _root_cause(error)
    message, code = error.message, "BAD_USER_INPUT"
    if isinstance(original, Refusal | Rejected):
        message = str(original)
        code = _TOP_LEVEL_CODES.get(type(original), code)
    elif original is not None and not isinstance(original, GraphQLError):
        if logged:
            log.error("request_failed", path=_path(error.path), exc_info=original)
        message, code = "Something went wrong inside the service.", "INTERNAL"
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={"code": code, **(error.extensions or {}), "traceId": trace_id},
    )


def _root_cause(error: GraphQLError) -> BaseException | None:
    cause: BaseException | None = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def _path(path: Sequence[Any] | None) -> str:
    return ".".join(str(part) for part in path or ())
