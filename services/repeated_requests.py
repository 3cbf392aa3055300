"""Requests for an upload that come again: the same key and claims, the same answer.

A client that lost the answer sends the request once more under its own name for it. Names are kept for a day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.idempotency import take_keys
from db.models import IdempotencyKey, Media, Upload, User, utc_now
from services.errors import Conflict, NotFound, Refusal, Rejected, Taken
from services.upload_requests import CleanUploadRequest

#: How long a key is kept.
KEY_RETENTION = timedelta(hours=24)

_FIELD = "clientMutationId"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedUpload:
    media: Media
    upload: Upload


async def find_repeated(
    session: AsyncSession, owner: User, requests: Sequence[CleanUploadRequest]
) -> dict[CleanUploadRequest, IdempotencyKey]:
    """Those whose key another request has, of this call or an earlier one; the others' keys are taken now."""
    wanted: dict[str, IdempotencyKey] = {}
    for request in requests:
        if (key := request.idempotency_key) is not None and key not in wanted:
            wanted[key] = IdempotencyKey(
                owner_id=owner.id, key=key, digest=request.digest, media_id=request.media_id
            )
    if not wanted:
        return {}
    taken = await take_keys(session, list(wanted.values()), older_than=utc_now() - KEY_RETENTION)
    return {
        request: taken[request.idempotency_key]
        for request in requests
        if request.idempotency_key is not None and taken[request.idempotency_key].media_id != request.media_id
    }


async def answer_repeated(
    session: AsyncSession,
    owner: User,
    repeated: Mapping[CleanUploadRequest, IdempotencyKey],
    created: Mapping[CleanUploadRequest, RequestedUpload | Rejected],
) -> dict[CleanUploadRequest, RequestedUpload | Rejected]:
    """What the first request of each key made, as it is now.

    `created` is what this call made: one that repeats what was refused in it is refused for the same.
    """
    if not repeated:
        return {}
    statement = (
        select(Media, Upload)
        .join(Upload, col(Upload.media_id) == col(Media.id))
        .where(
            col(Media.id).in_([row.media_id for row in repeated.values()]), col(Media.owner_id) == owner.id
        )
    )
    made = {media.id: (media, upload) for media, upload in (await session.exec(statement)).all()}
    refused = {first.media_id: answer for first, answer in created.items() if isinstance(answer, Rejected)}
    return {
        request: _answer(request, row, made.get(row.media_id), refused.get(row.media_id))
        for request, row in repeated.items()
    }


def _answer(
    request: CleanUploadRequest,
    row: IdempotencyKey,
    made: tuple[Media, Upload] | None,
    refused: Rejected | None,
) -> RequestedUpload | Rejected:
    if row.digest != request.digest:
        message = f"{_FIELD} was given to another request within the last 24 hours: give each its own."
        if made is None:
            return _rejected(Taken(message, _FIELD))
        return _rejected(Conflict(message, _FIELD, current_version=made[0].version))
    if refused is not None:
        return refused
    if made is None:
        return _rejected(NotFound(f"The media that was requested under this {_FIELD} was deleted.", _FIELD))
    media, upload = made
    return RequestedUpload(media=media, upload=upload)


def _rejected(refusal: Refusal) -> Rejected:
    return Rejected([refusal])
