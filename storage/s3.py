"""Objects in a bucket of S3, or of a store that speaks its API, on aiobotocore.

Clients send and fetch by addresses signed here (`storage/s3_signing.py`), without a call to the store; this
service's own calls go through `storage/s3_client.py`, which says how long each may take. What keeps an
address from overwriting is `If-None-Match: *` in the signature; a store that does not know it needs
`conditional_writes=False`, and keys of their own for what clients send.

The credentials need, on the bucket: ListBucket, ListBucketMultipartUploads; on its objects: GetObject,
PutObject, DeleteObject, ListMultipartUploadParts, AbortMultipartUpload. Without ListBucket a missing object
can't be told from a forbidden one, and everything missing is `StorageUnavailableError`.

A bucket belongs to one installation, whole: the keys it finds there are its own. Foreign keys that are no
keys of ours (`storage/keys.py`) are not listed and never touched.
"""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError
from botocore.loaders import create_loader

from storage import s3_multipart
from storage.errors import ObjectChangedError, ObjectMissingError, StorageUnavailableError
from storage.keys import check_key, check_prefix, check_private_key, is_key
from storage.objects import FetchedObject, ObjectInfo, OpenMultipart, StoredPart
from storage.promises import check_block_size, check_part_number, check_part_range, check_read
from storage.response_headers import check_content_type
from storage.s3_breaker import CircuitBreaker
from storage.s3_check import StoreCheck, require_bucket
from storage.s3_client import SLOW_CALL_SECONDS, S3Client
from storage.s3_credentials import KeptCredentials
from storage.s3_errors import ArgumentRefusedError, BeyondTheEndError, ConditionFailedError, storage_error
from storage.s3_multipart import OwnMultipart
from storage.s3_objects import described, head_info, listed_info
from storage.s3_options import S3Options
from storage.s3_signing import S3Signer
from storage.s3_transfer import fetch_file, read_range, send_file
from storage.sigv4 import BucketAddress

COPIED_PART_BYTES = 1024**3
"""What is larger is copied in parts: one request may copy 5 GiB, but not every store does so within
seconds."""

_DELETED_AT_ONCE = 1_000
_CONNECTIONS = 64
_BUCKET_SEEN_HOLDS = timedelta(seconds=10)


def utc_now() -> datetime:
    return datetime.now(UTC)


