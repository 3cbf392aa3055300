"""Publishing: copies of a public media's renditions beneath `public/`, made and removed.

Level-triggered: whoever settles a media looks at what is wanted now and at what is there, so it does not
matter how often, by whom or in which order it is done, and a process killed at any point left something that
the next one mends. What keeps it so:

- A prefix is in the database before the first object lies below it, and until after the last one is gone.
- The row is locked while its copies are made or removed: one settles a media, the others wait for it.
- A prefix whose removal has begun is marked so, and never used again: an address that died stays dead.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from db.jobs import enqueue_all
from db.models import Publication, utc_now
from db.publications import (
    changes_of,
    forget_changes,
    forget_publication,
    hold_renditions,
    is_recorded,
    is_wanted,
    lock_publication,
    renditions_of_media,
    reserve_prefix,
    unsettled_media,
)
from db.sessions import Sessions
from services.cdn import Cdn
from services.keys import new_public_prefix, public_key
from storage.errors import StorageUnavailableError
from storage.objects import ObjectStore

log = structlog.get_logger()

#: The queue's entrypoint that settles a media.
PUBLICATION_ENTRYPOINT = "publication"

#: How long whoever unpublishes or deletes waits for the copies to be gone; the job goes on with it.
INLINE_SECONDS = 10.0

#: How long a settling that failed or was cancelled takes to leave nothing behind.
CLEAN_UP_SECONDS = 5.0

#: A change is its job's for so long, before the sweep looks whether the job was done.
SWEEP_GRACE = timedelta(seconds=30)


async def queue_publication(session: AsyncSession, media_id: UUID) -> None:
    """Let a worker settle the media: in the transaction of whatever changed what is wanted."""
    await queue_publications(session, [media_id])


async def queue_publications(session: AsyncSession, media_ids: Sequence[UUID]) -> None:
    """As `queue_publication`, in one statement for all."""
    await enqueue_all(session, PUBLICATION_ENTRYPOINT, [{"media_id": str(id)} for id in media_ids])


@dataclass(frozen=True, slots=True, kw_only=True)
class Publications:
    sessions: Sessions
    store: ObjectStore
    cdn: Cdn

    async def settle(self, media_id: UUID) -> None:
        """Make or remove the media's public copies: all of them while it is PUBLIC and READY, else none.

        Returns when it is as wanted. Raises the store's errors and the database's; the next call goes on.
        """
        async with self.sessions() as session:
            # Before it is looked at what is wanted: these are settled then, a later one may not be.
            changes = await changes_of(session, media_id)
        while not await self._take_turn(media_id):
            pass
        if changes:
            async with self.sessions.begin() as session:
                await forget_changes(session, media_id, changes)

    async def settle_now(self, media_id: UUID) -> None:
        """Settle within 10 s, or 15 where it must clean up, for somebody who waits.

        What fails is logged, and left to job and sweep.
        """
        try:
            async with asyncio.timeout(INLINE_SECONDS):
                await self.settle(media_id)
        except Exception:
            log.warning("publication_not_settled", media=str(media_id), exc_info=True)

    async def sweep(self, *, batch: int = 100) -> int:
        """Settle whatever is not as wanted and has no job any more; the number of media that were settled.

        One that can't be settled holds no other back; a store that is away ends the sweep.
        """
        settled = 0
        async for media_id in self._stranded(batch):
            log.info("publication_stranded", media=str(media_id))
            try:
                await self.settle(media_id)
            except StorageUnavailableError:
                raise
            except Exception:
                log.warning("publication_not_settled", media=str(media_id), exc_info=True)
            else:
                settled += 1
        return settled

    async def _stranded(self, batch: int) -> AsyncIterator[UUID]:
        last, before = UUID(int=0), utc_now() - SWEEP_GRACE
        while True:
            async with self.sessions() as session:
                found = await unsettled_media(session, after=last, changed_before=before, limit=batch)
            for media_id in found:
                yield media_id
            if len(found) < batch:
                return
            last = found[-1]

    async def _take_turn(self, media_id: UUID) -> bool:
        """Do the next thing that is due; True when nothing is."""
        async with self.sessions.begin() as session:
            await reserve_prefix(session, media_id, new_public_prefix())
        async with self._locked(media_id) as (session, publication):
            if publication is None:
                return not await is_wanted(session, media_id)
            if publication.withdrawn_at is not None:
                await self._remove(publication.prefix)
                await forget_publication(session, publication.prefix)
                return False
            if await self._is_published(session, publication):
                return True
            # Committed before the first object goes: a prefix that is half empty can't pass for a whole one.
            publication.withdrawn_at = utc_now()
            return False

    async def _is_published(self, session: AsyncSession, publication: Publication) -> bool:
        """Whether all copies are there, made now if need be; False as soon as they are not wanted."""
        wanted = await is_wanted(session, publication.media_id)
        if publication.published_at is not None or not wanted:
            return wanted
        copied: set[str] = set()
        renditions = await renditions_of_media(session, publication.media_id)
        while missing := [each for each in renditions if each.key not in copied]:
            for rendition in missing:
                await self.store.copy(
                    rendition.key,
                    public_key(publication.prefix, rendition.key),
                    content_type=rendition.mime_type,
                )
                copied.add(rendition.key)
                # After each one: unpublishing waits for no more than one copy, and the transaction is never
                # idle for long enough to be ended.
                if not await is_wanted(session, publication.media_id):
                    return False
            # Another recipe may have made them anew meanwhile.
            renditions = await hold_renditions(session, publication.media_id)
        publication.published_at = utc_now()
        return True

    async def _remove(self, prefix: str) -> None:
        keys = [entry.key async for entry in self.store.list(f"{prefix}/")]
        await self.store.delete(keys)
        # After the objects, else it would fetch them again.
        await self.cdn.purge(prefix)

    @asynccontextmanager
    async def _locked(self, media_id: UUID) -> AsyncIterator[tuple[AsyncSession, Publication | None]]:
        prefix: str | None = None
        cancellation: asyncio.CancelledError | None = None
        try:
            async with self.sessions.begin() as session:
                publication = await lock_publication(session, media_id)
                prefix = None if publication is None else publication.prefix
                try:
                    yield session, publication
                except asyncio.CancelledError as error:
                    cancellation = error
                    raise
        except (Exception, asyncio.CancelledError):
            if prefix is not None:
                await _to_its_end(self._remove_unrecorded(prefix))
            if cancellation is not None:
                # A lost connection can't be rolled back; its complaint must not hide that we are to end.
                raise cancellation from None
            raise

    async def _remove_unrecorded(self, prefix: str) -> None:
        """A process that was stopped for a minute has lost its lock: what it copied since is nobody's."""
        try:
            async with asyncio.timeout(CLEAN_UP_SECONDS):
                async with self.sessions() as session:
                    recorded = await is_recorded(session, prefix)
                if not recorded:
                    await self._remove(prefix)
        except Exception:
            log.warning("publication_not_cleaned_up", prefix=prefix, exc_info=True)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Also when cancelled meanwhile; the cancellation goes on afterwards."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
