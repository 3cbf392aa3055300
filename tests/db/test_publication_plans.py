"""Looking for what is unsettled costs what the unsettled ones cost, however much is published."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from app.embedded_postgres import asyncpg_dsn
from db.models import utc_now
from db.publications import unsettled_media
from db.sessions import create_engine, create_sessions
from tests.db.plans import MODES, plans_of

#: Every second one is published, the others are private.
_MEDIA = """
    WITH numbers AS (SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS blob
                     FROM generate_series(1, $1::int) AS n),
    owner AS (INSERT INTO users (id, username, role, created_at)
              VALUES (gen_random_uuid(), gen_random_uuid()::text, 'EDITOR', now()) RETURNING id),
    blobs AS (INSERT INTO blobs (id, owner_id, key, size, created_at)
              SELECT blob, owner.id, blob::text, 1, now() FROM numbers, owner)
    INSERT INTO media (id, owner_id, blob_id, version, kind, status, visibility, filename, mime_type, size,
                       sha256_verified, created_at, updated_at)
    SELECT numbers.id, owner.id, blob, 1, 'IMAGE', 'READY',
           CASE n % 2 WHEN 0 THEN 'PUBLIC' ELSE 'PRIVATE' END, 'a.jpg', 'image/jpeg', 1, true, now(), now()
    FROM numbers, owner
"""
_SETTLE = """
    DELETE FROM publications;
    INSERT INTO publications (media_id, prefix, published_at, created_at)
    SELECT id, 'public/' || id, now(), now() FROM media WHERE visibility = 'PUBLIC';
    DELETE FROM publication_changes
"""
_UNSETTLE = """
    UPDATE publications SET published_at = NULL, created_at = now() - interval '1 hour'
    WHERE media_id IN (SELECT media_id FROM publications ORDER BY media_id LIMIT 2);
    UPDATE publications SET withdrawn_at = now() - interval '1 hour', created_at = now() - interval '1 hour'
    WHERE media_id IN (SELECT media_id FROM publications ORDER BY media_id DESC LIMIT 2);
    UPDATE media SET visibility = 'PUBLIC', version = version + 1
    WHERE id IN (SELECT id FROM media WHERE visibility = 'PRIVATE' LIMIT 3)
"""


async def first(session: AsyncSession) -> Sequence[UUID]:
    later = utc_now() + timedelta(minutes=1)
    return await unsettled_media(session, after=UUID(int=0), changed_before=later, limit=100)


@pytest.mark.parametrize("unsettled", [0, 7])
async def test_the_search_for_unsettled_media_costs_nothing_for_settled_ones(
    database_url: str, unsettled: int
) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    engine = create_engine(database_url)
    sessions = create_sessions(engine)
    costs: dict[str, list[int]] = {mode: [] for mode in MODES}
    try:
        for more in (400, 5_600):
            await connection.execute(_MEDIA.replace("$1", str(more)))
            await connection.execute(_SETTLE)
            await connection.execute("VACUUM")
            if unsettled:
                await connection.execute(_UNSETTLE)
            await connection.execute("VACUUM ANALYZE")
            async with sessions() as session:
                assert len(await first(session)) == unsettled
            for mode in MODES:
                [plan] = await plans_of(sessions, first, mode)
                assert "media" not in plan.scanned_whole
                costs[mode].append(plan.buffers)
    finally:
        await connection.close()
        await engine.dispose()
    for few, many in costs.values():
        assert many <= few + 4, costs
        assert many <= 40, costs
