"""Files on their way to the object store, whole or in parts, over so many connections at once and no more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from app.client.attempts import InterruptedTransferError, attempts, given_up, open_session
from app.client.errors import TransferRefusedError
from app.client.files import ByteRange, LocalFile
from app.client.putting import Progress, put
from app.client.signed_parts import SignedParts, SignParts, is_fresh
from app.client.store_refusals import UploadGoneError
from app.client.targets import AnyTarget, MultipartTarget, Target
from app.client.waiting import Attempts, Say, host_of, say_nothing

#: A fresh target for the upload with this id; None once it has ended.
Renewal = Callable[[str], Awaitable[AnyTarget | None]]


@asynccontextmanager
async def open_transfers(
    renew: Renewal, sign: SignParts, *, connections: int, say: Say = say_nothing
) -> AsyncIterator["Transfers"]:
    """`say` is told of a store that is waited for."""
    async with open_session() as session:
        yield Transfers(renew, sign, session, connections=connections, say=say)


class Transfers:
    def __init__(
        self, renew: Renewal, sign: SignParts, session: aiohttp.ClientSession, *, connections: int, say: Say
    ) -> None:
        self._renew = renew
        self._sign = sign
        self._session = session
        self._connections = connections
        self._attempts = Attempts(say)
        #: First come, first served: the parts of several files take turns.
        self._room = asyncio.Semaphore(connections)

    async def send(self, file: LocalFile, upload_id: str, target: Target, progress: Progress) -> None:
        """Returns once the store holds the bytes, or the upload has ended without needing them.

        Raises FileProblemError, TransferRefusedError, UnreachableError, and what the renewal raises.
        """
        wanted: AnyTarget | None = target
        try:
            async for attempt in attempts():
                with attempt:
                    async with self._room:
                        if attempt.num > 1 or not is_fresh(target):
                            wanted = await self._renew(upload_id)
                        if not isinstance(wanted, Target):
                            return
                        target = wanted
                        await self._put(file, file.whole, target, progress, attempt.num)
        except InterruptedTransferError as error:
            advice = "Upload the file again once it answers."
            raise given_up(f"get through to {host_of(target.url)}", error, advice) from None
        except UploadGoneError as error:
            raise TransferRefusedError(str(error)) from None

    async def send_parts(
        self, file: LocalFile, upload_id: str, target: MultipartTarget, progress: Progress
    ) -> None:
        """Send what is missing, several parts at once; returns once the store holds it or needs it no more.

        Each part is tried again by itself. Raises what `send` raises, and what the signing raises.
        """
        sending = _Parts(self, file, target, SignedParts(self._sign, upload_id, target.missing), progress)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._connections, len(target.missing))):
                    group.create_task(sending.work())
        except ExceptionGroup as problems:
            raise _first(problems) from None

    async def put_part(
        self, file: LocalFile, number: int, target: MultipartTarget, signed: SignedParts, progress: Progress
    ) -> None:
        part, host = target.range_of(number, file.byte_size), ""
        try:
            async for attempt in attempts():
                with attempt:
                    async with self._room:
                        address = await signed.take(number, renew=attempt.num > 1)
                        host = host_of(address.url)
                        await self._put(file, part, address, progress, attempt.num)
        except InterruptedTransferError as error:
            raise given_up(f"get through to {host}", error) from None

    async def _put(
        self, file: LocalFile, part: ByteRange, target: Target, progress: Progress, attempt: int
    ) -> None:
        try:
            await put(self._session, file, part, target, progress, renewed=attempt > 1)
        except InterruptedTransferError:
            self._attempts.failed(host_of(target.url), attempt)
            raise
        self._attempts.succeeded()


class _Parts:
    """The parts of one file that are missing, and how many of their bytes went out."""

    def __init__(
        self,
        transfers: Transfers,
        file: LocalFile,
        target: MultipartTarget,
        signed: SignedParts,
        progress: Progress,
    ) -> None:
        self._transfers = transfers
        self._file = file
        self._target = target
        self._signed = signed
        self._progress = progress
        self._waiting = iter(target.missing)
        self._sent = 0
        self._gone = False

    async def work(self) -> None:
        """Send one part after the other, until none waits or the upload has ended."""
        for number in self._waiting:
            if self._gone:
                return
            try:
                await self._transfers.put_part(
                    self._file, number, self._target, self._signed, self._counting()
                )
            except UploadGoneError:
                self._gone = True

    def _counting(self) -> Progress:
        """Progress of one part, told as that of all that are missing."""
        before = 0

        def progress(sent: int) -> None:
            nonlocal before
            self._sent += sent - before
            before = sent
            self._progress(self._sent)

        return progress


def _first(problems: ExceptionGroup[Exception]) -> Exception:
    """The one that ended the others."""
    first = problems.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
