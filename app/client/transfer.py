"""Files on their way to the object store, whole or in parts, over so many connections at once and no more."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from app.client.attempts import InterruptedTransferError, attempts, given_up, open_session
from app.client.errors import TransferRefusedError
from app.client.files import LocalFile
from app.client.putting import Progress, put
from app.client.signed_parts import SignedParts, SignParts, is_fresh
from app.client.store_refusals import UploadGoneError
from app.client.targets import AnyTarget, MultipartTarget, Target

#: A fresh target for the upload with this id; None once it has ended.
Renewal = Callable[[str], Awaitable[AnyTarget | None]]


@asynccontextmanager
async def open_transfers(renew: Renewal, sign: SignParts, *, connections: int) -> AsyncIterator["Transfers"]:
    async with open_session() as session:
        yield Transfers(renew, sign, session, connections=connections)


class Transfers:
    def __init__(
        self, renew: Renewal, sign: SignParts, session: aiohttp.ClientSession, *, connections: int
    ) -> None:
        self._renew = renew
        self._sign = sign
        self._session = session
        self._connections = connections
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
                        renewed = attempt.num > 1
                        await put(self._session, file, file.whole, target, progress, renewed=renewed)
        except InterruptedTransferError as error:
            raise given_up("get through", error) from None
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
        part = target.range_of(number, file.byte_size)
        try:
            async for attempt in attempts():
                with attempt:
                    async with self._room:
                        renewed = attempt.num > 1
                        address = await signed.take(number, renew=renewed)
                        await put(self._session, file, part, address, progress, renewed=renewed)
        except InterruptedTransferError as error:
            raise given_up("get through", error) from None


class _Parts:
    """The parts of one file that are missing, and how much of the file is there."""

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
        missing = sum(target.range_of(number, file.byte_size).length for number in target.missing)
        self._sent = file.byte_size - missing
        self._gone = False
        progress(self._sent)

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
        """Progress of one part, told as that of the file."""
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
