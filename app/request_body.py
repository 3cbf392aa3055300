"""The body of one request as it arrives, with a limit on how long each piece may take.

The server below has no such limit: without it a silent client holds its connection for ever.
"""

import asyncio
from datetime import timedelta

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive

# A client that ignores our answer and goes on sending is read this far before the connection is cut.
LINGER_BYTES = 128 * 1024 * 1024
LINGER_TIME = timedelta(seconds=30)


class BodyStalledError(Exception):
    """The client sent nothing for too long."""


class RequestBody:
    """An async iterator over the chunks; raises `BodyStalledError` or starlette's `ClientDisconnect`."""

    def __init__(self, receive: Receive, headers: Headers, *, timeout: timedelta) -> None:
        self._receive = receive
        self._timeout = timeout.total_seconds()
        self._stalled = False
        self._announced = headers.get("expect", "").lower() == "100-continue"
        self.finished = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers

    def __aiter__(self) -> "RequestBody":
        return self

    async def __anext__(self) -> bytes:
        if self.finished:
            raise StopAsyncIteration
        # The first receive() sends "100 Continue": from here on the client sends its body.
        self._announced = False
        try:
            async with asyncio.timeout(self._timeout):
                message = await self._receive()
        except TimeoutError as error:
            self._stalled = True
            raise BodyStalledError from error
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self.finished = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    async def linger(self) -> None:
        """Read and drop what is still coming, so that the client gets to read the answer it was sent.

        Closing a connection with unread bytes in it resets it, and the answer is lost on the way; the client
        would see a network error and try the same again. One that waits for "100 Continue" sends nothing.
        """
        if self._announced or self._stalled:
            return
        dropped = 0
        try:
            async with asyncio.timeout(LINGER_TIME.total_seconds()):
                async for chunk in self:
                    dropped += len(chunk)
                    if dropped > LINGER_BYTES:
                        return
        except (TimeoutError, BodyStalledError, ClientDisconnect):
            return
