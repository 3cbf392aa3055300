"""What has to be looked at again and again, whatever happened in between.

Every chore is level-triggered and takes rows that nobody else holds, so any number of workers may do it.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from db.blobs import forget_blob, is_needed, leave_outbox, lock_due_blobs
from db.events import prune_events
from db.jobs import prune_job_log
from db.models import Blob, utc_now
from db.sessions import Sessions
from services.keys import renditions_prefix
from services.processing import Processing
from services.uploads import Uploads
from storage.objects import ObjectStore

log = structlog.get_logger()

#: A cursor older than this is answered with RESYNC.
EVENT_RETENTION = timedelta(days=7)

JOB_LOG_RETENTION = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    sessions: Sessions
    store: ObjectStore
    uploads: Uploads
    processing: Processing

    async def run(self) -> None:
        """Do every chore once. An exception ends this round only: the next one finds what is left."""
        for chore in (self.uploads.expire, self.processing.requeue_stranded, self.collect, self.prune):
            try:
                await chore()
            except Exception as error:
                log.warning("chore_failed", chore=chore.__name__, error=repr(error))

    async def collect(self, *, limit: int = 20) -> int:
        """Remove the objects of blobs that nobody needs; how many blobs were looked at.

        The blob's row stays locked meanwhile, and goes after its objects: a crash in between is done again.
        """
        async with self.sessions.begin() as session:
            blobs = await lock_due_blobs(session, limit=limit)
            for blob in blobs:
                if await is_needed(session, blob.id):
                    await leave_outbox(session, blob.id)
                else:
                    await self._remove_objects(blob)
                    await forget_blob(session, blob.id)
        return len(blobs)

    async def prune(self) -> None:
        """Forget a batch of what nobody will ask for any more."""
        async with self.sessions.begin() as session:
            await prune_events(session, older_than=utc_now() - EVENT_RETENTION)
            await prune_job_log(session, older_than=utc_now() - JOB_LOG_RETENTION)

    async def _remove_objects(self, blob: Blob) -> None:
        made = [entry.key async for entry in self.store.list(renditions_prefix(blob.key))]
        await self.store.delete([blob.key, *made])
