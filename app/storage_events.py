"""Follows the queue to which the object store sends its events, and finalizes the uploads that they tell of.

A few messages are in work at once, each until it is dealt with; as one ends the next is received. A message
is deleted after the commit of all that it led to: whoever is killed before leaves it to be handed out
again, and the second time changes nothing. One that fails comes again in the same way. What no storage sends
is never deleted; a queue with a dead-letter queue takes it away after some deliveries.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import structlog
from prometheus_client import Counter

from app.runtime import Runtime
from app.settings import Settings
from app.sqs_queue import QUEUE_ERRORS, Message, QueueAddress, SqsQueue
from services.storage_events import PoisonError, read_hints
from storage.keys import is_key

log = structlog.get_logger()

#: Messages in work at once: each takes a connection of the database's pool, which the API uses too.
AT_ONCE = 4

#: A message that takes longer is given up, and comes again: a store may copy a large object for minutes.
HANDLE_SECONDS = 330.0

#: A message is handed out again so long after its receiver was last heard of.
VISIBLE_AFTER_SECONDS = 60

#: Between two attempts at a queue that fails, or whose messages all fail: doubled up to the longest.
PAUSE_SECONDS = (1.0, 60.0)

#: What is in work when the end comes gets this long; its message comes again.
DRAIN_SECONDS = 5.0

MESSAGES = Counter("darkroom_storage_messages", "Messages of the storage's queue.", ["outcome"])
FINALIZED = Counter("darkroom_storage_finalized", "Uploads that ended by a message of the storage's queue.")

#: Finalizes the upload to a key; whether there was one to end.
Arrived = Callable[[str], Awaitable[bool]]


class Outcome(StrEnum):
    DEALT_WITH = "dealt_with"
    #: Never to be dealt with.
    POISON = "poison"
    #: To be tried again.
    FAILED = "failed"


def queue_address(settings: Settings) -> QueueAddress | None:
    """Where the storage's events come from; None where nobody said."""
    if settings.sqs_url is None:
        return None
    address = QueueAddress.of(
        settings.sqs_url, endpoint_url=settings.sqs_endpoint_url, region=settings.sqs_region
    )
    if settings.s3_access_key_id is None or settings.s3_secret_access_key is None:
        return address
    # Whoever has a key for the store has it for the store's events.
    return replace(
        address,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key.get_secret_value(),
    )


@asynccontextmanager
async def following_storage_events(runtime: Runtime) -> AsyncIterator[None]:
    """Follow the queue within this block, if there is one."""
    address = queue_address(runtime.settings)
    if address is None:
        yield
        return
    follower = StorageEvents(arrived=runtime.services.finalizing.arrived, bucket=runtime.settings.bucket)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(follower.follow(address), name="storage-events")
        try:
            yield
        finally:
            await follower.stop(task)


@dataclass(slots=True)
class Pauses:
    """Each as long as the last one twice, up to the longest; from the shortest again after `reset`."""

    shortest: float
    longest: float
    _taken: int = 0

    def take(self) -> float:
        seconds = min(self.shortest * 2.0**self._taken, self.longest)
        self._taken += seconds < self.longest
        return seconds

    def reset(self) -> None:
        self._taken = 0


