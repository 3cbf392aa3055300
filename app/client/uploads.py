"""All files of one command: announced in batches, sent a few at a time, finalized and watched."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from app.client.announcing import Announced, Announcer
from app.client.errors import ClientError
from app.client.items import Item, batches
from app.client.kept_uploads import KeptUploads
from app.client.media_watch import Watcher, open_watcher
from app.client.outcomes import Outcome
from app.client.progress import Progress
from app.client.sending import Sender
from app.client.transfer import open_transfers
from app.client.upload_api import UploadApi
from app.client.waiting import Outage

#: Each takes a connection; whoever waits for one is told the present state when it gets it.
_WATCHED_AT_ONCE = 16

#: How long an interrupted command may go on to give up what it had begun.
_ABORT_SECONDS = 5.0


class Uploads:
    """`number` is an item's place. `connections` carry bytes at once, of as many files or of parts of one."""

    def __init__(
        self,
        api: UploadApi,
        items: Sequence[Item],
        kept: KeptUploads,
        progress: Progress,
        *,
        watch: bool,
        connections: int,
    ) -> None:
        self._api = api
        self._items = items
        self._kept = kept
        self._progress = progress
        self._watch = watch
        self._connections = connections
        api.outage = Outage(progress.notice)
        self._announcer = Announcer(api, items, kept, progress)
        self._sending = asyncio.Semaphore(connections)
        self._watching = asyncio.Semaphore(_WATCHED_AT_ONCE)
        self._sender: Sender
        self._watcher: Watcher
        #: How many uploads another command can go on with, once this one was interrupted.
        self.resumable = 0

    async def run(self, deliver: Callable[[Outcome], Awaitable[None]]) -> None:
        """Give out one outcome a file, in the files' order, each as soon as it and those before have ended.

        An interruption keeps what goes in parts, and gives up what else is not finalized; what is finalized
        goes on at the service.
        """
        ended: list[asyncio.Future[Outcome]] = [
            asyncio.get_running_loop().create_future() for _ in self._items
        ]
        async with open_transfers(
            self._api.target,
            self._api.sign_parts,
            connections=self._connections,
            say=self._progress.notice,
        ) as transfers:
            self._sender = Sender(self._api, transfers, self._kept, self._progress)
            try:
                async with open_watcher(self._api) as self._watcher, asyncio.TaskGroup() as group:
                    group.create_task(self._upload_all(group, ended))
                    for outcome in ended:
                        await deliver(await outcome)
            finally:
                self.resumable = self._sender.give_back_all()
                await self._abort_unfinished()

    async def complete(self, outcome: Outcome) -> Outcome:
        """The outcome with the media as it is now: its failure, or its renditions with fresh addresses."""
        if outcome.media_id is None:
            return outcome
        try:
            media = await self._api.media(outcome.media_id)
        except ClientError as error:
            return replace(outcome, error=outcome.error or str(error))
        if media is None:
            return replace(outcome, status=None, error=outcome.error or "The media was deleted meanwhile.")
        return replace(outcome, status=media.status, media=media)

    async def _upload_all(self, group: asyncio.TaskGroup, ended: Sequence[asyncio.Future[Outcome]]) -> None:
        """Batch after batch: one is read and announced while the one before is sent."""
        before: list[asyncio.Task[Outcome]] = []
        for numbers in batches(self._items):
            sendings = []
            for number, announced in (await self._announcer.announce(numbers)).items():
                if isinstance(announced, Outcome):
                    self._end(number, ended[number], announced)
                    continue
                self._sender.expect(announced)
                sendings.append(group.create_task(self._send(number, announced)))
                group.create_task(self._follow(number, sendings[-1], ended[number]))
            if before:
                await asyncio.wait(before)
            before = sendings

    async def _send(self, number: int, announced: Announced) -> Outcome:
        async with self._sending:
            return await self._sender.send(number, self._items[number], announced)

    async def _follow(
        self, number: int, sending: asyncio.Task[Outcome], ended: asyncio.Future[Outcome]
    ) -> None:
        outcome = await sending
        if self._watch and outcome.error is None and outcome.status and not outcome.status.ended:
            async with self._watching:
                outcome = await self._watch_to_the_end(number, outcome)
        self._end(number, ended, outcome)

    async def _watch_to_the_end(self, number: int, outcome: Outcome) -> Outcome:
        assert outcome.media_id is not None
        following = self._watcher.follow(
            outcome.media_id, lambda alive: self._progress.connection(number, alive)
        )
        try:
            async with aclosing(following) as statuses:
                async for status in statuses:
                    if status is not outcome.status and not status.ended:
                        self._progress.status(number, status)
                    outcome = replace(outcome, status=status)
        except ClientError as error:
            return replace(outcome, error=str(error))
        return outcome

    def _end(self, number: int, ended: asyncio.Future[Outcome], outcome: Outcome) -> None:
        self._progress.ended(number, outcome.status)
        ended.set_result(outcome)

    async def _abort_unfinished(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._sender.give_up(*self._sender.unfinished)
