"""`/objects/{key}`: PUT, GET and HEAD of the disk store's signed addresses, and of what is public.

What is allowed stands in the signature and is checked before a byte of the body is asked for. Addresses are
bearer credentials: nothing here logs a query string, and neither may the server's access log. What lies
beneath `public/` can be read without one, and never be written here.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from app.object_answers import Manner, object_answer
from app.public_objects import is_public, nothing_public, public_manner
from app.refusals import Refusal, bad_header, refusal_for
from app.request_body import BodyStalledError, RequestBody
from storage.disk import LONGEST_PUT, DiskStore
from storage.disk_objects import OpenObject
from storage.disk_signing import GetMethod, PutGrant, content_md5
from storage.errors import InvalidKeyError, ObjectExistsError, ObjectMissingError, StorageError

BODY_TIMEOUT = timedelta(seconds=30)
"""How long a client may send nothing in the middle of its body."""

SEND_TIMEOUT = timedelta(seconds=60)
"""How long a client may read nothing of ours; players that pause come back with a range."""


def object_routes(
    store: DiskStore, *, body_timeout: timedelta = BODY_TIMEOUT, send_timeout: timedelta = SEND_TIMEOUT
) -> list[Route]:
    """Return the routes that serve `store`; mount them so that they answer under its base URL."""
    endpoint = ObjectEndpoint(store, body_timeout=body_timeout, send_timeout=send_timeout)
    return [Route("/objects/{key:path}", endpoint, name="objects")]


class ObjectEndpoint:
    """One ASGI application for all methods, so that every refusal looks the same."""

    def __init__(self, store: DiskStore, *, body_timeout: timedelta, send_timeout: timedelta) -> None:
        self._store = store
        self._body_timeout = body_timeout
        self._send_timeout = send_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = RequestBody(receive, Headers(scope=scope), timeout=self._body_timeout)
        started = _StartedSend(send)
        try:
            await self._answer(scope, receive, started, body)
        except ClientDisconnect:
            return
        except (Refusal, BodyStalledError, StorageError) as error:
            if started.started:
                raise
            await _refuse(refusal_for(error).response(), scope, send, body)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: RequestBody) -> None:
        match scope["method"]:
            case "PUT":
                response = await self._put(scope, body)
                await response(scope, receive, send)
            case "GET" | "HEAD" as method:
                await self._get(method, scope, receive, send)
            case method:
                raise Refusal(
                    status=HTTPStatus.METHOD_NOT_ALLOWED,
                    code="METHOD_NOT_ALLOWED",
                    message=f"Objects answer to GET, HEAD and PUT, not to {method}.",
                    headers={"Allow": "GET, HEAD, PUT"},
                )

    async def _put(self, scope: Scope, body: RequestBody) -> Response:
        grant = self._store.signer.verify_put(_key(scope), _query(scope))
        _check_headers(grant, Headers(scope=scope))
        if await self._store.head(grant.key) is not None:
            # Told before the body is sent; two that come at once are told apart when the file gets its name.
            raise ObjectExistsError
        try:
            async with asyncio.timeout(LONGEST_PUT.total_seconds()):
                stored = await self._store.receive(grant, body)
        except TimeoutError as error:
            raise Refusal(
                status=HTTPStatus.REQUEST_TIMEOUT,
                code="UPLOAD_TOO_SLOW",
                message=f"The upload took longer than {LONGEST_PUT}; request a new one.",
            ) from error
        return Response(headers={"ETag": f'"{stored.etag}"'})

    async def _get(self, method: GetMethod, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        manner = public_manner(key) if is_public(key) else self._signed_manner(method, key, _query(scope))
        async with self._opened(key) as stored:
            response = object_answer(method, manner, stored, Headers(scope=scope))
            await response(scope, receive, _timed(send, self._send_timeout))

    def _signed_manner(self, method: GetMethod, key: str, query: str) -> Manner:
        grant = self._store.signer.verify_get(method, key, query)
        return Manner(
            content_type=grant.content_type,
            disposition=grant.disposition,
            filename=grant.filename,
            cache_control=f"private, max-age={self._store.signer.seconds_left(grant.expires_at)}, immutable",
        )

    @asynccontextmanager
    async def _opened(self, key: str) -> AsyncIterator[OpenObject]:
        try:
            async with self._store.open(key) as stored:
                yield stored
        except (InvalidKeyError, ObjectMissingError):
            if is_public(key):
                raise nothing_public() from None
            raise


def _check_headers(grant: PutGrant, headers: Headers) -> None:
    length = headers.get("content-length")
    if length is None:
        raise Refusal(
            status=HTTPStatus.LENGTH_REQUIRED,
            code="LENGTH_REQUIRED",
            message=f"The header Content-Length was not sent; the upload was signed for {grant.byte_size}.",
        )
    if length != str(grant.byte_size):
        raise bad_header("SIZE_MISMATCH", "Content-Length", expected=str(grant.byte_size), actual=length)
    content_type = headers.get("content-type")
    if content_type != grant.content_type:
        raise bad_header(
            "CONTENT_TYPE_MISMATCH", "Content-Type", expected=grant.content_type, actual=content_type
        )
    md5 = headers.get("content-md5")
    if grant.md5 is not None and md5 != content_md5(grant.md5):
        raise bad_header("CHECKSUM_MISMATCH", "Content-MD5", expected=content_md5(grant.md5), actual=md5)
    if "content-range" in headers:
        # To store a part as if it were the whole would corrupt it (RFC 9110 §14.5).
        raise Refusal(
            status=HTTPStatus.BAD_REQUEST,
            code="PARTIAL_PUT",
            message="The header Content-Range was sent; an object is uploaded as a whole.",
        )


def _key(scope: Scope) -> str:
    key: str = scope["path_params"]["key"]
    return key


def _query(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    return query.decode("latin-1")


class _StartedSend:
    """Remembers whether the answer has begun: after that no other can be given."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        self.started = True
        await self._send(message)


def _timed(send: Send, timeout: timedelta) -> Send:
    """Give up on a client that reads nothing; its file and its task must not be held for ever."""

    async def timed_send(message: Message) -> None:
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await send(message)
        except TimeoutError as error:
            raise ClientDisconnect from error

    return timed_send


async def _refuse(response: Response, scope: Scope, send: Send, body: RequestBody) -> None:
    """Answer at once, then read what the client still sends, then close: so the answer gets through."""
    if body.finished:
        await response(scope, _no_receive, send)
        return
    if scope["http_version"].startswith("1."):
        response.headers["Connection"] = "close"
    await send(
        {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    )
    await send({"type": "http.response.body", "body": bytes(response.body), "more_body": True})
    await body.linger()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _no_receive() -> Message:
    return {"type": "http.disconnect"}
