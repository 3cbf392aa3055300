"""`PUT /objects/{key}`: the sending of an object as a whole, or of one part of a multipart upload.

Both are held to what was signed: length and hash, and for a whole object the type too. A part has none:
browsers send any, or none at all.
"""

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response

from app.newest_body import NewestBody, SupersededError
from app.refusals import Refusal, bad_header
from app.request_body import RequestBody
from storage.disk import LONGEST_PUT, DiskStore
from storage.disk_signing import PutGrant
from storage.errors import ObjectExistsError
from storage.promises import hex_to_base64


class ObjectUploads:
    """What PUT does; every method raises `Refusal` or a `StorageError` and then has kept nothing."""

    def __init__(self, store: DiskStore) -> None:
        self._store = store
        self._bodies = NewestBody()

    async def put(self, key: str, query: str, headers: Headers, body: RequestBody) -> Response:
        if is_of_part(query):
            return await self._put_part(key, query, headers, body)
        return await self._put_object(key, query, headers, body)

    async def _put_object(self, key: str, query: str, headers: Headers, body: RequestBody) -> Response:
        grant = self._store.signer.verify_put(key, query)
        _check_length(grant.byte_size, headers)
        _check_claims(grant, headers)
        if await self._store.head(grant.key) is not None:
            # Told before the body is sent; two that come at once are told apart when the file gets its name.
            raise ObjectExistsError
        async with self._receiving(grant.key):
            stored = await self._store.receive(grant, body)
        return Response(headers={"ETag": f'"{stored.etag}"'})

    async def _put_part(self, key: str, query: str, headers: Headers, body: RequestBody) -> Response:
        grant = self._store.signer.multipart.verify_part(key, query)
        _check_length(grant.byte_size, headers)
        async with self._receiving((grant.upload_id, grant.number)):
            stored = await self._store.receive_part(grant, body)
        return Response(headers={"ETag": f'"{stored.etag}"'})

    @asynccontextmanager
    async def _receiving(self, name: Hashable) -> AsyncIterator[None]:
        try:
            async with self._bodies.receiving(name, longest=LONGEST_PUT):
                yield
        except SupersededError as error:
            raise Refusal(
                status=HTTPStatus.CONFLICT,
                code="UPLOAD_SUPERSEDED",
                message="Another body was sent to this address since: that one counts.",
            ) from error
        except TimeoutError as error:
            raise Refusal(
                status=HTTPStatus.REQUEST_TIMEOUT,
                code="UPLOAD_TOO_SLOW",
                message=f"The upload took longer than {LONGEST_PUT}; request a new one.",
            ) from error


def is_of_part(query: str) -> bool:
    """Whether that is what an address claims to be for; what it permits is in its signature."""
    return any(pair.startswith("uploadId=") for pair in query.split("&"))


def _check_length(byte_size: int, headers: Headers) -> None:
    length = headers.get("content-length")
    if length is None:
        raise Refusal(
            status=HTTPStatus.LENGTH_REQUIRED,
            code="LENGTH_REQUIRED",
            message=f"The header Content-Length was not sent; the upload was signed for {byte_size}.",
        )
    if length != str(byte_size):
        raise bad_header("SIZE_MISMATCH", "Content-Length", expected=str(byte_size), actual=length)
    if "content-range" in headers:
        # To store a part as if it were the whole would corrupt it (RFC 9110 §14.5).
        raise Refusal(
            status=HTTPStatus.BAD_REQUEST,
            code="PARTIAL_PUT",
            message="The header Content-Range was sent; what was signed is sent as a whole.",
        )


def _check_claims(grant: PutGrant, headers: Headers) -> None:
    content_type = headers.get("content-type")
    if content_type != grant.content_type:
        raise bad_header(
            "CONTENT_TYPE_MISMATCH", "Content-Type", expected=grant.content_type, actual=content_type
        )
    md5 = headers.get("content-md5")
    if grant.md5 is not None and md5 != hex_to_base64(grant.md5):
        raise bad_header("CHECKSUM_MISMATCH", "Content-MD5", expected=hex_to_base64(grant.md5), actual=md5)
