"""A bound on what a request may send to the API, in bytes and in time. Uploads have their own."""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resolvers.errors import transport_error

#: 100 requests for uploads with 16 KiB of metadata each, or one with the hashes of 10,000 blocks (0.7 MB),
#: and some air. The contract tells it, so that clients don't announce many files with many blocks at once.
MAX_BODY_BYTES = 2 * 1024 * 1024

#: uvicorn waits for a body without end; a page's worth of JSON does not take that long.
BODY_SECONDS = 30.0


class _BodyRefused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class BodyLimit:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(receive)
        except _BodyRefused as refused:
            response = JSONResponse({"errors": [transport_error(str(refused))]}, refused.status)
            await response(scope, receive, send)
        else:
            await self._app(scope, _replay(body, receive), send)


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _BodyRefused(400, "The connection ended before the body did.")
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    raise _BodyRefused(413, f"A request may have at most {MAX_BODY_BYTES:,} bytes.")
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise _BodyRefused(408, f"The body did not arrive within {BODY_SECONDS:.0f} seconds.") from None


def _replay(body: bytes, receive: Receive) -> Receive:
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    return replay
