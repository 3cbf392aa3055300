"""Files read and announced to the service, and uploads that are under way taken up again."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from app.client.errors import ClientError, FileProblemError
from app.client.files import LocalFile, inspect
from app.client.jobs import Job
from app.client.kept_uploads import Claim, KeptUpload, KeptUploads
from app.client.media import Status
from app.client.outcomes import Outcome
from app.client.progress import Progress
from app.client.resuming import OutdatedUploadError, recognise
from app.client.targets import MultipartTarget
from app.client.upload_api import AnnouncedUpload, UploadApi

_READ_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A file that is ready to be sent; `claim` is of its note where it was under way already."""

    file: LocalFile
    upload: AnnouncedUpload
    claim: Claim | None = None


class Announcer:
    """`number` is a job's place."""

    def __init__(self, api: UploadApi, jobs: Sequence[Job], kept: KeptUploads, progress: Progress) -> None:
        self._api = api
        self._jobs = jobs
        self._kept = kept
        self._progress = progress
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)

    async def announce(self, numbers: Sequence[int]) -> dict[int, Announced | Outcome]:
        """For each its upload, or the outcome if it ends here already."""
        results: dict[int, Announced | Outcome] = {}
        files: dict[int, LocalFile] = {}
        prepared = await asyncio.gather(*[self._prepare(number) for number in numbers])
        for number, each in zip(numbers, prepared, strict=True):
            if isinstance(each, LocalFile):
                files[number] = each
            else:
                results[number] = each
        return results | await self._request(files) if files else results

    async def _request(self, files: dict[int, LocalFile]) -> dict[int, Announced | Outcome]:
        try:
            answers = await self._api.request_uploads(
                [(file, self._jobs[number].wishes) for number, file in files.items()]
            )
        except ClientError as error:
            return {number: self._ended(number, error) for number in files}
        return {
            number: Announced(file=file, upload=answer)
            if isinstance(answer, AnnouncedUpload)
            else Outcome(path=self._jobs[number].path, user_errors=answer)
            for (number, file), answer in zip(files.items(), answers, strict=True)
        }

    async def _prepare(self, number: int) -> LocalFile | Announced | Outcome:
        """The file, if it has yet to be announced."""
        job = self._jobs[number]
        async with self._reading:
            try:
                if job.kept is not None and (resumed := await self._resume(number, job)):
                    return resumed
                return await inspect(job.path, partial(self._progress.reading, number))
            except OutdatedUploadError as error:
                await self._give_up(error.kept)
                return self._ended(number, error)
            except ClientError as error:
                return self._ended(number, error)

    async def _resume(self, number: int, job: Job) -> Announced | None:
        """None when the upload takes no bytes any more, and the file has to be announced anew."""
        file, kept = await recognise(job, partial(self._progress.reading, number))
        claim = self._kept.claim(kept)
        if claim is None:
            raise FileProblemError("Another command has just ended its upload.")
        try:
            state = await self._api.upload(kept.upload_id)
        except ClientError:
            claim.give_back()
            raise
        if state is None or state.expired:
            claim.discard()
            self._progress.note(number, "its upload has expired, it begins anew")
            return None
        if isinstance(state.target, MultipartTarget):
            stored = state.target.part_count - len(state.target.missing)
            self._progress.note(
                number, f"goes on, {stored:,} of {state.target.part_count:,} parts are stored"
            )
        upload = AnnouncedUpload(
            upload_id=kept.upload_id, media_id=kept.media_id, status=Status.UPLOADING, target=state.target
        )
        return Announced(file=file, upload=upload, claim=claim)

    async def _give_up(self, kept: KeptUpload) -> None:
        """Best effort: what is not given up expires."""
        with suppress(ClientError):
            if claim := self._kept.claim(kept):
                claim.discard()
                await self._api.abort(kept.upload_id)

    def _ended(self, number: int, error: ClientError) -> Outcome:
        return Outcome(path=self._jobs[number].path, error=str(error))
