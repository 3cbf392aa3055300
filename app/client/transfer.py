"""The bytes on their way to the object store: streamed from disk, sent again when the way breaks.

Addresses are credentials, and the HTTP client's errors hold them: those never leave this module.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from app.client.attempts import (
    InterruptedTransferError,
    attempts,
    given_up,
    may_pass,
    open_session,
    untrusted,
)
from app.client.errors import TransferRefusedError
from app.client.files import LocalFile, Source, changed, opened
from app.client.text import printable
from app.client.upload_api import AnnouncedUpload, Target

#: No block went out for so long: the other side is gone. After the last one it syncs its disk, or hashes.
_STALL_SECONDS = 60.0
_ANSWER_SECONDS = 300.0

#: An address lives for five minutes; one that waited in a queue this long is better asked for again.
_FRESH_SECONDS = 120.0

_REFUSAL_BYTES = 4096

_STORED_ALREADY = 412

#: Bytes of this file that are on their way, from the beginning; smaller again when they are sent again.
Progress = Callable[[int], None]

#: A fresh target for the upload with this id; None once it has ended.
Renewal = Callable[[str], Awaitable[Target | None]]


@asynccontextmanager
async def open_transfers(renew: Renewal) -> AsyncIterator["Transfers"]:
    async with open_session() as session:
        yield Transfers(renew, session)


class Transfers:
    def __init__(self, renew: Renewal, session: aiohttp.ClientSession) -> None:
        self._renew = renew
        self._session = session

    async def send(self, file: LocalFile, upload: AnnouncedUpload, progress: Progress) -> None:
        """Returns once the store holds the bytes, or the upload has ended without needing them.

        Raises FileProblemError, TransferRefusedError, and what the renewal raises.
        """
        target = upload.target
        try:
            async for attempt in attempts():
                with attempt:
                    if attempt.num > 1 or (target and time.monotonic() - target.received_at > _FRESH_SECONDS):
                        target = await self._renew(upload.upload_id)
                    if target is None:
                        return
                    await self._put(file, target, progress, renewed=attempt.num > 1)
        except InterruptedTransferError as error:
            raise given_up("get through", error) from None

    async def _put(self, file: LocalFile, target: Target, progress: Progress, *, renewed: bool) -> None:
        async with opened(file) as source:
            try:
                async with asyncio.timeout(_STALL_SECONDS) as limit:
                    body = _watched(source, file.byte_size, progress, limit)
                    async with self._session.request(
                        target.method,
                        URL(target.url, encoded=True),  # it is signed as it is written
                        data=body,
                        headers={**target.headers, "Content-Length": str(file.byte_size)},
                        allow_redirects=False,
                    ) as response:
                        await _judge(response, source, renewed=renewed)
            except TimeoutError:
                raise InterruptedTransferError("nothing moved any more") from None
            except aiohttp.ClientConnectorCertificateError:
                raise untrusted() from None
            except aiohttp.ClientError:
                if source.problem:
                    raise source.problem from None
                raise InterruptedTransferError("the connection broke") from None
        progress(file.byte_size)


async def _watched(
    source: Source, byte_size: int, progress: Progress, limit: asyncio.Timeout
) -> AsyncGenerator[bytes]:
    """The client asks for the next block when the one before went out: that is all there is to watch."""
    now, sent = asyncio.get_running_loop().time, 0
    progress(0)
    async for block in source.blocks():
        sent += len(block)
        limit.reschedule(now() + (_STALL_SECONDS if sent < byte_size else _ANSWER_SECONDS))
        yield block
        progress(sent)


async def _judge(response: aiohttp.ClientResponse, source: Source, *, renewed: bool) -> None:
    status = response.status
    if 200 <= status < 300 or status == _STORED_ALREADY:
        return
    code, message = await _reason(response)
    said = f"the store answers {status}" + (f": {printable(message.rstrip('.'))}" if message else "")
    if source.problem:
        raise source.problem
    if may_pass(status, renewable=not renewed):
        raise InterruptedTransferError(said)
    if code == "CHECKSUM_MISMATCH":
        raise changed()
    raise TransferRefusedError(f"{said[0].upper()}{said[1:]}.")


async def _reason(response: aiohttp.ClientResponse) -> tuple[str, str]:
    """Code and sentence of our own store; empty where another answers."""
    try:
        error = json.loads(await response.content.read(_REFUSAL_BYTES))["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "", ""
