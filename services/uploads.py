"""Requesting uploads, each with a signed address for its bytes.

The bytes never pass here. What the client says of them is a claim: it is signed into what the store
enforces, and compared with the stored bytes when they are processed.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from db.idempotency import release_keys
from db.media import create_media
from db.models import (
    Blob,
    Media,
    MediaStatus,
    Upload,
    UploadStatus,
    User,
    new_id,
    utc_now,
)
from db.sessions import Sessions
from db.tags import ensure_tags, hold_tags, link_tags
from pubsub.doorbell import Doorbell
from services import keys
from services.delta import Delta
from services.errors import InvalidInput, QuotaExceeded, Rejected
from services.formats import kind_of
from services.known_bytes import KnownBytes, claims_of, show_all_known
from services.lost_bytes import find_unusable
from services.parts import MULTIPART_BYTES, part_count, part_size
from services.possession import Possession
from services.quotas import Quotas
from services.repeated_requests import RequestedUpload, answer_repeated, find_repeated
from services.storage_refusals import storage_refusals
from services.upload_requests import CleanUploadRequest, UploadRequest, clean_request
from services.upload_rows import COLLECTION_GRACE
from storage.objects import ObjectStore, SignedPut

MAX_REQUESTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLimits:
    """`multipart_bytes` is the largest file that is sent in one PUT; an address is signed anew as long as its
    upload lives. With `staging` bytes are sent to a key of their own and copied when they are finalized: for
    stores whose signed addresses can overwrite.
    """

    max_bytes: int
    multipart_bytes: int = MULTIPART_BYTES
    staging: bool = False
    address_lifetime: timedelta = timedelta(minutes=5)
    upload_lifetime: timedelta = timedelta(hours=24)
    collection_grace: timedelta = COLLECTION_GRACE


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTarget:
    """The bytes are stored already: there is nothing to send."""

    media_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PartsTarget:
    """The file is sent in parts of `part_size` bytes, the last one shorter."""

    part_size: int
    part_count: int


Target = SignedPut | PartsTarget | StoredTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploads:
    sessions: Sessions
    store: ObjectStore
    doorbell: Doorbell
    limits: UploadLimits
    quotas: Quotas
    known_bytes: KnownBytes
    possession: Possession
    delta: Delta

    async def request(
        self, owner: User, requests: Sequence[UploadRequest]
    ) -> list[RequestedUpload | Rejected]:
        """Answer each request with its media and upload, or with all that is wrong with it.

        One that comes again under its idempotency key gets the same media as the first time; another one
        under that key is a Conflict. A refused request does not hold back the others; one that passes the
        quota is refused whatever comes at once. At most 100 at once, else Rejected is raised.
        """
        if len(requests) > MAX_REQUESTS:
            raise Rejected(
                [InvalidInput(f"inputs must be at most {MAX_REQUESTS}, not {len(requests)}.", "inputs")]
            )
        checked = [self._checked(request) for request in requests]
        accepted = [request for request in checked if isinstance(request, CleanUploadRequest)]
        unusable = await find_unusable(self.sessions, self.store, owner.id, claims_of(accepted))
        async with self.sessions.begin() as session:
            repeated = await find_repeated(session, owner, accepted)
            fresh = [request for request in accepted if request not in repeated]
            created = await self._create_all(session, owner, fresh, unusable)
            answered = created | await answer_repeated(session, owner, repeated, created)
        await self.doorbell.ring()
        made = [each for each in created.values() if isinstance(each, RequestedUpload)]
        await self.delta.copy_known(owner, made)
        return [request if isinstance(request, Rejected) else answered[request] for request in checked]

    def _checked(self, request: UploadRequest) -> CleanUploadRequest | Rejected:
        try:
            return clean_request(request, max_bytes=self.limits.max_bytes)
        except Rejected as rejected:
            return rejected

    async def _create_all(
        self,
        session: AsyncSession,
        owner: User,
        requests: Sequence[CleanUploadRequest],
        unusable: Collection[UUID],
    ) -> dict[CleanUploadRequest, RequestedUpload | Rejected]:
        if not requests:
            return {}
        # All tags first and in one order: two calls at once can't wait for each other.
        if any(request.tags or request.sha256 for request in requests):
            await hold_tags(session, owner.id)
        refused = await self._reserve(session, owner, requests)
        fitting = [request for request in requests if request not in refused]
        names = {slug: name for request in fitting for slug, name in request.tags.items()}
        tags = await ensure_tags(session, owner.id, names)
        known = await self.known_bytes.find(session, owner, fitting, without=unusable)
        created = {request: self._create(session, owner, request, known.get(request)) for request in fitting}
        await create_media(session, [(made.media, request.tags) for request, made in created.items()])
        session.add_all(made.upload for made in created.values())
        await link_tags(
            session,
            [(made.media.id, tags[slug].id) for request, made in created.items() for slug in request.tags],
        )
        await self.possession.pose(session, owner, created)
        await show_all_known(session, [(created[request].media, blob) for request, blob in known.items()])
        return {**created, **refused}

    async def _reserve(
        self, session: AsyncSession, owner: User, requests: Sequence[CleanUploadRequest]
    ) -> Mapping[CleanUploadRequest, Rejected]:
        """Those that there is no room for. The others' is theirs: nobody else adds before the commit."""
        account = await self.quotas.lock(session, owner)
        refused = {}
        for request in requests:
            try:
                account.reserve(request.size)
            except QuotaExceeded as refusal:
                refused[request] = Rejected([refusal])
        # Sent again when there is room, such a request is to be answered anew.
        await release_keys(session, owner.id, [request.media_id for request in refused])
        return refused

    def _create(
        self, session: AsyncSession, owner: User, request: CleanUploadRequest, known: Blob | None
    ) -> RequestedUpload:
        """What is to be inserted; the session has got the blob only. UPLOADING, also where that is known."""
        now = utc_now()
        blob = known or self._new_blob(owner, request, now)
        in_parts = known is None and request.size > self.limits.multipart_bytes
        media = Media(
            id=request.media_id,
            owner_id=owner.id,
            blob_id=blob.id,
            kind=kind_of(request.mime_type),
            status=MediaStatus.UPLOADING,
            visibility=request.visibility,
            filename=request.filename,
            mime_type=request.mime_type,
            size=request.size,
            held_bytes=request.size,
            sha256=request.sha256,
            title=request.title,
            description=request.description,
            client_metadata=request.metadata,
            created_at=now,
            updated_at=now,
        )
        upload = Upload(
            media_id=media.id,
            key=keys.staging_key(blob.key) if self.limits.staging and known is None else blob.key,
            md5=request.md5,
            part_size=part_size(request.size) if in_parts else None,
            block_sha256s=request.block_digests if in_parts else None,
            is_stored=known is not None,
            status=UploadStatus.PENDING if known is None else UploadStatus.COMPLETED,
            expires_at=now + self.limits.upload_lifetime,
        )
        session.add(blob)
        return RequestedUpload(media=media, upload=upload)

    def _new_blob(self, owner: User, request: CleanUploadRequest, now: datetime) -> Blob:
        blob_id, is_shared = new_id(), self.known_bytes.dedup.is_global
        key = keys.original_key(None if is_shared else owner.id, blob_id, request.mime_type, now)
        return Blob(id=blob_id, owner_id=owner.id, key=key, size=request.size, is_shared=is_shared)

    def target(self, media: Media, upload: Upload, *, lifetime: timedelta | None = None) -> Target | None:
        """Where the bytes go, an address freshly signed; None once the upload has ended.

        `lifetime` is the address's, if that is less than ours. Raises StorageUnavailable where nothing can be
        signed now.
        """
        if upload.is_stored:
            return StoredTarget(media_id=media.id)
        remaining = upload.expires_at - utc_now()
        if upload.status is not UploadStatus.PENDING or remaining < timedelta(seconds=1):
            return None
        if upload.part_size is not None:
            return PartsTarget(part_size=upload.part_size, part_count=part_count(media.size))
        ours = min(self.limits.address_lifetime, remaining)
        with storage_refusals():
            return self.store.sign_put(
                upload.key,
                content_type=media.mime_type,
                byte_size=media.size,
                sha256=media.sha256,
                md5=upload.md5,
                expires_in=ours if lifetime is None else min(ours, lifetime),
            )
