"""Uploads that end without their bytes: aborted by their owner, or out of time."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import FailureCode, Media, Upload, UploadStatus, User, utc_now
from db.sessions import Sessions
from pubsub.doorbell import Doorbell
from services.errors import Conflict, NotFound
from services.parts import Parts
from services.upload_rows import COLLECTION_GRACE, UPLOAD_ID, end_upload, find_upload, lock_upload
from storage.errors import StorageError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadEndings:
    """`grace` is the collector's, for what was sent, or still comes."""

    sessions: Sessions
    doorbell: Doorbell
    parts: Parts
    grace: timedelta = COLLECTION_GRACE

    async def abort(self, owner: User, upload_id: UUID) -> tuple[Media, Upload]:
        """End the upload: the media is FAILED/CANCELLED, the collector removes what was stored. Repeatable.

        Raises Conflict once it is finalized, NotFound.
        """
        found, _ = await find_upload(self.sessions, owner, upload_id)
        async with self.sessions.begin() as session:
            media, upload, _ = await lock_upload(session, found.id, owner.id)
            if upload.status is UploadStatus.COMPLETED:
                raise Conflict(
                    "This upload is finalized already: delete the media instead.",
                    UPLOAD_ID,
                    current_version=media.version,
                )
            is_pending = upload.status is UploadStatus.PENDING
            if is_pending:
                await end_upload(
                    session,
                    media,
                    upload,
                    UploadStatus.ABORTED,
                    FailureCode.CANCELLED,
                    "The upload was aborted.",
                    grace=self.grace,
                )
        await self.doorbell.ring()
        if is_pending:
            await self._forget_parts(upload)
        return media, upload

    async def expire(self, *, limit: int = 100) -> int:
        """Fail uploads whose time is over; how many there were. Any number of workers may do so at once."""
        async with self.sessions() as session:
            due = await _due_uploads(session, limit)
        for media in due:
            with suppress(NotFound):  # deleted meanwhile
                await self._expire(media)
        if due:
            await self.doorbell.ring()
        return len(due)

    async def _expire(self, found: Media) -> None:
        async with self.sessions.begin() as session:
            media, upload, _ = await lock_upload(session, found.id, found.owner_id)
            if upload.status is not UploadStatus.PENDING:
                return
            await end_upload(
                session,
                media,
                upload,
                UploadStatus.EXPIRED,
                FailureCode.UPLOAD_EXPIRED,
                "The bytes did not arrive in time.",
                grace=self.grace,
            )
        await self._forget_parts(upload)

    async def _forget_parts(self, upload: Upload) -> None:
        """At once, if the store answers; else the collector does it."""
        if upload.part_size is None:
            return
        try:
            await self.parts.abort_all(upload.key)
        except StorageError as error:
            log.info("parts_not_forgotten", media=str(upload.media_id), error=repr(error))


async def _due_uploads(session: AsyncSession, limit: int) -> Sequence[Media]:
    statement = (
        select(Media)
        .join(Upload, col(Upload.media_id) == col(Media.id))
        .where(col(Upload.status) == UploadStatus.PENDING, col(Upload.expires_at) < utc_now())
        .order_by(col(Upload.expires_at))
        .limit(limit)
    )
    return (await session.exec(statement)).all()
