"""What a store answers, in the words of `storage/errors.py`; never a secret among them."""

from typing import Any

import aiohttp
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)

from storage.errors import (
    MultipartMissingError,
    ObjectMissingError,
    PartsChangedError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from storage.s3_errors import (
    BeyondTheEndError,
    ConditionFailedError,
    ConflictingWriteError,
    StoreRefusesError,
    StoreSilentError,
    is_silence,
    storage_error,
)

ADDRESS = "https://s3.example.com/bucket/key?X-Amz-Signature=canary"


def told(error: Exception) -> StorageError:
    return storage_error(error, bucket="bucket", endpoint="https://s3.example.com")


def answer(code: str, status: int) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "canary"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "PutObject")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, ObjectMissingError),
        ("404", 404, ObjectMissingError),
        ("NoSuchUpload", 404, MultipartMissingError),
        ("NoSuchBucket", 404, StoreRefusesError),
        ("InvalidPart", 400, PartsChangedError),
        ("EntityTooSmall", 400, PartsChangedError),
        ("PreconditionFailed", 412, ConditionFailedError),
        ("ConditionalRequestConflict", 409, ConflictingWriteError),
        ("InvalidRange", 416, BeyondTheEndError),
        ("EntityTooLarge", 400, StorageFullError),
        ("QuotaExceeded", 403, StorageFullError),
        ("InsufficientStorage", 507, StorageFullError),
        ("XMinioStorageFull", 507, StorageFullError),
        ("AccessDenied", 403, StoreRefusesError),
        ("403", 403, StoreRefusesError),
        ("SignatureDoesNotMatch", 403, StoreRefusesError),
        ("ExpiredToken", 400, StoreRefusesError),
        ("RequestTimeTooSkewed", 403, StoreRefusesError),
        ("SlowDown", 503, StoreSilentError),
        ("InternalError", 500, StoreSilentError),
        ("500", 500, StoreSilentError),
        ("TooManyRequests", 429, StoreSilentError),
        ("SomethingNew", 418, StoreRefusesError),
        ("NotImplemented", 501, StoreRefusesError),
        ("501", 501, StoreRefusesError),
        ("NotImplemented", 400, StoreRefusesError),
    ],
)
def test_answers(code: str, status: int, kind: type[StorageError]) -> None:
    error = told(answer(code, status))
    assert type(error) is kind
    assert "canary" not in str(error)
    assert is_silence(error) is (kind is StoreSilentError)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (EndpointConnectionError(endpoint_url=ADDRESS), "can't be reached"),
        (ConnectTimeoutError(endpoint_url=ADDRESS), "did not answer in time"),
        (ReadTimeoutError(endpoint_url=ADDRESS), "did not answer in time"),
        (TimeoutError(), "did not answer in time"),
        (SSLError(endpoint_url=ADDRESS, error="canary"), "certificate"),
        (aiohttp.ClientPayloadError(ADDRESS), "can't be used"),
        (ConnectionResetError("canary"), "broke off"),
    ],
)
def test_silence(error: Exception, words: str) -> None:
    found = told(error)
    assert is_silence(found)
    assert words in str(found)
    assert "canary" not in str(found)


def test_sentences_say_what_to_look_at() -> None:
    assert "./darkroom bucket init" in str(told(answer("NoSuchBucket", 404)))
    assert "DARKROOM_S3_SECRET_ACCESS_KEY" in str(told(answer("SignatureDoesNotMatch", 403)))
    assert "DARKROOM_S3_ACCESS_KEY_ID" in str(told(NoCredentialsError()))
    assert "clock" in str(told(answer("RequestTimeTooSkewed", 403)))


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("CreateMultipartUpload", "x-amz-checksum-algorithm"),
        ("CompleteMultipartUpload", "If-None-Match"),
        ("UploadPartCopy", "UploadPartCopy"),
    ],
)
def test_what_a_store_lacks_is_named(operation: str, words: str) -> None:
    response: Any = {"Error": {"Code": "NotImplemented"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
    assert words in str(told(ClientError(response, operation)))


def test_a_code_that_is_none_is_not_repeated() -> None:
    assert "<script>" not in str(told(answer("<script>", 400)))
    assert isinstance(told(answer("<script>", 400)), StorageUnavailableError)
