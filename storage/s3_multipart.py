"""Multipart uploads on S3: those of clients, and our own for what is too large for one request."""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

from storage.errors import (
    MultipartMissingError,
    ObjectExistsError,
    ObjectMissingError,
    StorageError,
    StorageUnavailableError,
)
from storage.keys import is_key
from storage.objects import OpenMultipart, StoredPart
from storage.s3_client import SLOW_CALL_SECONDS, S3Client
from storage.s3_errors import ConditionFailedError, ConflictingWriteError
from storage.s3_objects import described, etag_of, in_utc

#: A part that was on its way when the upload was aborted may come to be after it: aborted again.
_ABORTS = 3

#: Cleaning up behind a failure must not take long itself; what stays, the bucket's lifecycle rule removes.
_CLEAN_UP_SECONDS = 5.0


async def create(client: S3Client, key: str, content_type: str, *, checksums: bool) -> str:
    params: dict[str, Any] = {**described(key, content_type), **client.options.encryption_params(key)}
    if checksums:
        # Said now, or the parts' own are refused later.
        params["ChecksumAlgorithm"] = "SHA256"
    answer = await client.call("create_multipart_upload", Key=key, **params)
    upload_id: str = answer["UploadId"]
    return upload_id


async def list_parts(client: S3Client, key: str, upload_id: str) -> list[StoredPart]:
    parts: list[StoredPart] = []
    marker = 0
    while True:
        answer = await _parts_page(client, key, upload_id, PartNumberMarker=marker)
        parts += [_stored_part(entry) for entry in answer.get("Parts", [])]
        if not answer.get("IsTruncated"):
            return parts
        marker = int(answer["NextPartNumberMarker"])


async def check(client: S3Client, key: str, upload_id: str) -> None:
    """Raise MultipartMissingError where the upload has ended or was never begun."""
    await _parts_page(client, key, upload_id, MaxParts=1)


async def copy_part(
    client: S3Client,
    key: str,
    upload_id: str,
    number: int,
    *,
    source: str,
    offset: int,
    length: int,
    etag: str | None = None,
) -> StoredPart:
    """Copy that range of the object `source`: the one that bears `etag`, else raises ConditionFailedError.

    The store itself says whether the range lies within: BeyondTheEndError or ArgumentRefusedError.
    """
    answer = await client.call(
        "upload_part_copy",
        seconds=SLOW_CALL_SECONDS,
        Key=key,
        UploadId=upload_id,
        PartNumber=number,
        CopySource={"Bucket": client.bucket, "Key": source},
        CopySourceRange=f"bytes={offset}-{offset + length - 1}",
        **({} if etag is None else {"CopySourceIfMatch": f'"{etag}"'}),
    )
    made = answer["CopyPartResult"]
    return StoredPart(number=number, byte_size=length, etag=etag_of(made["ETag"]), sha256=_sha256(made))


async def complete(client: S3Client, key: str, upload_id: str, parts: Sequence[StoredPart]) -> None:
    """Make the object where nothing is stored under the key, and end the upload."""
    # S3 answers 200 again to whoever completes a finished upload, whatever has become of the object since.
    await check(client, key, upload_id)
    condition = {}
    if client.options.conditional_writes:
        condition["IfNoneMatch"] = "*"
    elif await _is_taken(client, key):
        raise ObjectExistsError
    try:
        await _complete(client, key, upload_id, parts, **condition)
    except ConflictingWriteError as error:
        if await _is_taken(client, key):
            raise ObjectExistsError from error
        raise StorageUnavailableError("The key is being changed by somebody else: try again.") from error
    except ConditionFailedError as error:
        raise ObjectExistsError from error


async def abort(client: S3Client, key: str, upload_id: str) -> None:
    if not upload_id:
        return
    with suppress(MultipartMissingError, ObjectMissingError):
        for _ in range(_ABORTS):
            await client.call("abort_multipart_upload", Key=key, UploadId=upload_id)
            if not (await _parts_page(client, key, upload_id, MaxParts=1)).get("Parts"):
                return
        raise StorageUnavailableError("Parts of the upload come to be while it is aborted: abort it again.")


