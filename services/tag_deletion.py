"""Deleting tags: out of sight at once, off their media in batches.

A tag on few media is gone with one transaction. One on many is marked, and a job takes it off a batch of
media in each transaction and queues the next one with it, so that no batch is lost with its worker.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from db.jobs import enqueue, jobs_of
from db.media import TagChange, lock_media, retag_media
from db.models import Media, Tag, User, utc_now
from db.sessions import Sessions
from db.tags import (
    deleted_tags,
    hold_tags,
    mark_deleted,
    remove_deleted,
    reserve_tags,
    slugs_by_media,
    tagged_media,
    unlink_tag,
)
from pubsub.doorbell import Doorbell
from services.tags import no_such_tag

log = structlog.get_logger()

#: The queue's entrypoint that takes a deleted tag off its next media.
UNLINK_ENTRYPOINT = "unlink_tag"

#: Media that are locked and changed in one transaction: some hundred milliseconds.
BATCH = 500

#: How long a deleted tag may be without a job before it gets one; no enqueue takes that long to commit.
STRANDED_GRACE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagDeletion:
    sessions: Sessions
    doorbell: Doorbell

    async def delete(self, owner: User, tag_id: UUID) -> None:
        """Delete the tag: each media that carries it changes, those beyond the first batch a moment later.

        Raises NotFound.
        """
        async with self.sessions.begin() as session:
            media_ids = await tagged_media(session, tag_id, limit=BATCH + 1)
            few = media_ids if len(media_ids) <= BATCH else []
            media = await lock_media(session, owner.id, few)
            await reserve_tags(session, owner.id)
            tag = await mark_deleted(session, owner.id, tag_id)
            if tag is None:
                raise no_such_tag()
            await _unlink(session, tag, media.values())
            # What was tagged before the reservation, or is too much, is left to the job.
            if not await remove_deleted(session, tag_id):
                await _queue(session, tag_id)
        await self.doorbell.ring()

    async def unlink_batch(self, tag_id: UUID) -> None:
        """Take a deleted tag off its next media, and queue the next batch until its row is gone.

        Any number of workers may do so at once, and a batch may be done again.
        """
        async with self.sessions.begin() as session:
            tag = await session.get(Tag, tag_id)
            if tag is None or tag.deleted_at is None:
                return
            media = await lock_media(session, tag.owner_id, await tagged_media(session, tag_id, limit=BATCH))
            await hold_tags(session, tag.owner_id)
            await _unlink(session, tag, media.values())
            if not await remove_deleted(session, tag_id):
                await _queue(session, tag_id)
        await self.doorbell.ring()

    async def requeue_stranded(self, *, limit: int = 100) -> int:
        """Queue the deleted tags that no job will take off their media any more; how many there were."""
        async with self.sessions.begin() as session:
            tags = await deleted_tags(session, before=utc_now() - STRANDED_GRACE, limit=limit)
            queued = {job["tag_id"] for job in await jobs_of(session, UNLINK_ENTRYPOINT)} if tags else set()
            stranded = [tag for tag in tags if str(tag.id) not in queued]
            for tag in stranded:
                log.warning("tag_stranded", tag=str(tag.id), media=tag.media_count)
                await _queue(session, tag.id)
        return len(stranded)


async def _queue(session: AsyncSession, tag_id: UUID) -> None:
    await enqueue(session, UNLINK_ENTRYPOINT, {"tag_id": str(tag_id)})


async def _unlink(session: AsyncSession, tag: Tag, locked: Iterable[Media]) -> None:
    """Take a tag that is marked off these media. One that carries a new tag of its slug shows no change."""
    media = {each.id: each for each in locked}
    unlinked = await unlink_tag(session, tag.id, media)
    slugs = await slugs_by_media(session, unlinked)
    changes = [(media[media_id], slugs.get(media_id, set())) for media_id in sorted(unlinked)]
    await retag_media(
        session,
        [
            TagChange(media=each, before=after | {tag.slug}, after=after)
            for each, after in changes
            if tag.slug not in after
        ],
    )
