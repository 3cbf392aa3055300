"""Running one processing step: claim it, work on a private copy of the bytes, finish it under the fence.

A job may be delivered twice and a worker may be lost at any point. Whoever claims raises `attempt`;
only the holder of the newest attempt may finish, so a late worker's result is dropped.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.blobs import give_to_collector
from db.media import change_media, lock_media
from db.models import (
    Blob,
    FailureCode,
    Media,
    MediaEventType,
    MediaStatus,
    ProcessingStep,
    StepStatus,
    Upload,
    Visibility,
    utc_now,
)
from db.publications import renew_publications
from db.sessions import Sessions
from db.steps import claim_step, holds_step, lock_held_step, stranded_steps, touch_step
from db.tags import hold_tags
from pipeline.limits import ImageLimits
from pipeline.recipe import RECIPE
from pubsub.doorbell import Doorbell
from services.image_steps import WORK, Inspected, StepInput, StepOutcome
from services.known_bytes import KnownBytes, facts_of, is_complete, learn
from services.lost_bytes import find_unusable
from services.parts import MULTIPART_BYTES
from services.processing_steps import queue_step, succeed_step
from services.publications import queue_publication
from services.step_failures import StepFailure, failure_of, store_pause
from services.upload_rows import COLLECTION_GRACE
from storage.objects import ObjectStore

log = structlog.get_logger()

#: Attempts whose work failed or whose worker was lost; `ProcessingStep` says which don't count.
MAX_ATTEMPTS = 3

#: Before the second and the third attempt.
RETRY_DELAYS = (timedelta(seconds=1), timedelta(seconds=10))

#: How long a step may look abandoned before it is queued anew; no enqueue takes that long to commit.
STRANDED_GRACE = timedelta(seconds=30)

#: How often the worker of a step looks whether it still is: somebody may have cancelled it.
LOOK_SECONDS = 1.0

#: How many looks later it says that it is: its job's row may be gone although it is not abandoned.
LOOKS_PER_TOUCH = 8

_LOST = StepFailure(
    code=FailureCode.WORKER_LOST,
    message=f"The file could not be processed in {MAX_ATTEMPTS} attempts; the last time the worker was lost.",
    try_again=False,
)


#: The bytes are not what was announced: they are given up.
_NOT_AS_ANNOUNCED = frozenset({FailureCode.CHECKSUM_MISMATCH, FailureCode.SIZE_MISMATCH})


class _OvertakenError(Exception):
    """The step that is worked on is no longer this attempt's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """A step that this worker holds, as long as nobody has taken a later attempt."""

    step: ProcessingStep
    media: Media
    upload: Upload
    blob: Blob

    @property
    def counted_attempts(self) -> int:
        return self.step.attempt - self.step.uncounted_attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """`work_dir` is where the private copies lie while they are worked on; `grace` is the collector's.

    Of files larger than `multipart_bytes` the parts are known too, for later uploads.
    """

    sessions: Sessions
    store: ObjectStore
    doorbell: Doorbell
    limits: ImageLimits
    work_dir: Path
    known_bytes: KnownBytes
    multipart_bytes: int = MULTIPART_BYTES
    grace: timedelta = COLLECTION_GRACE

    async def run_step(self, step_id: UUID, *, expected_attempt: int, job_id: int) -> None:
        """Run one delivery of a job to its end: success, retry, failure or nothing to do.

        When cancelled up to the end of its work, the step is handed back for another worker before the
        cancellation goes on. What is being recorded by then is recorded whole: cut off, the step would wait
        for the reconciler. Work on a step that is no longer this attempt's is ended within a second or two.
        """
        claiming = asyncio.create_task(self._claim(step_id, expected_attempt, job_id))
        try:
            claim = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await asyncio.wait([claiming])
            if claiming.exception() is None and (claimed := claiming.result()):
                await _whole(self._hand_back(claimed))
            raise
        if claim is None:
            return
        if claim.counted_attempts > MAX_ATTEMPTS:
            await _whole(self._settle(claim, _LOST))
            return
        try:
            outcome = await self._work(claim)
        except asyncio.CancelledError:
            await _whole(self._hand_back(claim))
            raise
        except _OvertakenError:
            log.info("step_overtaken", **_names(claim))
        except Exception as error:
            failure = failure_of(error)
            is_inside = failure.code is FailureCode.INTERNAL and not failure.store_is_away
            inside = error if is_inside else None  # with the child's last words
            log.warning("step_failed", **_names(claim), code=failure.code, error=str(error), exc_info=inside)
            await _whole(self._settle(claim, failure))
        else:
            await _whole(self._finish(claim, outcome))

    async def requeue_stranded(self, *, limit: int = 100) -> int:
        """Queue the unfinished steps that no job will run any more; how many there were."""
        async with self.sessions.begin() as session:
            steps = await stranded_steps(session, before=utc_now() - STRANDED_GRACE, limit=limit)
            for step in steps:
                log.warning("step_stranded", step=step.name, media=str(step.media_id), attempt=step.attempt)
                await queue_step(session, step)
        return len(steps)

    async def _claim(self, step_id: UUID, expected_attempt: int, job_id: int) -> _Claim | None:
        async with self.sessions.begin() as session:
            step = await claim_step(session, step_id, expected_attempt=expected_attempt, job_id=job_id)
            if step is None:
                return None
            media = await session.get_one(Media, step.media_id)
            upload = (await session.exec(select(Upload).where(col(Upload.media_id) == media.id))).one()
            blob = await session.get_one(Blob, media.blob_id)
            return _Claim(step=step, media=media, upload=upload, blob=blob)

    async def _work(self, claim: _Claim) -> StepOutcome:
        """Work until it is done or, _OvertakenError, the step is no longer held; nothing is left running."""
        working = asyncio.create_task(self._run_work(claim))
        watching = asyncio.create_task(self._watch(claim))
        try:
            await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise _OvertakenError
            return working.result()
        finally:
            working.cancel()
            watching.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def _watch(self, claim: _Claim) -> None:
        """Return once the claim no longer holds its step."""
        for look in itertools.count(1):
            await asyncio.sleep(LOOK_SECONDS)
            try:
                async with self.sessions.begin() as session:
                    if not await holds_step(session, claim.step.id, attempt=claim.step.attempt):
                        return
                    if look % LOOKS_PER_TOUCH == 0:
                        await touch_step(session, claim.step.id, attempt=claim.step.attempt)
            except Exception as error:
                # The edge of this task: whatever it was, the next time may do.
                log.info("step_not_watched", **_names(claim), error=repr(error))

    async def _run_work(self, claim: _Claim) -> StepOutcome:
        with tempfile.TemporaryDirectory(dir=self.work_dir, ignore_cleanup_errors=True) as directory:
            return await WORK[claim.step.name](
                StepInput(
                    media=claim.media,
                    upload=claim.upload,
                    blob=claim.blob,
                    store=self.store,
                    directory=Path(directory),
                    limits=self.limits,
                    multipart_bytes=self.multipart_bytes,
                )
            )

    async def _finish(self, claim: _Claim, outcome: StepOutcome) -> None:
        unusable = await self._unusable(claim, outcome)
        async with self.sessions.begin() as session:
            held = await _lock_held(session, claim)
            if held is None:
                return
            media, step = held
            await hold_tags(session, media.owner_id)  # before any blob's row: see docs/architecture.md
            values = await outcome.record(session)
            blob = await session.get_one(Blob, media.blob_id)
            is_done = False
            if isinstance(outcome, Inspected):
                blob = await self.known_bytes.settle_on(
                    session, media, blob, outcome.fetched, without=unusable
                )
                is_done = is_complete(blob)
                values |= {"blob_id": blob.id, **(facts_of(blob) if is_done else {})}
            event = MediaEventType.UPDATED
            if await succeed_step(session, step, skip_others=is_done):
                event = MediaEventType.STATUS_CHANGED
                values |= {"status": MediaStatus.READY, "ready_at": utc_now()}
            await change_media(session, media, event, **values)
            if media.status is MediaStatus.READY:
                await _complete(session, media, step, blob)
        await self.doorbell.ring()

    async def _unusable(self, claim: _Claim, outcome: StepOutcome) -> frozenset[UUID]:
        """Blobs that the media must not come to show: the store has lost them."""
        if not isinstance(outcome, Inspected) or claim.blob.verified_at is not None:
            return frozenset()
        return await find_unusable(
            self.sessions,
            self.store,
            claim.media.owner_id,
            [(outcome.fetched.sha256, outcome.fetched.byte_size)],
            of_anybody=self.known_bytes.dedup.is_global,
        )

    async def _settle(self, claim: _Claim, failure: StepFailure) -> None:
        """Try again after a pause, or let the step and its media fail."""
        async with self.sessions.begin() as session:
            held = await _lock_held(session, claim)
            if held is None:
                return
            media, step = held
            if failure.store_is_away and await _wait_for_store(session, step):
                return
            step.store_away_since = None
            if failure.try_again and claim.counted_attempts < MAX_ATTEMPTS:
                await queue_step(session, step, delay=RETRY_DELAYS[claim.counted_attempts - 1])
                return
            step.status = StepStatus.FAILED
            step.failure_code, step.failure_message = failure.code, failure.message
            step.finished_at = step.updated_at = utc_now()
            values = _failed(failure, step)
            if is_given_up := failure.code in _NOT_AS_ANNOUNCED:
                values["held_bytes"] = 0
            await change_media(session, media, MediaEventType.STATUS_CHANGED, **values)
            if is_given_up:
                await give_to_collector(session, media.blob_id, grace=self.grace)
        await self.doorbell.ring()

    async def _hand_back(self, claim: _Claim) -> None:
        async with self.sessions.begin() as session:
            held = await _lock_held(session, claim)
            if held is not None:
                _, step = held
                step.uncounted_attempts += 1
                await queue_step(session, step)
                log.info("step_handed_back", **_names(claim))


