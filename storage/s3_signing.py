"""Signed requests to S3: everything that was promised stands in the signature, so the store itself enforces
it.

Promises are signed as headers. In the query, where some signers put them, stores look at none (a wrong body
is stored), and without `x-amz-sdk-checksum-algorithm` some stores do not look at the checksum either.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from storage.errors import StorageUnavailableError
from storage.keys import check_private_key, check_public_key
from storage.lifetimes import LONGEST_LIFETIME, expiry, read_window
from storage.objects import Disposition, MultipartRequest, SignedGet, SignedPut, SignedRequest
from storage.promises import check_part_number, check_promise, hex_to_base64
from storage.response_headers import check_content_type, response_overrides
from storage.s3_credentials import KeptCredentials
from storage.s3_options import S3Options
from storage.sigv4 import BucketAddress, QuerySigner

_PART_TYPE = "application/octet-stream"
_XML = "application/xml"
_METHODS = {
    MultipartRequest.CREATE: "POST",
    MultipartRequest.LIST_PARTS: "GET",
    MultipartRequest.COMPLETE: "POST",
    MultipartRequest.ABORT: "DELETE",
}


class S3Signer:
    """Signs for clients, who reach the bucket at `address`."""

    def __init__(
        self,
        options: S3Options,
        *,
        address: BucketAddress,
        region: str,
        credentials: KeptCredentials,
        clock: Callable[[], datetime],
    ) -> None:
        self._options = options
        self._address = address
        self._credentials = credentials
        self._clock = clock
        self._signer = QuerySigner(region=region, clock=clock)

    def sign_put(
        self,
        key: str,
        *,
        content_type: str,
        byte_size: int,
        sha256: str | None,
        md5: str | None,
        expires_in: timedelta,
    ) -> SignedPut:
        check_private_key(key)
        check_content_type(content_type)
        check_promise(byte_size, sha256, md5)
        headers = {"Content-Type": content_type, **_checksum_headers(sha256)}
        if md5 is not None:
            headers["Content-MD5"] = hex_to_base64(md5)
        headers |= self._once_only() | self._options.encryption_headers
        url, expires_at = self._presign(
            "PUT", key, headers={**headers, "Content-Length": str(byte_size)}, expires_in=expires_in
        )
        return SignedPut(url=url, headers=headers, expires_at=expires_at)

    def sign_get(
        self,
        key: str,
        *,
        disposition: Disposition,
        filename: str,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedGet:
        check_private_key(key)
        query = response_overrides(
            disposition=disposition, filename=filename, content_type=content_type, expires_in=expires_in
        )
        url, expires_at = self._presign("GET", key, query=query, expires_in=expires_in, reads=True)
        return SignedGet(url=url, expires_at=expires_at)

    def sign_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        *,
        byte_size: int,
        sha256: str | None,
        expires_in: timedelta,
    ) -> SignedPut:
        check_private_key(key)
        check_part_number(number)
        check_promise(byte_size, sha256)
        # Clients that name no type for bytes have one named by their library, and some stores refuse a type
        # that was not signed.
        headers = {"Content-Type": _PART_TYPE, **_checksum_headers(sha256)}
        url, expires_at = self._presign(
            "PUT",
            key,
            query={"partNumber": str(number), "uploadId": upload_id},
            headers={**headers, "Content-Length": str(byte_size)},
            expires_in=expires_in,
        )
        return SignedPut(url=url, headers=headers, expires_at=expires_at)

    def sign_multipart_request(
        self,
        request: MultipartRequest,
        key: str,
        *,
        upload_id: str | None,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedRequest:
        check_private_key(key)
        check_content_type(content_type)
        if (upload_id is None) != (request is MultipartRequest.CREATE):
            raise ValueError("An upload is named by all requests but the one that creates it.")
        headers: dict[str, str] = {}
        if request is MultipartRequest.CREATE:
            headers = {"Content-Type": content_type, **self._options.encryption_headers}
        elif request is MultipartRequest.COMPLETE:
            headers = {"Content-Type": _XML, **self._once_only()}
        method = _METHODS[request]
        url, expires_at = self._presign(
            method,
            key,
            query={"uploads": ""} if upload_id is None else {"uploadId": upload_id},
            headers=headers,
            expires_in=expires_in,
        )
        return SignedRequest(method=method, url=url, headers=headers, expires_at=expires_at)

    def public_url(self, key: str) -> str:
        check_public_key(key)
        return f"{self._address.origin}{self._address.path}{key}"

    def _once_only(self) -> dict[str, str]:
        return {"If-None-Match": "*"} if self._options.conditional_writes else {}

    def _presign(
        self,
        method: str,
        key: str,
        *,
        expires_in: timedelta,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        reads: bool = False,
    ) -> tuple[str, datetime]:
        now = self._clock()
        until = expiry(now, expires_in)
        credentials, end = self._credentials.current()
        second = int(now.timestamp())
        if reads:
            second -= second % read_window(expires_in)
            until = second + math.ceil(expires_in.total_seconds())
        at = datetime.fromtimestamp(second, UTC)
        lifetime = _lifetime(at, until - second, end)
        url = self._signer.presign(
            method,
            self._address,
            key,
            credentials=credentials,
            expires_in=lifetime,
            query=query or {},
            headers={name.lower(): value for name, value in (headers or {}).items()},
            at=at,
        )
        return url, at + timedelta(seconds=lifetime)


def _lifetime(at: datetime, seconds: int, end: datetime | None) -> int:
    """Never beyond the end of the credentials, which would end the address unsaid."""
    if end is not None:
        seconds = min(seconds, int((end - at).total_seconds()))
    if seconds < 1:
        raise StorageUnavailableError("The credentials for the object store expire now: nothing is signed.")
    return min(seconds, int(LONGEST_LIFETIME.total_seconds()))


def _checksum_headers(sha256: str | None) -> dict[str, str]:
    if sha256 is None:
        return {}
    return {"x-amz-checksum-sha256": hex_to_base64(sha256), "x-amz-sdk-checksum-algorithm": "SHA256"}
