"""Answers of `/objects` that are not the object: a status and `{"error": {"code", "message"}}`."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from app.request_body import BodyStalledError
from storage.disk_signatures import SignatureExpiredError, SignatureInvalidError
from storage.errors import (
    ChecksumMismatchError,
    InvalidKeyError,
    MultipartMissingError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    PartsChangedError,
    SizeMismatchError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    TooManyMultipartsError,
)

_STATUS: dict[type[StorageError], HTTPStatus] = {
    SignatureInvalidError: HTTPStatus.FORBIDDEN,
    SignatureExpiredError: HTTPStatus.FORBIDDEN,
    InvalidKeyError: HTTPStatus.BAD_REQUEST,
    SizeMismatchError: HTTPStatus.BAD_REQUEST,
    ChecksumMismatchError: HTTPStatus.BAD_REQUEST,
    PartsChangedError: HTTPStatus.BAD_REQUEST,
    ObjectMissingError: HTTPStatus.NOT_FOUND,
    MultipartMissingError: HTTPStatus.NOT_FOUND,
    ObjectChangedError: HTTPStatus.PRECONDITION_FAILED,
    ObjectExistsError: HTTPStatus.PRECONDITION_FAILED,
    TooManyMultipartsError: HTTPStatus.CONFLICT,
    StorageFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    StorageUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class Refusal(Exception):
    """What is answered instead, in words for the person who reads the client's log."""

    def __init__(
        self, *, status: HTTPStatus, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})}

    def response(self) -> Response:
        body = {"error": {"code": self.code, "message": str(self)}}
        return JSONResponse(body, self.status, self.headers)


def bad_header(code: str, name: str, *, expected: str, actual: str | None) -> Refusal:
    sent = "was not sent" if actual is None else f"is {actual!r}"
    message = f"The header {name} {sent}; the upload was signed for {expected!r}."
    return Refusal(status=HTTPStatus.BAD_REQUEST, code=code, message=message)


def refusal_for(error: Refusal | BodyStalledError | StorageError) -> Refusal:
    match error:
        case Refusal():
            return error
        case BodyStalledError():
            return Refusal(
                status=HTTPStatus.REQUEST_TIMEOUT,
                code="BODY_STALLED",
                message="The body stopped arriving, nothing was stored; send it again.",
            )
        case StorageUnavailableError():
            # The error's own sentence is for the operator: it may name a path.
            return _refusal(StorageUnavailableError())
        case StorageError():
            return _refusal(error)


def _refusal(error: StorageError) -> Refusal:
    return Refusal(status=_STATUS[type(error)], code=error.code, message=str(error))
