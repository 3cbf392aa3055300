"""The possession challenge: whoever proves to hold a file that somebody else has sent need not send it.

The service asks for an HMAC over random ranges of the file; only who has all of it can have them all at hand.
That a challenge is posed tells that the file is here: so it is for installations that want the speed more
than the secret (`DARKROOM_DEDUP=global-fast`, docs/security.md), for large files, and not often.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from db.blobs import give_to_collector
from db.known_bytes import share_blocks
from db.models import Blob, Media, PossessionChallenge, Upload, UploadStatus, User, utc_now
from db.possession import (
    count_challenges,
    find_shared,
    find_unanswered,
    forget_challenges,
    hold_shared,
    lock_challenge,
)
from db.sessions import Sessions
from db.tags import hold_tags
from pubsub.doorbell import Doorbell
from services import validation
from services.dedup import Dedup
from services.errors import ChallengeFailed, InvalidInput
from services.known_bytes import show_known
from services.repeated_requests import RequestedUpload
from services.storage_refusals import storage_refusals
from services.upload_requests import CleanUploadRequest
from services.upload_rows import COLLECTION_GRACE, UPLOAD_ID, find_upload, lock_upload, refuse_ended
from storage.errors import ObjectMissingError
from storage.objects import ObjectStore

#: Smaller files, in bytes, are sent faster than they are asked for.
MIN_CHALLENGED_BYTES = 10_000_000

RANGES = 32
RANGE_BYTES = 4096

#: Of one challenge; each takes a connection to the store.
READS_AT_ONCE = 8

#: How many one owner is posed in `WINDOW`; beyond that their files are sent.
MAX_CHALLENGES = 20
WINDOW = timedelta(hours=1)

RETENTION = timedelta(days=1)

_NONCE_BYTES = 32
_SEND = "send the bytes to upload.target."


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """`nonce` is the HMAC's key, `ranges` are (offset, length) in bytes, in the order they are digested."""

    nonce: str
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Possession:
    """`grace` is the collector's, for what an upload has sent before its challenge was met."""

    sessions: Sessions
    store: ObjectStore
    doorbell: Doorbell
    dedup: Dedup
    grace: timedelta = COLLECTION_GRACE

    async def pose(
        self, session: AsyncSession, owner: User, created: Mapping[CleanUploadRequest, RequestedUpload]
    ) -> None:
        """Challenge the new uploads of files that somebody else has sent, while the owner's row is locked."""
        claims = {
            request: (request.sha256, request.size)
            for request, made in created.items()
            if request.sha256 and self._may_challenge(made.media, made.upload)
        }
        shared = await find_shared(session, [(sha256, size) for sha256, size in claims.values() if sha256])
        due = [(created[request], shared[claim]) for request, claim in claims.items() if claim in shared]
        if not due:
            return
        left = MAX_CHALLENGES - await count_challenges(session, owner.id, since=utc_now() - WINDOW)
        for made, blob in due[: max(0, left)]:
            session.add(_challenge(owner, made.upload, blob))

    async def challenges(self, uploads: Sequence[tuple[Media, Upload]]) -> list[Challenge | None]:
        """What is asked of the owner of each upload, in their order, by one statement at most.

        None where nothing is asked, or was answered already. Nobody has to answer: the bytes may be sent all
        the same.
        """
        asked = [upload.id for media, upload in uploads if self._may_challenge(media, upload)]
        if not asked:
            return [None] * len(uploads)
        async with self.sessions() as session:
            posed = await find_unanswered(session, asked)
        return [_as_posed(posed.get(upload.id)) for _, upload in uploads]

    def _may_challenge(self, media: Media, upload: Upload) -> bool:
        return (
            self.dedup is Dedup.GLOBAL_FAST
            and media.size >= MIN_CHALLENGED_BYTES
            and upload.status is UploadStatus.PENDING
        )

    async def answer(self, owner: User, upload_id: UUID, digest: str) -> Media:
        """Let the media show the stored bytes, if `digest` proves that its owner holds them. One try.

        Called again after it did, answer the same media. Raises ChallengeFailed (then the bytes are to be
        sent), InvalidInput for what can't be a digest (which is no try), Conflict or UploadExpired for an
        upload that has ended, NotFound, StorageUnavailable (no try either).
        """
        given = validation.clean_digest(digest, "digest", hex_characters=64) or ""
        media, upload = await find_upload(self.sessions, owner, upload_id)
        if upload.is_stored:
            return media
        if upload.status is UploadStatus.COMPLETED:
            raise InvalidInput("The bytes of this upload were sent: nothing is asked.", UPLOAD_ID)
        refuse_ended(media, upload)
        expected = await self._expected(upload)
        async with self.sessions.begin() as session:
            media, upload, _ = await lock_upload(session, media.id, owner.id)
            if upload.is_stored:
                return media
            refuse_ended(media, upload)
            failure = await self._try(session, media, upload, expected, given)
        if failure is not None:
            raise failure
        await self.doorbell.ring()
        return media

    async def _expected(self, upload: Upload) -> str | None:
        """The digest of the stored bytes; None where they are gone. Raises ChallengeFailed."""
        async with self.sessions() as session:
            challenge = await session.get(PossessionChallenge, upload.id)
            blob = None if challenge is None else await session.get(Blob, challenge.blob_id)
        if challenge is None or challenge.answered_at is not None:
            raise _nothing_asked()
        if blob is not None:
            with storage_refusals(), suppress(ObjectMissingError):
                return await self._digest(challenge, blob)
        return None

    async def _digest(self, challenge: PossessionChallenge, blob: Blob) -> str:
        slots = asyncio.Semaphore(READS_AT_ONCE)

        async def read(offset: int) -> bytes:
            async with slots:
                return await self.store.read(blob.key, offset=offset, length=RANGE_BYTES)

        proof = hmac.new(challenge.nonce.encode(), digestmod=hashlib.sha256)
        for stretch in await asyncio.gather(*[read(offset) for offset in challenge.offsets]):
            proof.update(stretch)
        return proof.hexdigest()

    async def _try(
        self, session: AsyncSession, media: Media, upload: Upload, expected: str | None, given: str
    ) -> ChallengeFailed | None:
        """Why it did not succeed; there is no other in any case. Raises ChallengeFailed for a second one."""
        challenge = await lock_challenge(session, upload.id)
        if challenge is None or challenge.answered_at is not None:
            raise _nothing_asked()
        challenge.answered_at = utc_now()
        if expected is None:
            return _gone()
        if not secrets.compare_digest(expected, given):
            return ChallengeFailed(f"digest is not that of the ranges that were asked for: {_SEND}", "digest")
        await hold_tags(session, media.owner_id)
        # The outbox before the other blob, as everywhere.
        await give_to_collector(session, media.blob_id, grace=self.grace)
        blob = await hold_shared(session, challenge.blob_id)
        if blob is None:
            return _gone()
        upload.is_stored, upload.status = True, UploadStatus.COMPLETED
        await show_known(session, media, blob)
        await share_blocks(session, blob.id, media.owner_id)
        return None

    async def forget(self) -> int:
        """Forget challenges that nobody can answer any more and that count for nobody; how many."""
        async with self.sessions.begin() as session:
            return await forget_challenges(session, older_than=utc_now() - RETENTION)


def _challenge(owner: User, upload: Upload, blob: Blob) -> PossessionChallenge:
    return PossessionChallenge(
        upload_id=upload.id,
        owner_id=owner.id,
        blob_id=blob.id,
        nonce=secrets.token_urlsafe(_NONCE_BYTES),
        offsets=[secrets.randbelow(blob.size - RANGE_BYTES + 1) for _ in range(RANGES)],
    )


def _as_posed(challenge: PossessionChallenge | None) -> Challenge | None:
    if challenge is None:
        return None
    ranges = tuple([(offset, RANGE_BYTES) for offset in challenge.offsets])
    return Challenge(nonce=challenge.nonce, ranges=ranges)


def _nothing_asked() -> ChallengeFailed:
    return ChallengeFailed(f"Nothing is asked of this upload (any more): {_SEND}", UPLOAD_ID)


def _gone() -> ChallengeFailed:
    return ChallengeFailed(f"The stored bytes are gone meanwhile: {_SEND}", UPLOAD_ID)
