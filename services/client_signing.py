"""Signing for clients that speak the S3 API themselves, as Uppy's aws-s3 plugin does: one request at a time.

Such a client opens, lists, completes and aborts the store's multipart upload on its own. The key says which
of our uploads it means; the store's id is bound to that upload when it is first named, and no other one is
signed for afterwards. Nothing that is signed here deletes an object, or writes over one.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import col, select

from db.models import Media, Upload, UploadStatus, User, utc_now
from db.sessions import Sessions
from services.client_requests import ClientRequest, Multipart, PutPart, PutWhole, operation
from services.errors import InvalidInput, NotFound
from services.parts import Parts, claimed_sha256, part_count, part_length
from services.storage_refusals import storage_refusals
from services.uploads import PartsTarget, Uploads
from storage.errors import InvalidKeyError
from storage.keys import check_private_key
from storage.objects import ObjectStore, SignedPut, SignedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSigning:
    sessions: Sessions
    store: ObjectStore
    uploads: Uploads
    parts: Parts

    async def sign(self, owner: User, request: ClientRequest) -> SignedPut | SignedRequest:
        """Sign what serves to send the bytes that were announced, in the way that `upload.target` says.

        May be repeated. An address lives as long as was asked for, but no longer than our others. Raises
        NotFound for a key without an upload of the owner's that waits for bytes, StorageUnavailable,
        InvalidInput for all else.
        """
        wanted = operation(request)
        media, upload = await self._find(owner, request.key)
        _check_content_type(media, request.content_type)
        lifetime = self._lifetime(upload, request.expires_in)
        target = self.uploads.target(media, upload, lifetime=lifetime)
        if isinstance(wanted, PutWhole):
            if not isinstance(target, SignedPut):
                raise InvalidInput("This upload is not sent by one PUT: see upload.target.", "method")
            return target
        if not isinstance(target, PartsTarget):
            raise InvalidInput("This upload is not sent in parts: see upload.target.", "method")
        if isinstance(wanted, PutPart):
            return await self._sign_part(media, upload, wanted, lifetime)
        return await self._sign_multipart(media, upload, wanted, lifetime)

    async def _find(self, owner: User, key: str) -> tuple[Media, Upload]:
        """One sentence for a key that is unknown, somebody else's, or of an upload that has ended."""
        missing = NotFound("No upload of yours with this key waits for bytes: request one.", "key")
        try:
            check_private_key(key)
        except InvalidKeyError as error:
            raise missing from error
        statement = (
            select(Media, Upload)
            .join(Upload, col(Upload.media_id) == col(Media.id))
            .where(
                col(Upload.key) == key,
                col(Upload.status) == UploadStatus.PENDING,
                col(Upload.expires_at) > utc_now(),
                col(Media.owner_id) == owner.id,
            )
        )
        async with self.sessions() as session:
            found = (await session.exec(statement)).one_or_none()
        if found is None:
            raise missing
        return found

    def _lifetime(self, upload: Upload, seconds: int | None) -> timedelta:
        if seconds is not None and seconds < 1:
            raise InvalidInput(f"expiresIn must be at least 1 second, not {seconds}.", "expiresIn")
        ours = min(self.uploads.limits.address_lifetime, upload.expires_at - utc_now())
        return ours if seconds is None else min(ours, timedelta(seconds=seconds))

    async def _sign_part(self, media: Media, upload: Upload, part: PutPart, lifetime: timedelta) -> SignedPut:
        count = part_count(media.size)
        if not 1 <= part.number <= count:
            raise InvalidInput(f"partNumber must be from 1 to {count:,}, not {part.number:,}.", "partNumber")
        await self._bind(upload, part.multipart_id)
        with storage_refusals():
            return self.store.sign_part(
                upload.key,
                part.multipart_id,
                part.number,
                byte_size=part_length(media.size, part.number),
                sha256=claimed_sha256(upload, part.number),
                expires_in=lifetime,
            )

    async def _sign_multipart(
        self, media: Media, upload: Upload, wanted: Multipart, lifetime: timedelta
    ) -> SignedRequest:
        if wanted.multipart_id is None:
            await self.parts.release(upload)
            _check_unopened(upload)
        else:
            await self._bind(upload, wanted.multipart_id)
        with storage_refusals():
            return self.store.sign_multipart_request(
                wanted.request,
                upload.key,
                upload_id=wanted.multipart_id,
                content_type=media.mime_type,
                expires_in=lifetime,
            )

    async def _bind(self, upload: Upload, multipart_id: str) -> None:
        bound = upload.multipart_id or await self.parts.bind(upload, multipart_id)
        if bound != multipart_id:
            raise InvalidInput("uploadId is not the one with which this upload was begun.", "uploadId")


def _check_unopened(upload: Upload) -> None:
    if upload.multipart_id is not None:
        raise InvalidInput("This upload was begun already: go on with its uploadId.", "uploadId")
    if upload.block_sha256s is not None:
        # Some stores have to know at the beginning that parts come with hashes; S3's clients don't say so.
        raise InvalidInput("An upload with blocks is begun by signUploadParts.", "method")


def _check_content_type(media: Media, content_type: str | None) -> None:
    if content_type is not None and content_type.lower() != media.mime_type:
        raise InvalidInput(
            f"contentType must be {media.mime_type}, as announced, not {content_type:.80}.", "contentType"
        )
