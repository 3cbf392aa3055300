"""What has to be looked at again and again, whatever happened in between.

Every chore is level-triggered and takes rows that nobody else holds: it does no harm to do one twice, or two
at once. `app.schedules` sees to it that one worker does each when its time comes.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from db.blobs import forget_unneeded, leave_outbox, lock_due
from db.events import prune_events
from db.idempotency import forget_keys
from db.jobs import prune_job_log
from db.models import utc_now
from db.sessions import Sessions
from services.keys import prefixes_of_blob
from services.parts import Parts
from services.possession import Possession
from services.processing import Processing
from services.publications import Publications
from services.repeated_requests import KEY_RETENTION
from services.tag_deletion import TagDeletion
from services.upload_endings import UploadEndings
from storage.objects import ObjectStore

log = structlog.get_logger()

#: A cursor older than this is answered with RESYNC.
EVENT_RETENTION = timedelta(days=7)

JOB_LOG_RETENTION = timedelta(days=1)

#: Until then nobody else takes objects that are being removed, or could not be.
REMOVAL_LEASE = timedelta(minutes=10)

#: Batches of one chore in one round: a chore with much to do leaves room for the others.
MAX_BATCHES = 50

#: When a chore is due, as cron has it.
EVERY_MINUTE = "* * * * *"
EVERY_TEN_MINUTES = "*/10 * * * *"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """`work` does a batch and says how much there was; nothing more is due when it was nothing."""

    name: str
    due: str
    work: Callable[[], Awaitable[int]]

    async def do(self) -> None:
        """Batch by batch, until there is nothing more or enough was done for one round."""
        for _ in range(MAX_BATCHES):
            if not await self.work():
                return


@dataclass(frozen=True, slots=True, kw_only=True)
class Housekeeping:
    sessions: Sessions
    store: ObjectStore
    upload_endings: UploadEndings
    parts: Parts
    possession: Possession
    processing: Processing
    publications: Publications
    tag_deletion: TagDeletion

    @property
    def chores(self) -> tuple[Chore, ...]:
        """Each of its own, so that one that takes long or fails holds none of the others back."""
        return (
            Chore(name="expire_uploads", due=EVERY_MINUTE, work=self.upload_endings.expire),
            Chore(name="requeue_steps", due=EVERY_MINUTE, work=self.processing.requeue_stranded),
            Chore(name="settle_publications", due=EVERY_MINUTE, work=self.publications.sweep),
            Chore(name="requeue_unlinking", due=EVERY_MINUTE, work=self.tag_deletion.requeue_stranded),
            Chore(name="collect", due=EVERY_MINUTE, work=self.collect),
            Chore(name="prune_events", due=EVERY_TEN_MINUTES, work=self.prune_events),
            Chore(name="prune_job_log", due=EVERY_TEN_MINUTES, work=self.prune_job_log),
            Chore(name="forget_keys", due=EVERY_TEN_MINUTES, work=self.forget_keys),
            Chore(name="forget_challenges", due=EVERY_TEN_MINUTES, work=self.possession.forget),
        )

    async def run(self) -> None:
        """Do every chore now, one after the other. An exception ends that chore only."""
        for chore in self.chores:
            try:
                await chore.do()
            except Exception:
                log.warning("chore_failed", chore=chore.name, exc_info=True)

    async def collect(self, *, limit: int = 20) -> int:
        """Remove the objects of blobs that nobody needs; how many were due.

        The rows go first, then the objects, without a transaction meanwhile, then the outbox's row: a crash
        in between is done again. What can't be removed now waits, and holds nothing else back.
        """
        async with self.sessions.begin() as session:
            due = await lock_due(session, limit=limit)
            removals: list[tuple[UUID, str]] = []
            leased_until = utc_now() + REMOVAL_LEASE
            for row in sorted(due, key=lambda row: row.blob_id):
                if await forget_unneeded(session, row.blob_id):
                    row.not_before = leased_until
                    removals.append((row.blob_id, row.key))
                else:
                    await session.delete(row)
        for blob_id, key in removals:
            await self._remove(blob_id, key, leased_until)
        return len(due)

    async def _remove(self, blob_id: UUID, key: str, leased_until: datetime) -> None:
        try:
            for prefix in prefixes_of_blob(key):
                await self.parts.abort_all(prefix)
                await self.store.delete([entry.key async for entry in self.store.list(prefix)])
        except Exception:
            log.warning("objects_not_removed", blob=str(blob_id), exc_info=True)
            return
        async with self.sessions.begin() as session:
            await leave_outbox(session, blob_id, leased_until=leased_until)

    async def prune_events(self) -> int:
        async with self.sessions.begin() as session:
            return await prune_events(session, older_than=utc_now() - EVENT_RETENTION)

    async def prune_job_log(self) -> int:
        async with self.sessions.begin() as session:
            return await prune_job_log(session, older_than=utc_now() - JOB_LOG_RETENTION)

    async def forget_keys(self) -> int:
        async with self.sessions.begin() as session:
            return await forget_keys(session, older_than=utc_now() - KEY_RETENTION)