async def list_multiparts(client: S3Client, prefix: str) -> AsyncIterator[OpenMultipart]:
    marker: dict[str, Any] = {}
    while True:
        answer = await client.call("list_multipart_uploads", Prefix=prefix, **marker)
        for entry in answer.get("Uploads", []):
            if is_key(entry["Key"]):
                yield OpenMultipart(
                    key=entry["Key"], upload_id=entry["UploadId"], started_at=in_utc(entry["Initiated"])
                )
        if not answer.get("IsTruncated"):
            return
        marker = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}


class OwnMultipart:
    """An upload of this process, aborted at the end of the block unless it was completed in it.

    It takes the place of what is stored under the key.
    """

    def __init__(self, client: S3Client, key: str, content_type: str, *, checksums: bool) -> None:
        self._client = client
        self._key = key
        self._content_type = content_type
        self._checksums = checksums
        self._upload_id = ""
        self._parts: list[StoredPart] = []

    async def __aenter__(self) -> "OwnMultipart":
        self._upload_id = await create(self._client, self._key, self._content_type, checksums=self._checksums)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._upload_id:
            with suppress(StorageError, TimeoutError):
                async with asyncio.timeout(_CLEAN_UP_SECONDS):
                    await abort(self._client, self._key, self._upload_id)

    async def send(self, number: int, body: bytes, sums: Mapping[str, str]) -> None:
        answer = await self._client.send(
            "upload_part", body, Key=self._key, UploadId=self._upload_id, PartNumber=number, **sums
        )
        self._parts.append(
            StoredPart(number=number, byte_size=len(body), etag=etag_of(answer["ETag"]), sha256=_sha256(sums))
        )

    async def copy(self, number: int, *, source: str, etag: str, offset: int, length: int) -> None:
        self._parts.append(
            await copy_part(
                self._client,
                self._key,
                self._upload_id,
                number,
                source=source,
                etag=etag,
                offset=offset,
                length=length,
            )
        )

    async def complete(self) -> None:
        await _complete(self._client, self._key, self._upload_id, self._parts)
        self._upload_id = ""


async def _complete(
    client: S3Client, key: str, upload_id: str, parts: Sequence[StoredPart], **condition: str
) -> None:
    in_order = sorted(parts, key=lambda part: part.number)
    await client.call(
        "complete_multipart_upload",
        seconds=SLOW_CALL_SECONDS,
        Key=key,
        UploadId=upload_id,
        MultipartUpload={"Parts": [_completed(part) for part in in_order]},
        **condition,
    )


def _completed(part: StoredPart) -> dict[str, Any]:
    named: dict[str, Any] = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
    if part.sha256 is not None:
        named["ChecksumSHA256"] = base64.b64encode(bytes.fromhex(part.sha256)).decode()
    return named


async def _parts_page(client: S3Client, key: str, upload_id: str, **params: int) -> dict[str, Any]:
    if not upload_id:  # a request that names none would be about the object
        raise MultipartMissingError
    try:
        return await client.call("list_parts", Key=key, UploadId=upload_id, **params)
    except ObjectMissingError as error:
        raise MultipartMissingError from error


async def _is_taken(client: S3Client, key: str) -> bool:
    try:
        await client.call("head_object", Key=key)
    except ObjectMissingError:
        return False
    return True


def _stored_part(entry: Mapping[str, Any]) -> StoredPart:
    return StoredPart(
        number=int(entry["PartNumber"]),
        byte_size=int(entry["Size"]),
        etag=etag_of(entry["ETag"]),
        sha256=_sha256(entry),
    )


def _sha256(entry: Mapping[str, Any]) -> str | None:
    """In hex; None for what is no SHA-256 of the whole part."""
    try:
        digest = base64.b64decode(entry.get("ChecksumSHA256", ""), validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 32 else None
