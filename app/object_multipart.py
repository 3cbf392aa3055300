"""The requests of S3's API that a client may make of a multipart upload by itself, as Uppy does.

    POST   /objects/{key}?uploads        begin an upload
    GET    /objects/{key}?uploadId=…     list its parts
    POST   /objects/{key}?uploadId=…     complete it
    DELETE /objects/{key}?uploadId=…     abort it

Each has to be signed, like everything here. Answers and refusals are S3's XML.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from app.object_uploads import is_of_part
from app.public_objects import is_public
from app.refusals import Refusal
from app.request_body import BodyStalledError, RequestBody
from app.s3_xml import COMPLETE_MAX_BYTES, completed, created, listed, read_complete
from storage.disk import DiskStore
from storage.disk_signatures import SignatureInvalidError
from storage.errors import PartsChangedError
from storage.objects import MIN_PART_BYTES, MultipartRequest, StoredPart
from storage.threads import in_thread

LONGEST_LIST = timedelta(minutes=1)
"""How long a client may take to send which parts it completes with."""

# The types that are kept come from the addresses under which an object is read.
_ANY_TYPE = "application/octet-stream"


def multipart_request(method: str, key: str, query: str) -> MultipartRequest | None:
    """Return what a request claims to be; what it may do is in its signature."""
    if is_public(key):
        return None
    is_of_upload = is_of_part(query)
    if method == "POST" and is_of_upload:
        return MultipartRequest.COMPLETE
    if method == "POST" and any(pair.split("=")[0] == "uploads" for pair in query.split("&")):
        return MultipartRequest.CREATE
    if method == "GET" and is_of_upload:
        return MultipartRequest.LIST_PARTS
    return MultipartRequest.ABORT if method == "DELETE" and is_of_upload else None


class MultipartRequests:
    """Answers them; raises `Refusal` and the store's errors."""

    def __init__(self, store: DiskStore) -> None:
        self._store = store
        self._signer = store.signer.multipart

    async def answer(
        self, request: MultipartRequest, key: str, query: str, scope: Scope, body: RequestBody
    ) -> Response:
        if request is MultipartRequest.CREATE:
            return await self._create(key, query, Headers(scope=scope))
        upload_id = self._signer.verify_request(request, key, query).upload_id
        if request is MultipartRequest.LIST_PARTS:
            return listed(key, upload_id, await self._store.list_parts(key, upload_id))
        if request is MultipartRequest.COMPLETE:
            return await self._complete(key, upload_id, body)
        await self._store.abort_multipart(key, upload_id)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _create(self, key: str, query: str, headers: Headers) -> Response:
        grant = self._signer.verify_create(key, query)
        content_type = headers.get("content-type")
        if content_type != grant.content_type:
            # On S3 the type is a signed header, and a signature that fails is all there is to say.
            raise Refusal(
                status=HTTPStatus.FORBIDDEN,
                code=SignatureInvalidError.code,
                message=f"The header Content-Type is not the {grant.content_type!r} that was signed.",
            )
        upload_id = await self._store.create_multipart(
            key, content_type=grant.content_type, part_hashes=False
        )
        return created(key, upload_id)

    async def _complete(self, key: str, upload_id: str, body: RequestBody) -> Response:
        wanted = await in_thread(partial(read_complete, await _received(body)))
        parts = _chosen(await self._store.list_parts(key, upload_id), wanted)
        done = await self._store.complete_multipart(key, upload_id, parts, content_type=_ANY_TYPE)
        return completed(key, location=self._store.signer.location(key), etag=done.etag)


def _chosen(stored: Sequence[StoredPart], wanted: Sequence[tuple[int, str]]) -> list[StoredPart]:
    by_claim = {(part.number, part.etag): part for part in stored}
    parts = [by_claim[claim] for claim in wanted if claim in by_claim]
    if len(parts) != len(wanted):
        raise PartsChangedError
    if any(part.byte_size < MIN_PART_BYTES for part in parts[:-1]):
        raise Refusal(
            status=HTTPStatus.BAD_REQUEST,
            code="ENTITY_TOO_SMALL",
            message=f"A part has fewer than {MIN_PART_BYTES} bytes, which only the last may have.",
        )
    return parts


async def _received(body: RequestBody) -> bytes:
    received = bytearray()
    try:
        async with asyncio.timeout(LONGEST_LIST.total_seconds()):
            async for chunk in body:
                received += chunk
                if len(received) > COMPLETE_MAX_BYTES:
                    raise Refusal(
                        status=HTTPStatus.BAD_REQUEST,
                        code="MAX_MESSAGE_LENGTH_EXCEEDED",
                        message=f"The list of parts is longer than {COMPLETE_MAX_BYTES} bytes.",
                    )
    except TimeoutError as error:
        raise BodyStalledError from error
    return bytes(received)
