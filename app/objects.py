"""`/objects/{key}`: what the disk store's signed addresses permit, and the reading of what is public.

PUT, GET and HEAD are of objects and of parts; the requests of multipart uploads (`app/object_multipart.py`)
speak S3's XML. What is allowed stands in the signature and is checked before a byte of the body is asked for.
Addresses are bearer credentials: nothing here logs a query string, and neither may the server's access log.
What lies beneath `public/` can be read without one, and never be written here.
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
from app.object_multipart import MultipartRequests, multipart_request
from app.object_uploads import ObjectUploads
from app.public_objects import is_public, nothing_public, public_manner
from app.refusals import Refusal, refusal_for
from app.request_body import BodyStalledError, RequestBody
from app.s3_xml import xml_refusal
from storage.disk import DiskStore
from storage.disk_objects import OpenObject
from storage.disk_signing import GetMethod
from storage.errors import InvalidKeyError, ObjectMissingError, StorageError

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
        self._uploads = ObjectUploads(store)
        self._multipart = MultipartRequests(store)
        self._body_timeout = body_timeout
        self._send_timeout = send_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = RequestBody(receive, Headers(scope=scope), timeout=self._body_timeout)
        started = _StartedSend(send)
        request = multipart_request(scope["method"], _key(scope), _query(scope))
        try:
            if request is not None:
                response = await self._multipart.answer(request, _key(scope), _query(scope), scope, body)
                await response(scope, receive, started)
            else:
                await self._answer(scope, receive, started, body)
        except ClientDisconnect:
            return
        except (Refusal, BodyStalledError, StorageError) as error:
            if started.started:
                raise
            refusal = refusal_for(error)
            answer = refusal.response() if request is None else xml_refusal(refusal)
            await _refuse(answer, scope, send, body)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, body: RequestBody) -> None:
        match scope["method"]:
            case "PUT":
                response = await self._uploads.put(_key(scope), _query(scope), Headers(scope=scope), body)
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