@dataclass(slots=True, kw_only=True)
class StorageEvents:
    """`bucket` is the one whose events count; None for all. Pauses are in seconds."""

    arrived: Arrived
    bucket: str | None
    visible_after: int = VISIBLE_AFTER_SECONDS
    pauses: Pauses = field(default_factory=lambda: Pauses(*PAUSE_SECONDS))
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    #: Messages that failed since one was dealt with, no more than it takes to say that all fail.
    _failed: set[str] = field(default_factory=set)

    async def follow(self, address: QueueAddress) -> None:
        """Until told to stop. A queue that fails is tried again, after a pause that grows."""
        log.info("following_storage_events", queue=address.url)
        while not self._stopping.is_set():
            try:
                async with SqsQueue.connect(address) as queue, asyncio.TaskGroup() as tasks:
                    await self._take_turns(queue, tasks)
            except QUEUE_ERRORS as error:
                await self._rest_from(address.url, error)

    async def stop(self, task: asyncio.Task[None]) -> None:
        """End `follow`: the waiting at once, the work after a moment."""
        self._stopping.set()
        await asyncio.wait([task], timeout=DRAIN_SECONDS)
        task.cancel()

    async def _take_turns(self, queue: SqsQueue, tasks: asyncio.TaskGroup) -> None:
        """Have as much in work as may be: what takes long holds back nothing but its own place."""
        in_work: set[asyncio.Task[None]] = set()
        while not self._stopping.is_set():
            if len(in_work) >= AT_ONCE:
                await self._any_of(in_work)
                continue
            for message in await self._receive(queue, at_most=AT_ONCE - len(in_work)):
                task = tasks.create_task(self._deal_with(queue, message))
                in_work.add(task)
                task.add_done_callback(in_work.discard)
            if len(self._failed) >= AT_ONCE:  # the store is away, or the database: no matter of one message
                await self._rest(self.pauses.take())

    async def _receive(self, queue: SqsQueue, *, at_most: int) -> list[Message]:
        """Nothing once it is time to stop, for what was on its way comes again; nor where the queue fails."""
        began = asyncio.get_running_loop().time()
        receiving = asyncio.create_task(queue.receive(at_most=at_most, visible_after=self.visible_after))
        try:
            await self._any_of([receiving])
            messages = receiving.result() if receiving.done() else []
        except QUEUE_ERRORS as error:
            await self._rest_from(queue.url, error)
            return []
        finally:
            receiving.cancel()
            await asyncio.wait([receiving])
        if messages or asyncio.get_running_loop().time() - began >= self.pauses.shortest:
            if not self._failed:
                self.pauses.reset()
        else:  # a queue that answers at once that it has nothing would be asked without end
            await self._rest(self.pauses.take())
        return messages

    async def _any_of(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Until one of them has ended, or it is time to stop."""
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _deal_with(self, queue: SqsQueue, message: Message) -> None:
        keeping = asyncio.create_task(self._keep(queue, message))
        try:
            outcome = await self._handle(message)
        finally:
            keeping.cancel()
        MESSAGES.labels(outcome).inc()
        match outcome:
            case Outcome.DEALT_WITH:
                self._failed.clear()
                await self._delete(queue, message)
            case Outcome.FAILED if len(self._failed) < AT_ONCE:
                self._failed.add(message.id)

    async def _delete(self, queue: SqsQueue, message: Message) -> None:
        try:
            await queue.delete([message])
        except QUEUE_ERRORS as error:
            log.warning("message_not_deleted", message=message.id, error=_sentence(error))

    async def _keep(self, queue: SqsQueue, message: Message) -> None:
        """Let the queue hand out to nobody else what is in work."""
        while True:
            await asyncio.sleep(self.visible_after / 2)
            try:
                await queue.keep([message], visible_after=self.visible_after)
            except QUEUE_ERRORS as error:
                log.warning("message_not_kept", message=message.id, error=_sentence(error))

    async def _handle(self, message: Message) -> Outcome:
        try:
            hints = read_hints(message.body)
        except PoisonError as error:
            log.warning("poison_message", message=message.id, receives=message.receives, reason=str(error))
            return Outcome.POISON
        try:
            async with asyncio.timeout(HANDLE_SECONDS):
                for hint in hints:
                    if self.bucket in (None, hint.bucket) and is_key(hint.key):
                        FINALIZED.inc(await self.arrived(hint.key))
        except Exception:
            log.warning("message_failed", message=message.id, receives=message.receives, exc_info=True)
            return Outcome.FAILED
        return Outcome.DEALT_WITH

    async def _rest_from(self, url: str, error: Exception) -> None:
        log.warning("queue_unavailable", queue=url, error=_sentence(error))
        await self._rest(self.pauses.take())

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