async def _wait_for_store(session: AsyncSession, step: ProcessingStep) -> bool:
    """Queue the step anew, its attempt uncounted; False when the store has been away for too long."""
    now = utc_now()
    step.store_away_since = step.store_away_since or now
    pause = store_pause(away_since=step.store_away_since, now=now)
    if pause is None:
        return False
    step.uncounted_attempts += 1
    await queue_step(session, step, delay=pause)
    return True


async def _whole(recording: Coroutine[Any, Any, None]) -> None:
    """Let this come to its end; a cancellation goes on afterwards."""
    task = asyncio.create_task(recording)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if (error := task.exception()) is not None:
            log.warning("step_not_recorded", error=repr(error))
        raise


async def _lock_held(session: AsyncSession, claim: _Claim) -> tuple[Media, ProcessingStep] | None:
    """Media before step, as everywhere; None when the media is gone or another attempt has begun."""
    media = (await lock_media(session, claim.media.owner_id, [claim.media.id])).get(claim.media.id)
    step = await lock_held_step(session, claim.step.id, attempt=claim.step.attempt)
    if media is None or step is None or media.status is not MediaStatus.PROCESSING:
        log.info("step_overtaken", **_names(claim))
        return None
    return media, step


async def _complete(session: AsyncSession, media: Media, step: ProcessingStep, blob: Blob) -> None:
    """What else is due in the transaction in which a media becomes READY."""
    if not is_complete(blob) and step.recipe == RECIPE:
        is_renewed = blob.recipe is not None
        learn(blob, media)
        await session.flush()
        if is_renewed:
            for other in await renew_publications(session, blob.id):
                await queue_publication(session, other)
    if media.visibility is Visibility.PUBLIC:
        await queue_publication(session, media.id)


def _failed(failure: StepFailure, step: ProcessingStep) -> dict[str, Any]:
    return {
        "status": MediaStatus.FAILED,
        "failure_code": failure.code,
        "failure_message": failure.message,
        "failure_step": step.name,
        "failure_expected": failure.expected,
        "failure_actual": failure.actual,
    }


def _names(claim: _Claim) -> dict[str, Any]:
    return {"step": claim.step.name, "media": str(claim.media.id), "attempt": claim.step.attempt}
