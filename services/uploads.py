"""Uploads: a signed address for the bytes, then the check that they arrived.

The bytes never pass here. What the client says of them is a claim: it is signed into what the store
enforces, and compared with the stored bytes when they are processed.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.blobs import give_to_collector
from db.media import change_media, create_media, lock_media
from db.models import (
    Blob,
    FailureCode,
    Media,
    MediaEventType,
    MediaStatus,
    Upload,
    UploadStatus,
    User,
    new_id,
    utc_now,
)
from db.sessions import Sessions
from db.tags import ensure_tags, hold_tags, link_tags
from db.uploads import find_pending
from pubsub.doorbell import Doorbell
from services import keys
from services.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    ObjectMissing,
    Rejected,
    SizeMismatch,
    StorageUnavailable,
    UploadExpired,
)
from services.formats import kind_of
from services.processing_steps import start_processing
from services.repeated_requests import RequestedUpload, answer_repeated, find_repeated
from services.upload_requests import CleanUploadRequest, UploadRequest, clean_request
from storage.errors import StorageUnavailableError
from storage.objects import ObjectInfo, ObjectStore, SignedPut

MAX_REQUESTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """`max_bytes` is what one PUT may carry; an address is signed anew as long as its upload lives."""

    max_bytes: int
    address_lifetime: timedelta = timedelta(minutes=5)
    upload_lifetime: timedelta = timedelta(hours=24)
    #: Longer than any live address plus the longest PUT (two hours): only then are bytes collected.
    collection_grace: timedelta = timedelta(hours=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    sessions: Sessions
    store: ObjectStore
    doorbell: Doorbell
    limits: UploadLimits

    async def request(
        self, owner: User, requests: Sequence[UploadRequest]
    ) -> list[RequestedUpload | Rejected]:
        """Answer each request with its media and upload, or with all that is wrong with it.

        One that comes again under its idempotency key gets the same media as the first time; another one
        under that key is a Conflict. A refused request does not hold back the others. At most 100 at once,
        else Rejected is raised.
        """
        if len(requests) > MAX_REQUESTS:
            raise Rejected(
                [InvalidInput(f"inputs must be at most {MAX_REQUESTS}, not {len(requests)}.", "inputs")]
            )
        checked = [self._checked(request) for request in requests]
        accepted = [request for request in checked if isinstance(request, CleanUploadRequest)]
        async with self.sessions.begin() as session:
            repeated = await find_repeated(session, owner, accepted)
            fresh = [request for request in accepted if request not in repeated]
            created = await self._create_all(session, owner, fresh)
            answered = created | await answer_repeated(session, owner, repeated)
        await self.doorbell.ring()
        return [request if isinstance(request, Rejected) else answered[request] for request in checked]

    def _checked(self, request: UploadRequest) -> CleanUploadRequest | Rejected:
        try:
            return clean_request(request, max_bytes=self.limits.max_bytes)
        except Rejected as rejected:
            return rejected

    async def _create_all(
        self, session: AsyncSession, owner: User, requests: Sequence[CleanUploadRequest]
    ) -> dict[CleanUploadRequest, RequestedUpload]:
        # All tags first and in one order: two calls at once can't wait for each other.
        names = {slug: name for request in requests for slug, name in request.tags.items()}
        if names:
            await hold_tags(session, owner.id)
        tags = await ensure_tags(session, owner.id, names)
        created = {request: await self._create(session, owner, request) for request in requests}
        await link_tags(
            session,
            [(made.media.id, tags[slug].id) for request, made in created.items() for slug in request.tags],
        )
        return created

    async def _create(
        self, session: AsyncSession, owner: User, request: CleanUploadRequest
    ) -> RequestedUpload:
        now = utc_now()
        blob_id = new_id()
        key = keys.original_key(owner.id, blob_id, request.mime_type, now)
        media = Media(
            id=request.media_id,
            owner_id=owner.id,
            blob_id=blob_id,
            kind=kind_of(request.mime_type),
            status=MediaStatus.UPLOADING,
            visibility=request.visibility,
            filename=request.filename,
            mime_type=request.mime_type,
            size=request.size,
            sha256=request.sha256,
            title=request.title,
            description=request.description,
            client_metadata=request.metadata,
            created_at=now,
            updated_at=now,
        )
        upload = Upload(
            media_id=media.id,
            key=key,
            md5=request.md5,
            status=UploadStatus.PENDING,
            expires_at=now + self.limits.upload_lifetime,
        )
        session.add(Blob(id=blob_id, owner_id=owner.id, key=key, size=request.size))
        await session.flush()
        await create_media(session, media, tags=list(request.tags))
        session.add(upload)
        return RequestedUpload(media=media, upload=upload)

    def target(self, media: Media, upload: Upload) -> SignedPut | None:
        """A freshly signed address for the bytes; None once the upload has ended."""
        remaining = upload.expires_at - utc_now()
        if upload.status is not UploadStatus.PENDING or remaining < timedelta(seconds=1):
            return None
        return self.store.sign_put(
            upload.key,
            content_type=media.mime_type,
            byte_size=media.size,
            sha256=media.sha256,
            md5=upload.md5,
            expires_in=min(self.limits.address_lifetime, remaining),
        )

    async def finalize(self, owner: User, upload_id: UUID) -> Media:
        """Start the processing of what was stored; called again, answer the same media.

        Raises ObjectMissing before the bytes are there, SizeMismatch where the store holds another size
        (then the media is FAILED), Conflict after an abort, UploadExpired, NotFound, StorageUnavailable.
        """
        upload = await self._find(owner, upload_id)
        stored = await self._head(upload.key) if upload.status is UploadStatus.PENDING else None
        return await self._finalize(owner, upload, stored)

    async def arrived(self, key: str) -> bool:
        """Finalize the upload to `key`, as its client may or may not do, if it waits and its object is there.

        A hint that comes again, or too late, or of an object that is none of ours, changes nothing. The
        answer is whether an upload waited for it; either way it is dealt with. Raises StorageUnavailable and
        the database's errors: then it is not.
        """
        async with self.sessions() as session:
            found = await find_pending(session, key)
        stored = await self._head(key) if found else None
        if found is None or stored is None:
            return False
        try:
            await self._finalize(*found, stored)
        except SizeMismatch:
            return True
        except (Conflict, NotFound, UploadExpired):
            return False
        return True

    async def _finalize(self, owner: User, upload: Upload, stored: ObjectInfo | None) -> Media:
        async with self.sessions.begin() as session:
            media, upload = await _lock_upload(session, owner, upload)
            if upload.status is UploadStatus.COMPLETED:
                return media
            _refuse_ended(media, upload)
            if stored is None:
                raise ObjectMissing(
                    "Nothing is stored for this upload yet: send the bytes to upload.target first.",
                    "uploadId",
                )
            await self._complete(session, media, upload, stored)
        await self.doorbell.ring()
        if media.status is MediaStatus.FAILED:
            raise SizeMismatch(media.failure_message or "", "uploadId")
        return media

    async def abort(self, owner: User, upload_id: UUID) -> tuple[Media, Upload]:
        """End the upload: the media is FAILED/CANCELLED, the collector removes what was stored. Repeatable.

        Raises Conflict once it is finalized, NotFound.
        """
        upload = await self._find(owner, upload_id)
        async with self.sessions.begin() as session:
            media, upload = await _lock_upload(session, owner, upload)
            if upload.status is UploadStatus.COMPLETED:
                raise Conflict(
                    "This upload is finalized already: delete the media instead.",
                    "uploadId",
                    current_version=media.version,
                )
            if upload.status is UploadStatus.PENDING:
                await self._end(
                    session,
                    media,
                    upload,
                    UploadStatus.ABORTED,
                    FailureCode.CANCELLED,
                    "The upload was aborted.",
                )
        await self.doorbell.ring()
        return media, upload

    async def expire(self, *, limit: int = 100) -> int:
        """Fail uploads whose time is over; how many there were. Any number of workers may do so at once."""
        async with self.sessions() as session:
            due = await _due_uploads(session, limit)
        for owner, upload in due:
            with suppress(NotFound):  # deleted meanwhile
                await self._expire(owner, upload)
        if due:
            await self.doorbell.ring()
        return len(due)

    async def _expire(self, owner: User, upload: Upload) -> None:
        async with self.sessions.begin() as session:
            media, locked = await _lock_upload(session, owner, upload)
            if locked.status is UploadStatus.PENDING:
                await self._end(
                    session,
                    media,
                    locked,
                    UploadStatus.EXPIRED,
                    FailureCode.UPLOAD_EXPIRED,
                    "The bytes did not arrive in time.",
                )

    async def _find(self, owner: User, upload_id: UUID) -> Upload:
        async with self.sessions() as session:
            statement = (
                select(Upload)
                .join(Media, col(Media.id) == col(Upload.media_id))
                .where(col(Upload.id) == upload_id, col(Media.owner_id) == owner.id)
            )
            upload = (await session.exec(statement)).one_or_none()
        if upload is None:
            raise _no_such_upload()
        return upload

    async def _head(self, key: str) -> ObjectInfo | None:
        try:
            return await self.store.head(key)
        except StorageUnavailableError as error:
            raise StorageUnavailable("The object store does not answer: try again later.") from error

    async def _complete(
        self, session: AsyncSession, media: Media, upload: Upload, stored: ObjectInfo
    ) -> None:
        if stored.byte_size != media.size:
            message = f"The store holds {stored.byte_size:,} bytes, and {media.size:,} were announced."
            await self._end(
                session, media, upload, UploadStatus.COMPLETED, FailureCode.SIZE_MISMATCH, message
            )
            return
        blob = await session.get_one(Blob, media.blob_id)
        blob.etag = stored.etag
        upload.status = UploadStatus.COMPLETED
        await change_media(session, media, MediaEventType.STATUS_CHANGED, status=MediaStatus.PROCESSING)
        await start_processing(session, media)

    async def _end(
        self,
        session: AsyncSession,
        media: Media,
        upload: Upload,
        status: UploadStatus,
        code: FailureCode,
        message: str,
    ) -> None:
        """Fail the media. Bytes that no finalize has found are left to the collector, also late ones."""
        upload.status = status
        if status is not UploadStatus.COMPLETED:
            await give_to_collector(session, media.blob_id, grace=self.limits.collection_grace)
        await change_media(
            session,
            media,
            MediaEventType.STATUS_CHANGED,
            status=MediaStatus.FAILED,
            failure_code=code,
            failure_message=message,
        )


async def _lock_upload(session: AsyncSession, owner: User, upload: Upload) -> tuple[Media, Upload]:
    media = (await lock_media(session, owner.id, [upload.media_id])).get(upload.media_id)
    if media is None:
        raise _no_such_upload()
    return media, await session.get_one(Upload, upload.id)


async def _due_uploads(session: AsyncSession, limit: int) -> list[tuple[User, Upload]]:
    statement = (
        select(User, Upload)
        .join(Media, col(Media.owner_id) == col(User.id))
        .join(Upload, col(Upload.media_id) == col(Media.id))
        .where(col(Upload.status) == UploadStatus.PENDING, col(Upload.expires_at) < utc_now())
        .order_by(col(Upload.expires_at))
        .limit(limit)
    )
    return [(user, upload) for user, upload in (await session.exec(statement)).all()]


def _refuse_ended(media: Media, upload: Upload) -> None:
    if upload.status is UploadStatus.ABORTED:
        raise Conflict("This upload was aborted.", "uploadId", current_version=media.version)
    if upload.status is UploadStatus.EXPIRED or upload.expires_at < utc_now():
        raise UploadExpired("This upload has expired: request a new one.", "uploadId")


def _no_such_upload() -> NotFound:
    return NotFound("There is no such upload.", "uploadId")
