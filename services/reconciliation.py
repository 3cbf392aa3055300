"""The store and the rows held against each other: objects that no row knows, and rows without their object.

Both are read in the order of their keys and merged, so memory stays bounded. What differs then may have
changed meanwhile: each difference is looked at again before it is told, and under a lock before anything is
deleted. Nothing younger than the grace is touched, for it may be on its way into a row.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from db.known_bytes import forget_bytes, forget_made
from db.models import utc_now
from db.publications import lock_publication, renditions_of_media
from db.reconciliation import (
    NamedObject,
    Role,
    awaited_keys,
    doubt_publication,
    is_leaving,
    keys_of_blob,
    lock_media_of,
    media_of_prefix,
    named_objects,
    still_needed,
)
from db.sessions import Sessions
from services.keys import blob_of_key, prefix_of_copy, public_key
from services.publications import queue_publication
from storage.objects import ObjectInfo, ObjectStore, OpenMultipart

log = structlog.get_logger()

#: Differences that are looked at again together.
BATCH = 100

MAX_EXAMPLES = 5


class Difference(StrEnum):
    #: Objects beneath a media's keys or public prefixes that no row knows, or that were given up.
    ORPHAN = "orphan"
    ORPHAN_COPY = "orphanCopy"
    #: Parts of an upload that nobody awaits any more.
    ORPHAN_MULTIPART = "orphanMultipart"
    #: Objects under keys that this service does not make: somebody else's.
    FOREIGN = "foreign"
    MISSING_ORIGINAL = "missingOriginal"
    MISSING_RENDITION = "missingRendition"
    MISSING_COPY = "missingCopy"


_MISSING = {
    Role.ORIGINAL: Difference.MISSING_ORIGINAL,
    Role.RENDITION: Difference.MISSING_RENDITION,
    Role.COPY: Difference.MISSING_COPY,
}


#: What `apply` does something about.
MENDABLE = (
    Difference.ORPHAN,
    Difference.ORPHAN_COPY,
    Difference.ORPHAN_MULTIPART,
    Difference.MISSING_COPY,
)

#: What only its bytes, brought back or sent again, put right.
LOST = (Difference.MISSING_ORIGINAL, Difference.MISSING_RENDITION)


@dataclass(slots=True)
class Tally:
    """`byte_size` is 0 for what the store tells no size of; `mended` counts what was deleted or made due."""

    count: int = 0
    byte_size: int = 0
    mended: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, key: str, byte_size: int, *, mended: bool) -> None:
        self.count += 1
        self.byte_size += byte_size
        self.mended += mended
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(key)


@dataclass(slots=True)
class Report:
    """`young` counts what no row knows and what is left alone because it is younger than the grace."""

    objects: int = 0
    young: int = 0
    found: dict[Difference, Tally] = field(default_factory=lambda: {each: Tally() for each in Difference})

    @property
    def left(self) -> int:
        """Differences that still are, but for what is somebody else's."""
        return sum(
            tally.count - tally.mended
            for difference, tally in self.found.items()
            if difference is not Difference.FOREIGN
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """`grace` is the collector's: longer than anything is on its way."""

    sessions: Sessions
    store: ObjectStore
    grace: timedelta

    async def run(self, *, apply: bool) -> Report:
        """Hold both against each other; with `apply`, delete orphans and have missing copies made again.

        Missing originals and renditions are told, and with `apply` not known any more: the same bytes can be
        sent again, and everything is made of them again. Raises the store's errors and the database's, having
        done what came before; run again, it goes on.
        """
        report = Report()
        incomplete: set[str] = set()
        batch: list[ObjectInfo | NamedObject] = []
        async with aclosing(self._differences(report)) as differences:
            async for difference in differences:
                batch.append(difference)
                if len(batch) == BATCH:
                    incomplete |= await self._settle(batch, report, apply=apply)
                    batch.clear()
        incomplete |= await self._settle(batch, report, apply=apply)
        if apply:
            for prefix in incomplete:
                await self._make_again(prefix)
        async for multipart in self.store.list_multiparts(""):
            await self._settle_multipart(multipart, report, apply=apply)
        return report

    async def _differences(self, report: Report) -> AsyncGenerator[ObjectInfo | NamedObject]:
        """Objects that no row names to keep, and needed rows whose object was not listed, by key."""
        async with aclosing(named_objects(self.sessions)) as rows:
            row = await anext(rows, None)
            async for entry in self.store.list(""):
                report.objects += 1
                while row is not None and row.key < entry.key:
                    if row.needed:
                        yield row
                    row = await anext(rows, None)
                is_kept = False
                while row is not None and row.key == entry.key:
                    is_kept = is_kept or row.kept
                    row = await anext(rows, None)
                if not is_kept:
                    yield entry
            while row is not None:
                if row.needed:
                    yield row
                row = await anext(rows, None)

    async def _settle(
        self, batch: Sequence[ObjectInfo | NamedObject], report: Report, *, apply: bool
    ) -> set[str]:
        """The prefixes of publications that lack copies come back."""
        rows = [each for each in batch if isinstance(each, NamedObject)]
        missing = await self._missing(rows) if rows else []
        for row in missing:
            mended = apply and _MISSING[row.role] in MENDABLE
            report.found[_MISSING[row.role]].add(row.key, row.byte_size, mended=mended)
            if apply:
                await self._forget(row)
        for entry in batch:
            if isinstance(entry, ObjectInfo):
                await self._settle_unknown(entry, report, apply=apply)
        return {prefix for row in missing if (prefix := prefix_of_copy(row.key)) is not None}

    async def _missing(self, rows: Sequence[NamedObject]) -> list[NamedObject]:
        """Those that are still needed and really not there."""
        keys = [row.key for row in rows]
        async with self.sessions() as session:
            needed = await still_needed(
                session,
                keys,
                blob_ids=[id for key in keys if (id := blob_of_key(key))],
                prefixes=[prefix for key in keys if (prefix := prefix_of_copy(key))],
            )
        return [row for row in rows if row.key in needed and await self.store.head(row.key) is None]

    async def _forget(self, row: NamedObject) -> None:
        """Let nobody be referred to what is missing: who sends the same bytes is taken at their word."""
        blob_id = blob_of_key(row.key)
        if blob_id is None or row.role is Role.COPY:
            return
        log.warning("stored_bytes_lost", key=row.key, role=row.role)
        async with self.sessions.begin() as session:
            if row.role is Role.ORIGINAL:
                await forget_bytes(session, blob_id)
            else:
                await forget_made(session, blob_id)

    async def _make_again(self, prefix: str) -> None:
        async with self.sessions.begin() as session:
            if media_id := await doubt_publication(session, prefix):
                await queue_publication(session, media_id)

    async def _settle_unknown(self, entry: ObjectInfo, report: Report, *, apply: bool) -> None:
        blob_id, prefix = blob_of_key(entry.key), prefix_of_copy(entry.key)
        if blob_id is None and prefix is None:
            report.found[Difference.FOREIGN].add(entry.key, entry.byte_size, mended=False)
            return
        if self._is_young(entry.modified_at):
            report.young += 1
            return
        async with self.sessions.begin() as session:
            if blob_id is not None and await _is_known_of_blob(session, blob_id, entry.key):
                return
            if prefix is not None and await _is_known_copy(session, prefix, entry.key):
                return
            # Written anew since it was listed, it is young. The rows are held until it is deleted.
            stored = await self.store.head(entry.key)
            if stored is None or self._is_young(stored.modified_at):
                return
            if apply:
                log.info("orphan_deleted", key=entry.key, bytes=entry.byte_size)
                await self.store.delete([entry.key])
        difference = Difference.ORPHAN if prefix is None else Difference.ORPHAN_COPY
        report.found[difference].add(entry.key, entry.byte_size, mended=apply)

    async def _settle_multipart(self, multipart: OpenMultipart, report: Report, *, apply: bool) -> None:
        if blob_of_key(multipart.key) is None:
            report.found[Difference.FOREIGN].add(multipart.key, 0, mended=False)
            return
        if self._is_young(multipart.started_at):
            report.young += 1
            return
        async with self.sessions() as session:
            if await awaited_keys(session, [multipart.key]):
                return
        if apply:
            await self.store.abort_multipart(multipart.key, multipart.upload_id)
        report.found[Difference.ORPHAN_MULTIPART].add(multipart.key, 0, mended=apply)

    def _is_young(self, at: datetime) -> bool:
        return at > utc_now() - self.grace


async def _is_known_of_blob(session: AsyncSession, blob_id: UUID, key: str) -> bool:
    """Whether somebody needs or removes the object, or may be about to write it.

    Processing writes renditions before their rows: nobody begins to while the media are held.
    """
    return (
        await lock_media_of(session, blob_id)
        or key in await keys_of_blob(session, blob_id)
        or await is_leaving(session, blob_id)
        or bool(await awaited_keys(session, [key]))
    )


async def _is_known_copy(session: AsyncSession, prefix: str, key: str) -> bool:
    """Whether the copy is its publication's, or settling will decide on it. The publication is held."""
    media_id = await media_of_prefix(session, prefix)
    if media_id is None:  # a prefix is recorded before the first copy, and never used again
        return False
    publication = await lock_publication(session, media_id)
    if publication is None or publication.prefix != prefix:
        return False
    if publication.published_at is None or publication.withdrawn_at is not None:
        return True
    return key in {public_key(prefix, made.key) for made in await renditions_of_media(session, media_id)}
