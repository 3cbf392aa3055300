"""What a user can do about the processing of a media: cancel it, and try again after it failed.

Both are compare-and-set under the media's lock. Nobody tells the worker of a cancelled step: its attempt no
longer holds the step, and it looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from db.media import change_media, lock_media
from db.models import FailureCode, Media, MediaEventType, MediaStatus, ProcessingStep, User
from db.sessions import Sessions
from db.steps import lock_steps
from pubsub.doorbell import Doorbell
from services.errors import Conflict, InvalidInput, no_such_media
from services.processing_steps import cancel_steps, restart_processing

#: Ends that the bytes can't get away from.
NEVER_RETRIED = (FailureCode.SIZE_MISMATCH, FailureCode.CHECKSUM_MISMATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingControl:
    sessions: Sessions
    doorbell: Doorbell

    async def retry(self, owner: User, media_id: UUID, names: Sequence[str] | None) -> Media:
        """Process a FAILED media again: what did not succeed or is named, and the steps that wait for it.

        One that is PROCESSING is answered as it is, so two at once make one processing. Raises NotFound,
        InvalidInput for a name that is none of its steps', Conflict for media that did not fail or whose end
        no retry can mend.
        """
        async with self.sessions.begin() as session:
            media, steps = await self._lock(session, owner, media_id)
            _refuse_unretryable(media, steps)
            _check_names(names, steps)
            if media.status is MediaStatus.PROCESSING:
                return media
            await change_media(
                session,
                media,
                MediaEventType.STATUS_CHANGED,
                status=MediaStatus.PROCESSING,
                failure_code=None,
                failure_message=None,
                failure_step=None,
                failure_expected=None,
                failure_actual=None,
            )
            await restart_processing(session, media, steps, names or ())
        await self.doorbell.ring()
        return media

    async def cancel(self, owner: User, media_id: UUID) -> Media:
        """End the processing: the media is FAILED/CANCELLED. Repeatable.

        The step that runs is ended by its worker within a second or two. Raises NotFound, and Conflict for
        media that are not PROCESSING.
        """
        async with self.sessions.begin() as session:
            media, steps = await self._lock(session, owner, media_id)
            if media.failure_code is FailureCode.CANCELLED and steps:
                return media
            if media.status is not MediaStatus.PROCESSING:
                raise _conflict(media, f"The media is {media.status}: only PROCESSING can be cancelled.")
            await change_media(
                session,
                media,
                MediaEventType.STATUS_CHANGED,
                status=MediaStatus.FAILED,
                failure_code=FailureCode.CANCELLED,
                failure_message="The processing was cancelled.",
                failure_step=cancel_steps(steps),
            )
        await self.doorbell.ring()
        return media

    async def _lock(
        self, session: AsyncSession, owner: User, media_id: UUID
    ) -> tuple[Media, Sequence[ProcessingStep]]:
        media = (await lock_media(session, owner.id, [media_id])).get(media_id)
        if media is None:
            raise no_such_media("mediaId")
        return media, await lock_steps(session, media_id)


def _refuse_unretryable(media: Media, steps: Sequence[ProcessingStep]) -> None:
    if media.status not in (MediaStatus.FAILED, MediaStatus.PROCESSING):
        raise _conflict(media, f"The media is {media.status}: only what FAILED is tried again.")
    if media.failure_code in NEVER_RETRIED:
        raise _conflict(media, "The stored bytes are not those that were announced: request a new upload.")
    if not steps:
        raise _conflict(media, "The bytes of this media never came: request a new upload.")


def _check_names(names: Sequence[str] | None, steps: Sequence[ProcessingStep]) -> None:
    known = [step.name for step in steps]
    if names is not None and (not names or not set(names).issubset(known)):
        raise InvalidInput(f"steps must name steps of this media: {', '.join(known)}.", "steps")


def _conflict(media: Media, message: str) -> Conflict:
    return Conflict(message, "mediaId", current_version=media.version)
