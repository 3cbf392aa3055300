"""Bytes that are stored already: which ones an upload may use instead of sending or keeping its own.

Only hashes that the service itself computed count. What an owner has, their next upload of it uses at once.
What others have it may use only once the bytes were shown: sent and verified, or a challenge answered
(docs/security.md says what each mode tells to whom).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from db.blobs import give_to_collector
from db.known_bytes import find_known, lock_hash, save_blocks
from db.media import change_several
from db.models import Blob, Media, MediaEventType, MediaKind, MediaStatus, User, Visibility, utc_now
from pipeline.recipe import RECIPE
from services.dedup import Dedup
from services.processing_steps import start_processing
from services.publications import queue_publications
from services.upload_requests import CleanUploadRequest
from services.upload_rows import COLLECTION_GRACE
from storage.objects import FetchedObject


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBytes:
    """`grace` is the collector's, for copies that are not needed."""

    dedup: Dedup
    grace: timedelta = COLLECTION_GRACE

    async def find(
        self,
        session: AsyncSession,
        owner: User,
        requests: Collection[CleanUploadRequest],
        *,
        without: Collection[UUID],
    ) -> dict[CleanUploadRequest, Blob]:
        """What the owner has already of what is requested; held, as the last rows of the transaction.

        Not `without`: what `services.lost_bytes` has found unusable.
        """
        best: dict[tuple[str | None, int], Blob] = {}
        known = await find_known(session, owner.id, claims_of(requests), without=without, hold=True)
        for blob in sorted(known, key=_usefulness):
            best[blob.sha256, blob.size] = blob
        claims = {request: (request.sha256, request.size) for request in requests}
        return {request: best[claim] for request, claim in claims.items() if claim in best}

    async def settle_on(
        self,
        session: AsyncSession,
        media: Media,
        copy: Blob,
        fetched: FetchedObject,
        *,
        without: Collection[UUID],
    ) -> Blob:
        """The blob that a locked media shows from now on, its bytes proved to be `fetched`.

        It is `copy`, verified by that, unless these bytes are known already: then `copy` goes to the
        collector after its grace, so that addresses that were signed for it stay good meanwhile. None of
        those `without`, as in `find`.
        """
        await lock_hash(session, fetched.sha256)
        blob = await self._known(session, media, copy, fetched, without) or copy
        if blob is copy:
            copy.sha256, copy.verified_at = fetched.sha256, utc_now()
        await session.flush()
        if fetched.block_sha256s:
            digests = [bytes.fromhex(digest) for digest in fetched.block_sha256s]
            await save_blocks(session, blob.id, media.owner_id, digests)
        return blob

    async def _known(
        self,
        session: AsyncSession,
        media: Media,
        copy: Blob,
        fetched: FetchedObject,
        without: Collection[UUID],
    ) -> Blob | None:
        if copy.verified_at is not None:
            return None
        find = partial(
            find_known,
            session,
            media.owner_id,
            [(fetched.sha256, fetched.byte_size)],
            of_anybody=self.dedup.is_global,
            without=without,
        )
        if not await find():
            return None
        # The outbox before the other blob: the collector, which locks both, does so in that order. In vain
        # where it is faster: the copy is needed then, and left alone.
        await give_to_collector(session, copy.id, grace=self.grace)
        return max(await find(hold=True), key=_usefulness, default=None)


def claims_of(requests: Iterable[CleanUploadRequest]) -> set[tuple[str, int]]:
    """The (SHA-256, bytes) that are claimed, of the requests that claim a hash."""
    return {(request.sha256, request.size) for request in requests if request.sha256}


def is_complete(blob: Blob) -> bool:
    """Whether all is there that the present recipe makes of the bytes."""
    return blob.recipe == RECIPE and blob.facts is not None


def learn(blob: Blob, media: Media) -> None:
    """Keep what was learned of the bytes by a media that is READY by the present recipe."""
    blob.recipe = RECIPE
    blob.facts = {
        "kind": media.kind,
        "detected_mime_type": media.detected_mime_type,
        "details": media.details,
    }


def facts_of(blob: Blob) -> dict[str, Any]:
    """The values of a media that shows a complete blob."""
    facts = blob.facts or {}
    return {
        "kind": MediaKind(facts["kind"]),
        "detected_mime_type": facts["detected_mime_type"],
        "details": facts["details"],
        "sha256": blob.sha256,
        "sha256_verified": True,
    }


async def show_known(session: AsyncSession, media: Media, blob: Blob) -> None:
    """Let a locked UPLOADING media show bytes that are stored: READY at once where all was made of them.

    Else it is PROCESSING. The blob must be held.
    """
    await show_all_known(session, [(media, blob)])


async def show_all_known(session: AsyncSession, pairs: Sequence[tuple[Media, Blob]]) -> None:
    """As `show_known`, for media of one owner: those that are READY cost a few statements in all."""
    changes = [(media, _shown_values(blob)) for media, blob in pairs]
    await change_several(session, changes, MediaEventType.STATUS_CHANGED)
    for media, _ in pairs:
        if media.status is MediaStatus.PROCESSING:
            await start_processing(session, media)
    shown = [media for media, _ in pairs if media.status is MediaStatus.READY]
    await queue_publications(session, [media.id for media in shown if media.visibility is Visibility.PUBLIC])


def _shown_values(blob: Blob) -> dict[str, Any]:
    if not is_complete(blob):
        return {"blob_id": blob.id, "status": MediaStatus.PROCESSING}
    ready = {"blob_id": blob.id, "status": MediaStatus.READY, "ready_at": utc_now()}
    return ready | facts_of(blob)


def _usefulness(blob: Blob) -> tuple[bool, bool, UUID]:
    return is_complete(blob), blob.is_shared, blob.id
