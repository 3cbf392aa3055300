"""Follows the queue to which the object store sends its events, and finalizes the uploads that they tell of.

A message is deleted after the commit of all that it led to: whoever is killed before leaves it to be handed
out again, and the second time changes nothing. What no storage sends is never deleted; a queue with a
dead-letter queue takes it away after some deliveries.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog
from prometheus_client import Counter

from app.runtime import Runtime
from app.settings import Settings
from app.sqs_queue import QUEUE_ERRORS, Message, QueueAddress, SqsQueue
from services.storage_events import PoisonError, read_hints
from storage.keys import is_key

log = structlog.get_logger()

#: Messages handled at once: each takes a connection of the database's pool, which the API uses too.
AT_ONCE = 4

#: A message that takes longer is given up, and comes again: a store may copy a large object for minutes.
HANDLE_SECONDS = 330.0

#: A message is handed out again so long after its receiver was last heard of.
VISIBLE_AFTER_SECONDS = 60

#: Between two attempts at a queue, a store or a database that fails: doubled up to the longest.
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


@dataclass(slots=True, kw_only=True)
class StorageEvents:
    """`bucket` is the one whose events count; None for all."""

    arrived: Arrived
    bucket: str | None
    visible_after: int = VISIBLE_AFTER_SECONDS
    pauses: tuple[float, float] = PAUSE_SECONDS
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, address: QueueAddress) -> None:
        """Until told to stop. A queue that fails is tried again, after a pause that grows."""
        log.info("following_storage_events", queue=address.url)
        pause, longest = self.pauses
        while not self._stopping.is_set():
            try:
                async with SqsQueue.connect(address) as queue:
                    while await self._take_turn(queue):
                        pause = self.pauses[0]
            except QUEUE_ERRORS as error:
                log.warning("queue_unavailable", queue=address.url, error=_sentence(error))
            await self._rest(pause)
            pause = min(pause * 2, longest)

    async def stop(self, task: asyncio.Task[None]) -> None:
        """End `follow`: the waiting at once, the work after a moment."""
        self._stopping.set()
        await asyncio.wait([task], timeout=DRAIN_SECONDS)
        task.cancel()

    async def _take_turn(self, queue: SqsQueue) -> bool:
        """Deal with what the queue hands out; False when it is time to rest."""
        began = asyncio.get_running_loop().time()
        messages = await self._receive(queue)
        outcomes = await self._handle_all(queue, messages)
        await queue.delete(
            [
                message
                for message, outcome in zip(messages, outcomes, strict=True)
                if outcome is Outcome.DEALT_WITH
            ]
        )
        # A queue that answers at once that it has nothing would be asked without end.
        idle = not messages and asyncio.get_running_loop().time() - began < self.pauses[0]
        return not (self._stopping.is_set() or idle or Outcome.FAILED in outcomes)

    async def _receive(self, queue: SqsQueue) -> list[Message]:
        """Nothing once it is time to stop: what was on its way comes again."""
        receiving = asyncio.create_task(queue.receive(visible_after=self.visible_after))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([receiving, stopping], return_when=asyncio.FIRST_COMPLETED)
            return receiving.result() if receiving.done() else []
        finally:
            for task in (receiving, stopping):
                task.cancel()
            await asyncio.wait([receiving, stopping])

    async def _handle_all(self, queue: SqsQueue, messages: Sequence[Message]) -> list[Outcome]:
        slots = asyncio.Semaphore(AT_ONCE)

        async def handle(message: Message) -> Outcome:
            async with slots:
                outcome = await self._handle(message)
            MESSAGES.labels(outcome).inc()
            return outcome

        async with asyncio.TaskGroup() as tasks:
            handling = {message: tasks.create_task(handle(message)) for message in messages}
            tasks.create_task(self._keep(queue, handling))
        return [task.result() for task in handling.values()]

    async def _keep(self, queue: SqsQueue, handling: Mapping[Message, asyncio.Task[Outcome]]) -> None:
        """Let the queue hand out to nobody else what is in work."""
        while unfinished := [message for message, task in handling.items() if not task.done()]:
            await asyncio.wait([handling[message] for message in unfinished], timeout=self.visible_after / 2)
            if waiting := [message for message in unfinished if not handling[message].done()]:
                try:
                    await queue.keep(waiting, visible_after=self.visible_after)
                except QUEUE_ERRORS as error:
                    log.warning("messages_not_kept", error=_sentence(error))

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

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
