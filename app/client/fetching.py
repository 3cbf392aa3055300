"""The bytes on their way from the object store: taken up again where they broke off, with a fresh address.

Addresses are credentials, and the HTTP client's errors hold them: those never leave this module.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

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

_BLOCK_BYTES = 256 * 1024

#: No byte came for so long: the other side is gone.
_STALL_SECONDS = 60

_OK, _PARTIAL, _UNSATISFIABLE = 200, 206, 416
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")

#: A freshly signed address.
Renewal = Callable[[], Awaitable[str]]

#: Bytes that are here, from the beginning.
Progress = Callable[[int], None]


class Sink(Protocol):
    """Where the bytes go, in their order."""

    async def begin(self, etag: str | None) -> int:
        """How many bytes of the object with this entity tag are here already; None is no tag to rely on."""

    async def write(self, block: bytes) -> None: ...

    async def restart(self) -> None:
        """The bytes come again from the first on."""


@asynccontextmanager
async def open_fetcher() -> AsyncIterator["Fetcher"]:
    async with open_session(read_seconds=_STALL_SECONDS) as session:
        yield Fetcher(session)


class Fetcher:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def fetch(self, renew: Renewal, byte_size: int, sink: Sink, progress: Progress) -> None:
        """Returns once the sink has all `byte_size` bytes.

        Raises TransferRefusedError, UnreachableError, and what the renewal and the sink raise.
        """
        download = _Download(self._session, renew, byte_size, sink, progress)
        try:
            while not download.complete:
                async for attempt in attempts():
                    with attempt:
                        await download.advance(patient=attempt.num == 1)
        except InterruptedTransferError as error:
            raise given_up("come", error) from None


class _Download:
    """One object: `received` bytes of what has the entity tag `etag`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        renew: Renewal,
        byte_size: int,
        sink: Sink,
        progress: Progress,
    ) -> None:
        self._session = session
        self._renew = renew
        self._byte_size = byte_size
        self._sink = sink
        self._progress = progress
        self._begun = False
        self._etag: str | None = None
        self._received = 0
        #: Only more than this is progress: a store that begins anew each time would go on for ever.
        self._most = 0

    @property
    def complete(self) -> bool:
        return self._begun and self._received == self._byte_size

    async def advance(self, *, patient: bool) -> None:
        """One request; raises InterruptedTransferError if nothing came of it.

        `patient`: a 403 may be mended.
        """
        begun, most = self._begun, self._most
        problem = "nothing came"
        try:
            await self._request(patient=patient)
        except TimeoutError:
            problem = "nothing moved any more"
        except aiohttp.ClientConnectorCertificateError:
            raise untrusted() from None
        except aiohttp.ClientError:
            problem = "the connection broke"
        if self._begun == begun and self._most == most:
            raise InterruptedTransferError(problem) from None

    async def _request(self, *, patient: bool) -> None:
        headers = {"Accept-Encoding": "identity"}
        if self._received and self._etag:
            headers |= {"Range": f"bytes={self._received}-", "If-Range": self._etag}
        url = URL(await self._renew(), encoded=True)  # it is signed as it is written
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            match response.status:
                case status if status == _OK:
                    if await self._begin(response):
                        await self._receive(response)
                case status if status == _PARTIAL and self._received:
                    self._check_part(response)
                    await self._receive(response)
                case status if status == _UNSATISFIABLE and self._received:
                    await self._restart()
                case status:
                    raise _refusal(status, patient=patient)

    async def _begin(self, response: aiohttp.ClientResponse) -> bool:
        """The whole object comes; False when a part of it is here already and the rest will do."""
        if response.content_length != self._byte_size:
            raise _other_size(response.content_length, self._byte_size)
        etag = _strong_etag(response)
        if self._begun:
            if self._received:
                await self._restart()
            self._etag = etag
            return True
        self._received = await self._sink.begin(etag)
        self._begun, self._etag = True, etag
        if self._received > self._byte_size:
            await self._restart()
        self._progress(self._received)
        return self._received == 0

    def _check_part(self, response: aiohttp.ClientResponse) -> None:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != self._received or _strong_etag(response) != self._etag:
            raise TransferRefusedError("The store sent another part of the file than was asked for.")
        if int(found[2]) != self._byte_size:
            raise _other_size(int(found[2]), self._byte_size)

    async def _receive(self, response: aiohttp.ClientResponse) -> None:
        async for block in response.content.iter_chunked(_BLOCK_BYTES):
            if self._received + len(block) > self._byte_size:
                raise TransferRefusedError(f"The store sent more than the file's {self._byte_size:,} bytes.")
            await self._sink.write(block)
            self._received += len(block)
            self._most = max(self._most, self._received)
            self._progress(self._received)

    async def _restart(self) -> None:
        await self._sink.restart()
        self._received = 0


def _strong_etag(response: aiohttp.ClientResponse) -> str | None:
    """A weak one does not promise the same bytes (RFC 9110 §8.8.1)."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else None


def _refusal(status: int, *, patient: bool) -> Exception:
    if may_pass(status, renewable=patient):
        return InterruptedTransferError(f"the store answers {status}")
    return TransferRefusedError(f"The store answers {status}.")


def _other_size(found: int | None, expected: int) -> TransferRefusedError:
    held = "a file of unknown size" if found is None else f"{found:,} bytes"
    return TransferRefusedError(f"The store holds {held} where there should be {expected:,}.")
