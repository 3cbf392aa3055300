"""One request that takes bytes of a file to the object store, streamed from disk.

Addresses are credentials, and the HTTP client's errors hold them: those never leave this module.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

import aiohttp
from yarl import URL

from app.client.attempts import InterruptedTransferError, untrusted
from app.client.files import ByteRange, LocalFile, Source, opened
from app.client.store_refusals import judge
from app.client.targets import Target

#: No block went out for so long: the other side is gone. After the last one it syncs its disk, or hashes.
_STALL_SECONDS = 60.0
_ANSWER_SECONDS = 300.0

#: Bytes of it that are on their way, from the beginning; fewer than before when they are sent again.
Progress = Callable[[int], None]


async def put(
    session: aiohttp.ClientSession,
    file: LocalFile,
    part: ByteRange,
    target: Target,
    progress: Progress,
    *,
    renewed: bool,
) -> None:
    """Returns once the store has the bytes; `renewed`: the address is as fresh as can be.

    Raises InterruptedTransferError, FileProblemError, TransferRefusedError and UploadGoneError.
    """
    async with opened(file, part) as source:
        try:
            async with asyncio.timeout(_STALL_SECONDS) as limit:
                async with session.request(
                    target.method,
                    URL(target.url, encoded=True),  # it is signed as it is written
                    data=_watched(source, part.length, progress, limit),
                    headers={**target.headers, "Content-Length": str(part.length)},
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
    progress(part.length)


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
    try:
        await judge(response, renewed=renewed)
    except Exception:
        if source.problem:
            raise source.problem from None
        raise
