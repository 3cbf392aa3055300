"""Writers as rough as production's, and the judgement of what a reader of the log received.

Statements go straight to asyncpg: the writers should be faster than what they test.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
from sqlalchemy import make_url

from db.models import Blob, Media, MediaKind, MediaStatus, Role, User, new_id
from db.sessions import Sessions

_CHANGE = """
    WITH changed AS (
        UPDATE media SET version = version + 1, updated_at = now() WHERE id = $1
        RETURNING id, owner_id, version, status, kind, visibility
    )
    SELECT * FROM changed
"""

_LOG = """
    INSERT INTO media_events (media_id, owner_id, version, type, status, previous_status, kind,
                              previous_kind, visibility, previous_visibility, tags, previous_tags, at)
    VALUES ($1, $2, $3, 'UPDATED', $4, $4, $5, $5, $6, $6, '{}', '{}', now())
"""


async def add_user(sessions: Sessions) -> User:
    async with sessions() as session, session.begin():
        user = User(username=f"owner-{new_id()}", role=Role.EDITOR)
        session.add(user)
    return user


async def add_owner(sessions: Sessions) -> UUID:
    return (await add_user(sessions)).id


async def add_blob(sessions: Sessions, owner_id: UUID) -> UUID:
    async with sessions() as session, session.begin():
        blob = Blob(owner_id=owner_id, key=f"{owner_id}/{new_id()}", size=1)
        session.add(blob)
    return blob.id


async def media_row(
    sessions: Sessions, owner_id: UUID, *, status: MediaStatus = MediaStatus.UPLOADING
) -> Media:
    """A media that is not in the database yet."""
    return Media(
        owner_id=owner_id,
        blob_id=await add_blob(sessions, owner_id),
        kind=MediaKind.IMAGE,
        status=status,
        filename="cat.jpg",
        mime_type="image/jpeg",
        size=1,
    )


async def add_library(sessions: Sessions, count: int) -> list[UUID]:
    """Media at version 1, without any line in the log."""
    owner_id = await add_owner(sessions)
    rows = [await media_row(sessions, owner_id) for _ in range(count)]
    async with sessions() as session, session.begin():
        session.add_all(rows)
    return [row.id for row in rows]


async def connect(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return await asyncpg.connect(dsn)


async def change(connection: "asyncpg.Connection[asyncpg.Record]", media_id: UUID) -> None:
    """One change of one media and its line, in the caller's transaction."""
    row = await connection.fetchrow(_CHANGE, media_id)
    assert row is not None
    await connection.execute(_LOG, *row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """`writers` × `changes` on `media_ids`, one transaction in three on two media; the last media's only
    change is made first and committed when all others are done.
    """

    url: str
    media_ids: Sequence[UUID]
    writers: int = 8
    changes: int = 2_000

    async def run(self) -> int:
        """Write everything; the number of changes."""
        *shared, parked_id = self.media_ids
        parked = await connect(self.url)
        try:
            async with parked.transaction():
                await change(parked, parked_id)
                await asyncio.gather(*(self._write(shared, seed) for seed in range(self.writers)))
        finally:
            await parked.close()
        return self.writers * self.changes + 1

    async def _write(self, media_ids: Sequence[UUID], seed: int) -> None:
        chance = random.Random(seed)
        connection = await connect(self.url)
        try:
            left = self.changes
            while left:
                # Locks are taken in the order of ids, like everywhere.
                chosen = sorted(chance.sample(media_ids, 2 if left > 1 and chance.random() < 1 / 3 else 1))
                async with connection.transaction():
                    for media_id in chosen:
                        await change(connection, media_id)
                left -= len(chosen)
        finally:
            await connection.close()


@dataclass(slots=True)
class Received:
    """What one reader was given, media by media, in the order of arrival."""

    versions: dict[UUID, list[int]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0

    def add(self, media_id: UUID, version: int) -> None:
        self.versions[media_id].append(version)
        self.count += 1

    def missing(self, written: int) -> int:
        return written - sum(len(set(versions)) for versions in self.versions.values())

    @property
    def out_of_order(self) -> int:
        """Arrivals that aren't above every version before them: the clients' rule drops these."""
        return sum(_not_rising(versions) for versions in self.versions.values())

    @property
    def without_a_step(self) -> list[UUID]:
        """The media whose versions were not 2, 3, 4, …"""
        return [m for m, versions in self.versions.items() if versions != list(range(2, len(versions) + 2))]


def _not_rising(versions: Iterable[int]) -> int:
    last, dropped = 0, 0
    for version in versions:
        dropped += version <= last
        last = max(last, version)
    return dropped