class S3Store:
    """The `ObjectStore` of one bucket; only `open_s3_store` makes one."""

    def __init__(self, client: S3Client, signer: S3Signer) -> None:
        self._client = client
        self.public_url = signer.public_url
        self.sign_get = signer.sign_get
        self.sign_put = signer.sign_put
        self.sign_part = signer.sign_part
        self.sign_multipart_request = signer.sign_multipart_request
        self._check = StoreCheck(client)
        self._bucket_seen_at = -float("inf")

    async def head(self, key: str) -> ObjectInfo | None:
        check_key(key)
        try:
            return head_info(key, await self._client.call("head_object", Key=key))
        except ObjectMissingError:
            # A HEAD has no words to tell a missing object from a missing bucket.
            await self._require_bucket()
            return None

    async def put_file(self, key: str, path: Path, *, content_type: str) -> ObjectInfo:
        check_key(key)
        check_content_type(content_type)
        await send_file(self._client, key, path, content_type)
        return await self._existing(key)

    async def copy(
        self, source: str, key: str, *, content_type: str, if_etag: str | None = None
    ) -> ObjectInfo:
        check_key(key)
        check_content_type(content_type)
        found = await self.head(source)
        if found is None:
            raise ObjectMissingError
        if if_etag is not None and found.etag != if_etag:
            raise ObjectChangedError
        try:
            if found.byte_size > COPIED_PART_BYTES:
                await self._copy_in_parts(found, key, content_type)
            else:
                await self._copy_at_once(found, key, content_type, bound=if_etag is not None)
        except ConditionFailedError as error:
            raise ObjectChangedError from error
        made = await self.head(key)
        # Deleted again since: what was made is told all the same.
        return made or ObjectInfo(
            key=key, byte_size=found.byte_size, etag=found.etag, modified_at=found.modified_at
        )

    async def fetch(self, key: str, path: Path, *, block_size: int | None = None) -> FetchedObject:
        check_key(key)
        check_block_size(block_size)
        return await fetch_file(self._client, key, path, block_size)

    async def read(self, key: str, *, offset: int, length: int) -> bytes:
        check_key(key)
        check_read(offset, length)
        return await read_range(self._client, key, offset, length)

    async def create_multipart(self, key: str, *, content_type: str, part_hashes: bool) -> str:
        check_private_key(key)
        check_content_type(content_type)
        return await s3_multipart.create(self._client, key, content_type, checksums=part_hashes)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[StoredPart]:
        check_private_key(key)
        return await s3_multipart.list_parts(self._client, key, upload_id)

    async def check_multipart(self, key: str, upload_id: str) -> None:
        check_private_key(key)
        await s3_multipart.check(self._client, key, upload_id)

    async def copy_part(
        self, key: str, upload_id: str, number: int, *, source: str, offset: int, length: int
    ) -> StoredPart:
        check_private_key(key)
        check_key(source)
        check_part_number(number)
        check_part_range(offset, length)
        try:
            return await s3_multipart.copy_part(
                self._client, key, upload_id, number, source=source, offset=offset, length=length
            )
        except (BeyondTheEndError, ArgumentRefusedError) as error:
            raise ValueError("The range of a part lies within the object that it is copied from.") from error

    async def complete_multipart(
        self, key: str, upload_id: str, parts: Sequence[StoredPart], *, content_type: str
    ) -> ObjectInfo:
        # The type was said when the upload began: S3 takes none here.
        check_private_key(key)
        check_content_type(content_type)
        if not parts:
            raise ValueError("An object is made of at least one part.")
        await s3_multipart.complete(self._client, key, upload_id, parts)
        return await self._existing(key)

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        check_private_key(key)
        await s3_multipart.abort(self._client, key, upload_id)

    async def list_multiparts(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        check_prefix(prefix)
        async for each in s3_multipart.list_multiparts(self._client, prefix):
            yield each

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            check_key(key)
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            await self._delete_some(keys[start : start + _DELETED_AT_ONCE])

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        check_prefix(prefix)
        more: dict[str, Any] = {}
        while True:
            page = await self._client.call("list_objects_v2", Prefix=prefix, **more)
            for entry in page.get("Contents", []):
                if is_key(entry["Key"]):
                    yield listed_info(entry)
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def check(self) -> None:
        await self._check()

    async def _delete_some(self, keys: Sequence[str]) -> None:
        answer = await self._client.call(
            "delete_objects",
            Delete={"Objects": [{"Key": key} for key in dict.fromkeys(keys)], "Quiet": True},
        )
        for refusal in answer.get("Errors", []):
            if refusal.get("Code") != "NoSuchKey":
                raise self._client.refusal(str(refusal.get("Code", "")))

    async def _copy_at_once(self, found: ObjectInfo, key: str, content_type: str, *, bound: bool) -> None:
        await self._client.call(
            "copy_object",
            seconds=SLOW_CALL_SECONDS,
            Key=key,
            CopySource={"Bucket": self._client.bucket, "Key": found.key},
            MetadataDirective="REPLACE",
            **described(key, content_type),
            **({"CopySourceIfMatch": f'"{found.etag}"'} if bound else {}),
            **self._client.options.encryption_params(key),
        )

    async def _copy_in_parts(self, found: ObjectInfo, key: str, content_type: str) -> None:
        async with OwnMultipart(self._client, key, content_type, checksums=False) as upload:
            for number, start in enumerate(range(0, found.byte_size, COPIED_PART_BYTES), 1):
                length = min(COPIED_PART_BYTES, found.byte_size - start)
                await upload.copy(number, source=found.key, etag=found.etag, offset=start, length=length)
            await upload.complete()

    async def _existing(self, key: str) -> ObjectInfo:
        found = await self.head(key)
        if found is None:
            raise StorageUnavailableError("The object was deleted as soon as it was stored.")
        return found

    async def _require_bucket(self) -> None:
        if time.monotonic() - self._bucket_seen_at >= _BUCKET_SEEN_HOLDS.total_seconds():
            await require_bucket(self._client)
            self._bucket_seen_at = time.monotonic()


@asynccontextmanager
async def open_s3_store(
    options: S3Options, *, clock: Callable[[], datetime] = utc_now, breaker: CircuitBreaker | None = None
) -> AsyncIterator[S3Store]:
    """The store of that bucket, for as long as the block lasts; `clock` is what addresses are signed by.

    Looks for credentials, but makes no call to the store. Raises `StorageUnavailableError` where there are
    none, ValueError for addresses that can't be meant.
    """
    async with open_s3_client(options) as (raw, source):
        client = S3Client(raw, options, breaker=breaker or CircuitBreaker())
        credentials = KeptCredentials(source, clock)
        await _told(credentials.renew(), options)
        signer = S3Signer(
            options,
            address=_address(options, options.public_endpoint_url or raw.meta.endpoint_url),
            region=raw.meta.region_name,
            credentials=credentials,
            clock=clock,
        )
        renewing = asyncio.create_task(credentials.keep_renewing(), name="s3-credentials")
        try:
            yield S3Store(client, signer)
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])


