"""The bytes on their way to the object store: streamed from disk, sent again when the way breaks.

Addresses are credentials, and the HTTP client's errors hold them: those never leave this module.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import stamina
from yarl import URL

from app.client.errors import TransferRefusedError, UnreachableError
from app.client.files import LocalFile, Source, changed, opened
from app.client.text import printable
from app.client.upload_api import AnnouncedUpload, Target

#: About 40 seconds of waiting in all, however long the attempts themselves take.
_ATTEMPTS = 9

#: No block went out for so long: the other side is gone. After the last one it syncs its disk, or hashes.
_STALL_SECONDS = 60.0
_ANSWER_SECONDS = 300.0

#: An address lives for five minutes; one that waited in a queue this long is better asked for again.
_FRESH_SECONDS = 120.0

_CONNECT_SECONDS = 10
_REFUSAL_BYTES = 4096

_STORED_ALREADY = 412
#: The address has expired, which a fresh one mends; once that is refused too, it is meant.
_FORBIDDEN = 403
_TEMPORARY = frozenset({408, 425, 429})

#: Bytes of this file that are on their way, from the beginning; smaller again when they are sent again.
Progress = Callable[[int], None]

#: A fresh target for the upload with this id; None once it has ended.
Renewal = Callable[[str], Awaitable[Target | None]]


class _InterruptedError(Exception):
    """The bytes may get through with another attempt; says in words what happened."""


@asynccontextmanager
async def open_transfers(renew: Renewal) -> AsyncIterator["Transfers"]:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
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
            async for attempt in stamina.retry_context(
                on=_InterruptedError, attempts=_ATTEMPTS, timeout=None, wait_initial=0.2, wait_max=10.0
            ):
                with attempt:
                    if attempt.num > 1 or (target and time.monotonic() - target.received_at > _FRESH_SECONDS):
                        target = await self._renew(upload.upload_id)
                    if target is None:
                        return
                    await self._put(file, target, progress, renewed=attempt.num > 1)
        except _InterruptedError as error:
            raise UnreachableError(
                f"The bytes did not get through in {_ATTEMPTS} attempts: {error}."
            ) from None

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
                raise _InterruptedError("nothing moved any more") from None
            except aiohttp.ClientConnectorCertificateError:
                raise TransferRefusedError("The object store's certificate is not trusted here.") from None
            except aiohttp.ClientError:
                if source.problem:
                    raise source.problem from None
                raise _InterruptedError("the connection broke") from None
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
    if status >= 500 or status in _TEMPORARY or (status == _FORBIDDEN and not renewed):
        raise _InterruptedError(said)
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
