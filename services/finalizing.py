"""Finalizing: the object store says that the bytes are there, and their processing starts.

Whoever finalizes, once or often, at once or one after the other, by a call or by the store's own event: one
of them moves the media on, in one transaction, and the others find it done. What the store says is asked
outside of that transaction: it may take minutes to put an object together.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
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
from services.keys import blob_of_key, copied_key, is_staging
from services.parts import Parts, missing_parts
from services.processing_steps import start_processing
from services.storage_refusals import storage_refusals
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

#: A store puts a large object together, and copies it, for minutes: in bytes a second, a slow one does this.
#: What was cut off is begun from the start, so the limit has to grow with the size.
COMPLETION_SECONDS = 300.0
COMPLETION_RATE = 32 * 1024**2

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
        and every call says so), Conflict after an abort, UploadExpired, NotFound, and StorageUnavailable,
        also when the store takes longer than `completion_seconds`: then nothing has happened, and the next
        call begins anew.
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
        stored, refusal = None, None
        if upload.status is UploadStatus.PENDING:
            refuse_ended(media, upload)  # before the store is asked, and again once the media is locked
            try:
                stored = await self._stored(media, upload)
            except Refusal as error:  # perhaps of what somebody left who has finalized meanwhile
                refusal = error
        async with self.sessions.begin() as session:
            media, upload, blob = await lock_upload(session, media.id, media.owner_id)
            if is_first := upload.status is not UploadStatus.COMPLETED:
                refuse_ended(media, upload)
                if stored is None or blob_of_key(stored.key) != blob.id:
                    raise refusal or _nothing_stored()
                await self._complete(session, media, upload, blob, stored)
        if is_first:
            await self.doorbell.ring()
        if stored is not None:
            await self._tidy(upload, blob, stored)
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
        blob.key, blob.etag = stored.key, stored.etag
        upload.status = UploadStatus.COMPLETED
        await start_processing(session, media)

    async def _stored(self, media: Media, upload: Upload) -> ObjectInfo | None:
        """The object, put together from its parts and copied from where it was sent, if need be."""
        limit = completion_seconds(media.size)
        try:
            async with asyncio.timeout(limit):
                with storage_refusals():
                    sent = await self._sent(media, upload)
                    if sent is None or not is_staging(upload.key):
                        return sent
                    with suppress(ObjectMissingError):  # somebody else has finalized it
                        return await self._in_place(media, sent)
                    return None
        except TimeoutError:
            raise StorageUnavailable(
                f"The object store has not put {media.size:,} bytes in their place within {limit:,.0f} s: "
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

    async def _in_place(self, media: Media, sent: ObjectInfo) -> ObjectInfo:
        """Copied to where no address was signed for.

        Of calls at once each may see and copy other bytes: the key tells them apart, and the transaction
        chooses one. So what was chosen is not written again, also by a copy that ends after its call.
        """
        key = copied_key(sent.key, sent.etag)
        if sent.byte_size != media.size:  # nothing that anybody will read
            return replace(sent, key=key)
        try:
            return await self.store.copy(sent.key, key, content_type=media.mime_type, if_etag=sent.etag)
        except ObjectChangedError as error:
            raise StorageUnavailableError("The bytes were sent anew meanwhile.") from error

    async def _tidy(self, upload: Upload, blob: Blob, stored: ObjectInfo) -> None:
        """Remove what was sent to be copied, and a copy that was not chosen.

        Best effort: what is left is found by its key when the media is deleted.
        """
        if blob_of_key(stored.key) != blob.id:
            return  # the media shows other bytes by now, and the collector was given these
        try:
            if upload.part_size is not None:
                await self.parts.abort_all(upload.key)
            if left := {upload.key, stored.key} - {blob.key}:
                await self.store.delete(sorted(left))
        except StorageError as error:
            log.info("upload_not_tidied", media=str(upload.media_id), error=repr(error))


def completion_seconds(size: int) -> float:
    """How long a store may take to put an object of `size` bytes together and in its place: 300 s or more."""
    return max(COMPLETION_SECONDS, size / COMPLETION_RATE)


def _refuse_mismatch(media: Media) -> None:
    """What came is not what was announced: as often as it is asked for."""
    if media.failure_code is FailureCode.SIZE_MISMATCH:
        raise SizeMismatch(media.failure_message or "", UPLOAD_ID)
    if media.failure_code is FailureCode.CHECKSUM_MISMATCH:
        raise ChecksumMismatch(
            media.failure_message or "",
            UPLOAD_ID,
            expected=media.failure_expected,
            actual=media.failure_actual,
        )


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
