"""Signed addresses of multipart uploads: the sending of one part, and the requests of S3's own API.

`uploadId`, `partNumber` and `uploads` are S3's names, so a client that speaks S3 finds what it looks for. No
two kinds of address share their parameters, so none can be taken for another.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.disk_signatures import AddressSigner, moment
from storage.keys import check_private_key
from storage.lifetimes import expiry
from storage.objects import MultipartRequest, SignedPut, SignedRequest
from storage.promises import check_part_number, check_promise
from storage.response_headers import check_content_type

_PART_NAMES = ("uploadId", "partNumber", "expires", "length", "sha256")
_PART_OPTIONAL = frozenset({"sha256"})
_CREATE_NAMES = ("uploads", "expires", "type")
_UPLOAD_NAMES = ("uploadId", "expires")

_METHODS = {
    MultipartRequest.CREATE: "POST",
    MultipartRequest.LIST_PARTS: "GET",
    MultipartRequest.COMPLETE: "POST",
    MultipartRequest.ABORT: "DELETE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartGrant:
    """One part that may be sent, of exactly `byte_size` bytes; `sha256` is None where none was promised."""

    key: str
    upload_id: str
    number: int
    byte_size: int
    sha256: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateGrant:
    """One kind of multipart upload that may be begun."""

    key: str
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadGrant:
    """Something that may be done with one multipart upload."""

    key: str
    upload_id: str


class MultipartSigner:
    """Signs what concerns multipart uploads, and verifies it."""

    def __init__(self, addresses: AddressSigner) -> None:
        self._addresses = addresses

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
        expires = expiry(self._addresses.clock(), expires_in)
        params = {
            "uploadId": upload_id,
            "partNumber": str(number),
            "expires": str(expires),
            "length": str(byte_size),
        }
        if sha256 is not None:
            params["sha256"] = sha256
        url = self._addresses.url("PUT", key, _PART_NAMES, params)
        return SignedPut(url=url, headers={}, expires_at=moment(expires))

    def sign_request(
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
        if (request is MultipartRequest.CREATE) != (upload_id is None):
            raise ValueError("A multipart upload has an id in every request but the one that creates it.")
        expires = expiry(self._addresses.clock(), expires_in)
        params, headers = {"expires": str(expires)}, {}
        if upload_id is None:
            params |= {"uploads": "", "type": content_type}
            headers["Content-Type"] = content_type
        else:
            params["uploadId"] = upload_id
        method = _METHODS[request]
        url = self._addresses.url(method, key, _names(request), params)
        return SignedRequest(method=method, url=url, headers=headers, expires_at=moment(expires))

    def verify_part(self, key: str, query: str) -> PartGrant:
        """Return which part `query` permits to PUT; raises as `AddressSigner.verify` does."""
        params = self._addresses.verify("PUT", key, query, _PART_NAMES, _PART_OPTIONAL)
        return PartGrant(
            key=key,
            upload_id=params["uploadId"],
            number=int(params["partNumber"]),
            byte_size=int(params["length"]),
            sha256=params.get("sha256"),
            expires_at=moment(int(params["expires"])),
        )

    def verify_create(self, key: str, query: str) -> CreateGrant:
        """Return what `query` permits to begin under `key`; raises as `AddressSigner.verify` does."""
        request = MultipartRequest.CREATE
        params = self._addresses.verify(_METHODS[request], key, query, _names(request))
        return CreateGrant(key=key, content_type=params["type"])

    def verify_request(self, request: MultipartRequest, key: str, query: str) -> UploadGrant:
        """Return for which upload `query` permits the request; raises as `AddressSigner.verify` does."""
        params = self._addresses.verify(_METHODS[request], key, query, _names(request))
        return UploadGrant(key=key, upload_id=params["uploadId"])


def _names(request: MultipartRequest) -> tuple[str, ...]:
    return _CREATE_NAMES if request is MultipartRequest.CREATE else _UPLOAD_NAMES
