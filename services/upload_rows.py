"""An upload and its media: finding them, locking them, and how one ends without bytes."""

from datetime import timedelta
from uuid import UUID

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
    Upload,
    UploadStatus,
    User,
    utc_now,
)
from db.sessions import Sessions
from services.errors import Conflict, NotFound, UploadExpired

#: Longer than any live address plus the longest PUT (two hours): only then are bytes collected.
COLLECTION_GRACE = timedelta(hours=3)

#: The field of the mutations that name an upload.
UPLOAD_ID = "uploadId"


async def find_upload(sessions: Sessions, owner: User, upload_id: UUID) -> tuple[Media, Upload]:
    """Raises NotFound, also for somebody else's."""
    statement = (
        select(Media, Upload)
        .join(Upload, col(Upload.media_id) == col(Media.id))
        .where(col(Upload.id) == upload_id, col(Media.owner_id) == owner.id)
    )
    async with sessions() as session:
        found = (await session.exec(statement)).one_or_none()
    if found is None:
        raise no_such_upload()
    return found


async def find_pending(sessions: Sessions, owner: User, upload_id: UUID) -> tuple[Media, Upload]:
    """Raises NotFound, and Conflict or UploadExpired for one that has ended."""
    media, upload = await find_upload(sessions, owner, upload_id)
    if upload.status is UploadStatus.COMPLETED:
        raise Conflict(
            "This upload is finalized already: there is nothing to send.",
            UPLOAD_ID,
            current_version=media.version,
        )
    refuse_ended(media, upload)
    return media, upload


async def lock_upload(session: AsyncSession, media_id: UUID, owner_id: UUID) -> tuple[Media, Upload, Blob]:
    """All as committed now, the media locked. Raises NotFound for one that was deleted meanwhile."""
    media = (await lock_media(session, owner_id, [media_id])).get(media_id)
    if media is None:
        raise no_such_upload()
    statement = (
        select(Upload, Blob)
        .join(Blob, col(Blob.id) == media.blob_id)
        .where(col(Upload.media_id) == media_id)
        .execution_options(populate_existing=True)
    )
    upload, blob = (await session.exec(statement)).one()
    return media, upload, blob


def refuse_ended(media: Media, upload: Upload) -> None:
    """Raises Conflict for an aborted upload, UploadExpired for one whose time is over."""
    if upload.status is UploadStatus.ABORTED:
        raise Conflict("This upload was aborted.", UPLOAD_ID, current_version=media.version)
    if upload.status is UploadStatus.EXPIRED or upload.expires_at < utc_now():
        raise UploadExpired("This upload has expired: request a new one.", UPLOAD_ID)


async def end_upload(
    session: AsyncSession,
    media: Media,
    upload: Upload,
    status: UploadStatus,
    code: FailureCode,
    message: str,
    *,
    grace: timedelta,
) -> None:
    """Fail the locked media and give up its bytes: the collector takes what is stored, or still comes."""
    upload.status = status
    await change_media(
        session,
        media,
        MediaEventType.STATUS_CHANGED,
        status=MediaStatus.FAILED,
        failure_code=code,
        failure_message=message,
        held_bytes=0,
    )
    await give_to_collector(session, media.blob_id, grace=grace)


def no_such_upload() -> NotFound:
    return NotFound("There is no such upload.", UPLOAD_ID)
