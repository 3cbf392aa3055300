"""All files of one command: announced in batches, sent a few at a time, finalized and watched."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from app.client.errors import ClientError
from app.client.files import LocalFile, inspect
from app.client.media import Media, Status, UserError
from app.client.media_watch import Watcher, open_watcher
from app.client.progress import Progress
from app.client.transfer import Transfers, open_transfers
from app.client.upload_api import MAX_REQUESTS, AnnouncedUpload, UploadApi, Wishes

_READ_AT_ONCE = 4
_SENT_AT_ONCE = 4

#: Each takes a connection; whoever waits for one is told the present state when it gets it.
_WATCHED_AT_ONCE = 16

#: How long an interrupted command may go on to give up what it had begun.
_ABORT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How it ended with one file. `user_errors`: the service refused it. `error`: what went wrong here."""

    path: Path
    media_id: str | None = None
    status: Status | None = None
    media: Media | None = None
    user_errors: Sequence[UserError] = ()
    error: str | None = None

    def succeeded(self, *, watched: bool) -> bool:
        accepted = {Status.READY} if watched else {Status.READY, Status.PROCESSING}
        return self.status in accepted and self.error is None


class Uploads:
    """`number` is a file's place in the command line."""

    def __init__(
        self, api: UploadApi, paths: Sequence[Path], wishes: Wishes, progress: Progress, *, watch: bool
    ) -> None:
        self._api = api
        self._paths = paths
        self._wishes = wishes
        self._progress = progress
        self._watch = watch
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)
        self._sending = asyncio.Semaphore(_SENT_AT_ONCE)
        self._watching = asyncio.Semaphore(_WATCHED_AT_ONCE)
        self._unfinished: set[str] = set()
        self._transfers: Transfers
        self._watcher: Watcher

    async def run(self, deliver: Callable[[Outcome], Awaitable[None]]) -> None:
        """Give out one outcome a file, in the files' order, each as soon as it and those before have ended.

        An interruption gives up what is not finalized; what is finalized goes on at the service.
        """
        ended: list[asyncio.Future[Outcome]] = [
            asyncio.get_running_loop().create_future() for _ in self._paths
        ]
        try:
            async with (
                open_transfers(self._api.target) as self._transfers,
                open_watcher(self._api) as self._watcher,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self._upload_all(group, ended))
                for outcome in ended:
                    await deliver(await outcome)
        finally:
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
        """Batch after batch, so that addresses are asked for when they are needed."""
        for start in range(0, len(ended), MAX_REQUESTS):
            numbers = range(start, min(start + MAX_REQUESTS, len(ended)))
            sendings = []
            for number, announced in (await self._announce(numbers)).items():
                if isinstance(announced, Outcome):
                    self._end(number, ended[number], announced)
                    continue
                file, upload = announced
                self._unfinished.add(upload.upload_id)
                sendings.append(group.create_task(self._send(number, file, upload)))
                group.create_task(self._follow(number, upload, sendings[-1], ended[number]))
            if sendings:
                await asyncio.wait(sendings)

    async def _announce(
        self, numbers: Sequence[int]
    ) -> dict[int, tuple[LocalFile, AnnouncedUpload] | Outcome]:
        """For each file its upload, or the outcome if it ends here already."""
        inspected = await asyncio.gather(*[self._inspect(number) for number in numbers])
        results: dict[int, tuple[LocalFile, AnnouncedUpload] | Outcome] = {}
        files = {}
        for number, file in zip(numbers, inspected, strict=True):
            if isinstance(file, Outcome):
                results[number] = file
            else:
                files[number] = file
        try:
            answers = await self._api.request_uploads(list(files.values()), self._wishes) if files else []
        except ClientError as error:
            return results | {number: self._outcome(number, error=str(error)) for number in files}
        for (number, file), answer in zip(files.items(), answers, strict=True):
            results[number] = (
                (file, answer)
                if isinstance(answer, AnnouncedUpload)
                else self._outcome(number, user_errors=answer)
            )
        return results

    async def _inspect(self, number: int) -> LocalFile | Outcome:
        async with self._reading:
            self._progress.reading(number)
            try:
                return await inspect(self._paths[number])
            except ClientError as error:
                return self._outcome(number, error=str(error))

    async def _send(self, number: int, file: LocalFile, upload: AnnouncedUpload) -> Outcome:
        """Send and finalize; the outcome is as far as it is known then."""
        outcome = self._outcome(number, media_id=upload.media_id)
        async with self._sending:
            self._progress.sending(number, file.byte_size)
            try:
                await self._transfers.send(file, upload, lambda sent: self._progress.sent(number, sent))
                answer = await self._api.finalize(upload.upload_id)
            except ClientError as error:
                await self._abort([upload.upload_id])
                return replace(outcome, status=Status.FAILED, error=str(error))
        self._unfinished.discard(upload.upload_id)
        if isinstance(answer, Status):
            self._progress.status(number, answer)
            return replace(outcome, status=answer)
        return replace(outcome, status=Status.FAILED, user_errors=answer)

    async def _follow(
        self,
        number: int,
        upload: AnnouncedUpload,
        sending: asyncio.Task[Outcome],
        ended: asyncio.Future[Outcome],
    ) -> None:
        outcome = await sending
        if outcome.status is not Status.FAILED and self._watch:
            async with self._watching:
                outcome = await self._watch_to_the_end(number, upload, outcome)
        self._end(number, ended, outcome)

    async def _watch_to_the_end(self, number: int, upload: AnnouncedUpload, outcome: Outcome) -> Outcome:
        following = self._watcher.follow(
            upload.media_id, lambda alive: self._progress.connection(number, alive)
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

    def _outcome(
        self,
        number: int,
        *,
        media_id: str | None = None,
        user_errors: Sequence[UserError] = (),
        error: str | None = None,
    ) -> Outcome:
        return Outcome(path=self._paths[number], media_id=media_id, user_errors=user_errors, error=error)

    def _end(self, number: int, ended: asyncio.Future[Outcome], outcome: Outcome) -> None:
        self._progress.ended(number, outcome.status)
        ended.set_result(outcome)

    async def _abort_unfinished(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_ABORT_SECONDS):
                await self._abort(list(self._unfinished))

    async def _abort(self, upload_ids: Sequence[str]) -> None:
        """Best effort: what is not given up expires."""
        self._unfinished.difference_update(upload_ids)
        await asyncio.gather(
            *[self._api.abort(upload_id) for upload_id in upload_ids], return_exceptions=True
        )