@asynccontextmanager
async def open_s3_client(options: S3Options) -> AsyncIterator[tuple[Any, Any]]:
    """aiobotocore's client and the credentials that it signs with; for what is no business of a store."""
    session = get_session()
    session.register_component("data_loader", _descriptions())
    if options.access_key_id is not None:
        session.set_credentials(options.access_key_id, options.secret_access_key)
    credentials = await _told(session.get_credentials(), options)
    if credentials is None:
        raise StorageUnavailableError(
            "There are no credentials for the object store: set DARKROOM_S3_ACCESS_KEY_ID and "
            "DARKROOM_S3_SECRET_ACCESS_KEY, or give this machine a role."
        )
    config = AioConfig(
        signature_version="s3v4",
        connect_timeout=options.connect_timeout.total_seconds(),
        read_timeout=options.read_timeout.total_seconds(),
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=_CONNECTIONS,
        # Ours are given where they count; the library's own come as trailers that other stores don't know.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if options.in_path else "virtual"},
    )
    region = options.region or session.get_config_variable("region") or "us-east-1"
    async with session.create_client(
        "s3", region_name=region, endpoint_url=options.endpoint_url, config=config
    ) as client:
        client.meta.events.register("before-sign.s3", _add_content_md5)
        yield client, credentials


@cache
def _descriptions() -> Any:
    """The library's description of the API, a megabyte of JSON: read once in a process."""
    return create_loader()


def _add_content_md5(request: Any, operation_name: str, **_: object) -> None:
    """For stores that know no newer checksum where S3 asks for one: DeleteObjects, and a bucket's
    settings."""
    body = request.data
    if (
        isinstance(body, bytes)
        and body
        and "Content-MD5" not in request.headers
        and (operation_name == "DeleteObjects" or operation_name.startswith("PutBucket"))
    ):
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        request.headers["Content-MD5"] = base64.b64encode(digest).decode()


async def _told(work: Any, options: S3Options) -> Any:
    try:
        return await work
    except (BotoCoreError, OSError, RuntimeError) as error:
        raise storage_error(error, bucket=options.bucket, endpoint="its source of credentials") from error


def _address(options: S3Options, endpoint: str) -> BucketAddress:
    if options.in_path:
        return BucketAddress.path_style(endpoint, options.bucket)
    return BucketAddress.virtual_host(endpoint, options.bucket)
