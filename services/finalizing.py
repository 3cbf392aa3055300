"""Finalizing: the object store says that the bytes are there, and their processing starts.

Whoever finalizes, once or often, at once or one after the other, by a call or by the store's own event: one
of them moves the media on, in one transaction, and the others find it done. What the store says is asked
outside of that transaction: it may take minutes to put an object together.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from db.media import change_media
from db.models import Blob, FailureCode, Media, MediaEventType, MediaStatus, Upload, UploadStatus, User
from db.sessions import Sessions
from db.uploads import find_awaited
from pubsub.doorbell import Doorbell
from services.errors import (
    ChecksumMismatch,
    ObjectMissing,
    PartsMissing,
    Refusal,
    SizeMismatch,
    StorageUnavailable,
)
from services.keys import is_staging, staging_key
from services.parts import Parts, missing_parts, storage_refusals
from services.processing_steps import start_processing
from services.upload_rows import (
    COLLECTION_GRACE,
    UPLOAD_ID,
    end_upload,
    find_upload,
    lock_upload,
    refuse_ended,
)
from storage.errors import (
    MultipartMissingError,
    ObjectChangedError,
    ObjectExistsError,
    ObjectMissingError,
    PartsChangedError,
    StorageError,
    StorageUnavailableError,
)
from storage.objects import ObjectInfo, ObjectStore

log = structlog.get_logger()

#: A store puts a large object together for minutes; who waits longer asks again and finds it done.
COMPLETION_SECONDS = 300.0

#: How often the parts are listed anew when one was replaced meanwhile.
_LISTINGS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalizing:
    """`grace` is the collector's, for the bytes of an upload that came otherwise than announced."""

    sessions: Sessions
    store: ObjectStore
    doorbell: Doorbell
    parts: Parts
    grace: timedelta = COLLECTION_GRACE

    async def finalize(self, owner: User, upload_id: UUID) -> Media:
        """Start the processing of what was stored; called again, answer the same media.

        Raises ObjectMissing or PartsMissing before the bytes are there, SizeMismatch where the store holds
        another size and ChecksumMismatch where processing has found another hash (then the media is FAILED,
        and every call says so), Conflict after an abort, UploadExpired, NotFound,
        StorageUnavailable.
        """
        return await self._finalize(*await find_upload(self.sessions, owner, upload_id))

    async def arrived(self, key: str) -> bool:
        """Finalize the pending upload whose bytes are said to have come under `key`; whether there is one.

        A hint of the store's, never believed: what can't be finalized is left as it is. Raises
        StorageUnavailable and the database's errors: then the hint has to be given again.
        """
        async with self.sessions() as session:
            found = await find_awaited(session, key)
        if found is None:
            return False
        try:
            await self._finalize(*found)
        except StorageUnavailable:
            raise
        except Refusal as refusal:
            log.info("arrival_not_finalized", media=str(found[0].id), code=refusal.code)
        return True

    async def _finalize(self, media: Media, upload: Upload) -> Media:
        stored = None
        if upload.status is UploadStatus.PENDING:
            refuse_ended(media, upload)  # before the store is asked, and again once the media is locked
            stored = await self._stored(media, upload)
        async with self.sessions.begin() as session:
            media, upload, blob = await lock_upload(session, media.id, media.owner_id)
            if upload.status is UploadStatus.COMPLETED:
                _refuse_mismatch(media)
                return media
            refuse_ended(media, upload)
            if stored is None or stored.key != blob.key:
                raise _nothing_stored()
            await self._complete(session, media, upload, blob, stored)
        await self.doorbell.ring()
        await self._tidy(upload, stored)
        _refuse_mismatch(media)
        return media

    async def _complete(
        self, session: AsyncSession, media: Media, upload: Upload, blob: Blob, stored: ObjectInfo
    ) -> None:
        if stored.byte_size != media.size:
            message = f"The store holds {stored.byte_size:,} bytes, and {media.size:,} were announced."
            await end_upload(
                session,
                media,
                upload,
                UploadStatus.COMPLETED,
                FailureCode.SIZE_MISMATCH,
                message,
                grace=self.grace,
            )
            return
        await change_media(session, media, MediaEventType.STATUS_CHANGED, status=MediaStatus.PROCESSING)
        blob.etag = stored.etag
        upload.status = UploadStatus.COMPLETED
        await start_processing(session, media)

    async def _stored(self, media: Media, upload: Upload) -> ObjectInfo | None:
        """The object at the blob's own key, put together from its parts or copied there if need be."""
        try:
            async with asyncio.timeout(COMPLETION_SECONDS):
                with storage_refusals():
                    sent = await self._sent(media, upload)
                    return await self._in_place(media, upload, sent) if is_staging(upload.key) else sent
        except TimeoutError:
            raise StorageUnavailable(
                f"The object store has not put the parts together within {COMPLETION_SECONDS:.0f} s: "
                "finalize again in a while."
            ) from None

    async def _sent(self, media: Media, upload: Upload) -> ObjectInfo | None:
        if upload.multipart_id is None:
            stored = await self.store.head(upload.key)
            if stored is None and upload.part_size is not None:
                raise _parts_missing(missing_parts(media, upload, ()))
            return stored
        for _ in range(_LISTINGS):
            with suppress(PartsChangedError):
                return await self._put_together(media, upload, upload.multipart_id)
        raise StorageUnavailable("The parts are being replaced meanwhile: finalize again after the last one.")

    async def _put_together(self, media: Media, upload: Upload, multipart_id: str) -> ObjectInfo | None:
        """What is there already was put together by somebody else, from the upload that is bound to ours."""
        try:
            received = await self.store.list_parts(upload.key, multipart_id)
            if missing := missing_parts(media, upload, received):
                raise _parts_missing(missing)
            return await self.store.complete_multipart(
                upload.key, multipart_id, received, content_type=media.mime_type
            )
        except ObjectExistsError:
            return await self.store.head(upload.key)
        except MultipartMissingError:
            stored = await self.store.head(upload.key)
            if stored is None:
                await self.parts.unbind(upload)
                raise _parts_missing(missing_parts(media, upload, ())) from None
            return stored

    async def _in_place(self, media: Media, upload: Upload, sent: ObjectInfo | None) -> ObjectInfo | None:
        """Copied to the blob's key, which no address was signed for."""
        async with self.sessions() as session:
            blob = await session.get(Blob, media.blob_id)
        if blob is None:
            return sent
        if upload.key != staging_key(blob.key):
            return None  # somebody else finalized it, and the media shows bytes that were here already
        if sent is None:
            return await self.store.head(blob.key)
        if sent.byte_size != media.size:
            return ObjectInfo(
                key=blob.key, byte_size=sent.byte_size, etag=sent.etag, modified_at=sent.modified_at
            )
        try:
            return await self.store.copy(
                upload.key, blob.key, content_type=media.mime_type, if_etag=sent.etag
            )
        except ObjectMissingError:
            return await self.store.head(blob.key)
        except ObjectChangedError as error:
            raise StorageUnavailableError("The bytes were sent anew meanwhile.") from error

    async def _tidy(self, upload: Upload, stored: ObjectInfo) -> None:
        """Best effort: what is left is found by its key when the media is deleted."""
        try:
            if upload.part_size is not None:
                await self.parts.abort(upload.key)
            if upload.key != stored.key:
                await self.store.delete([upload.key])
        except StorageError as error:
            log.info("upload_not_tidied", media=str(upload.media_id), error=repr(error))


def _refuse_mismatch(media: Media) -> None:
    """What came is not what was announced: as often as it is asked for."""
    if media.failure_code is FailureCode.SIZE_MISMATCH:
        raise SizeMismatch(media.failure_message or "", UPLOAD_ID)
    if media.failure_code is FailureCode.CHECKSUM_MISMATCH:
        raise ChecksumMismatch(media.failure_message or "", UPLOAD_ID)


def _nothing_stored() -> ObjectMissing:
    return ObjectMissing(
        "Nothing is stored for this upload yet: send the bytes to upload.target first.", UPLOAD_ID
    )


def _parts_missing(missing: list[int]) -> PartsMissing:
    return PartsMissing(
        f"{len(missing):,} parts have not arrived as announced, the first is number {missing[0]}: "
        "sign and send them.",
        UPLOAD_ID,
        missing=missing,
    )
