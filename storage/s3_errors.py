"""What the client library raises, in the words of `storage/errors.py`.

Sentences name what to look at. They hold no secret and no query string: of an answer only its code is told,
of an address only scheme, host and port.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError

from storage.errors import (
    MultipartMissingError,
    ObjectMissingError,
    PartsChangedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)


class StoreSilentError(StorageUnavailableError):
    """The object store does not answer."""


class StoreRefusesError(StorageUnavailableError):
    """The object store refuses what this service asks."""


class ArgumentRefusedError(StoreRefusesError):
    """The object store refuses a value in what this service asks."""


class ConditionFailedError(StorageError):
    """What the request made a condition of is not so; callers know what that means."""

    code: ClassVar[str] = "CONDITION_FAILED"


class ConflictingWriteError(ConditionFailedError):
    """Somebody else changed the key at the same moment; whether it is taken now is not known."""


class BeyondTheEndError(StorageError):
    """The range begins where the object has ended."""

    code: ClassVar[str] = "BEYOND_THE_END"


_MISSING = frozenset({"NoSuchKey", "NotFound", "404"})
_PARTS_CHANGED = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall"})
_FULL = frozenset(
    {
        "EntityTooLarge",
        "InsufficientStorage",
        "InsufficientCapacity",
        "QuotaExceeded",
        "QuotaExceededException",
        "StorageFull",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
    }
)
_CONDITION = frozenset({"PreconditionFailed", "412"})
_CONFLICT = frozenset({"ConditionalRequestConflict", "OperationAborted"})
_BEYOND = frozenset({"InvalidRange", "416"})
_SLOWER = frozenset({"SlowDown", "ServiceUnavailable", "Throttling", "TooManyRequests", "RequestTimeout"})
_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)

_ADVICE = {
    "ExpiredToken": "the credentials have expired and were not renewed",
    "InvalidAccessKeyId": "look at DARKROOM_S3_ACCESS_KEY_ID or the machine's credentials",
    "SignatureDoesNotMatch": "look at DARKROOM_S3_SECRET_ACCESS_KEY, and at DARKROOM_S3_REGION",
    "InvalidToken": "look at the credentials of this machine",
    "TokenRefreshRequired": "the credentials have expired and were not renewed",
    "AuthorizationHeaderMalformed": "look at DARKROOM_S3_REGION",
    "PermanentRedirect": "look at DARKROOM_S3_REGION and DARKROOM_S3_ENDPOINT_URL",
    "IllegalLocationConstraintException": "look at DARKROOM_S3_REGION",
    "RequestTimeTooSkewed": "this machine's clock and the store's differ: set the clock",
    "AccessDenied": "look at the rights of the credentials, and at the bucket's policy",
    "403": "look at the credentials and their rights, and at the bucket's policy",
    "301": "look at DARKROOM_S3_REGION and DARKROOM_S3_ENDPOINT_URL",
}

#: What a store may lack of a call that it knows in principle.
_LACKING = {
    "CreateMultipartUpload": "checksums of parts (x-amz-checksum-algorithm)",
    "CompleteMultipartUpload": "the condition If-None-Match: set DARKROOM_S3_CONDITIONAL_WRITES=0",
    "PutObject": "checksums of objects (x-amz-checksum-sha256), or the encryption of DARKROOM_S3_SSE",
    "UploadPart": "checksums of parts (x-amz-checksum-sha256)",
    "UploadPartCopy": "the copying of ranges on condition (x-amz-copy-source-if-match)",
    "CopyObject": "copies on condition (x-amz-copy-source-if-match), or the encryption of DARKROOM_S3_SSE",
}


def storage_error(error: Exception, *, bucket: str, endpoint: str) -> StorageError:
    """Return what `error` means; `endpoint` is without credentials and query."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, ClientError):
        return _answered(
            error.response, bucket=bucket, endpoint=endpoint, operation=str(error.operation_name)
        )
    if isinstance(error, SSLError):
        return StoreSilentError(
            f"There is no encrypted connection to the object store at {endpoint}: look at its certificate."
        )
    if isinstance(error, EndpointConnectionError | BotoConnectionError) and not isinstance(
        error, ConnectTimeoutError
    ):
        return StoreSilentError(
            f"The object store at {endpoint} can't be reached: does it run, and is the address right?"
        )
    if isinstance(error, ConnectTimeoutError | ReadTimeoutError | TimeoutError | asyncio.TimeoutError):
        return StoreSilentError(f"The object store at {endpoint} did not answer in time.")
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return StoreRefusesError(
            "There are no credentials for the object store: set DARKROOM_S3_ACCESS_KEY_ID and "
            "DARKROOM_S3_SECRET_ACCESS_KEY, or give this machine a role."
        )
    if isinstance(error, HTTPClientError | OSError):
        return StoreSilentError(f"The connection to the object store at {endpoint} broke off.")
    if isinstance(error, BotoCoreError):
        return StoreRefusesError(f"The object store can't be asked: {type(error).__name__}.")
    return StoreSilentError(f"The object store at {endpoint} can't be used: {type(error).__name__}.")


def is_silence(error: StorageError) -> bool:
    """Whether the store itself is to blame, as a circuit breaker counts it."""
    return isinstance(error, StoreSilentError)


def _answered(response: Mapping[str, Any], *, bucket: str, endpoint: str, operation: str) -> StorageError:
    code = str(response.get("Error", {}).get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return StoreRefusesError(
            f"There is no bucket {bucket} at {endpoint}: ./darkroom bucket init creates it."
        )
    if code == "NoSuchUpload":
        return MultipartMissingError()
    if code in _PARTS_CHANGED:
        return PartsChangedError()
    if code in _FULL or status == 507:
        return StorageFullError()
    if code in _CONDITION or status == 412:
        return ConditionFailedError()
    if code in _CONFLICT:
        return ConflictingWriteError()
    if code in _BEYOND or status == 416:
        return BeyondTheEndError()
    if code == "NotImplemented" or status == 501:
        lacking = f", or not {_LACKING[operation]}" if operation in _LACKING else ""
        return StoreRefusesError(f"The object store at {endpoint} does not know {operation}{lacking}.")
    if code in _SLOWER or status in {429, 503}:
        return StoreSilentError(f"The object store at {endpoint} asks for fewer requests ({_shown(code)}).")
    if status >= 500:
        return StoreSilentError(f"The object store at {endpoint} has an error of its own ({_shown(code)}).")
    if code in _MISSING:
        return ObjectMissingError()
    advice = _ADVICE.get(code, "look at the credentials, the bucket's settings and the store's log")
    kind = ArgumentRefusedError if code == "InvalidArgument" else StoreRefusesError
    return kind(f"The object store at {endpoint} refuses with {_shown(code)}: {advice}.")


def _shown(code: str) -> str:
    """A code as it may stand in a sentence: it was sent by a server, which may be anybody's."""
    return code[:64] if code.replace(".", "").isalnum() and code.isascii() else "an unknown code"
