"""A catalogue to find things in, written straight into the tables: always the same one.

100,000 media of 22 owners, 200 tags, 300,000 links. One owner has four in five of the media, twenty have 250
each, so that neither the average owner nor the average tag is like any real one.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from db.search import words_of

MEDIA = 100_000
TAGS = 200
LINKS = 300_000

#: Of the large owner's: on 30,000 media, on about 1,300, and on the 3 oldest.
COMMON_TAG, ORDINARY_TAG, RARE_TAG = "landscape", "tag-007", "heirloom"

#: In titles of every second media, of 7, and in the name of COMMON_TAG only.
COMMON_WORD, RARE_WORD, TAG_WORD = "view", "kingfisher", "landsc"

_SETTLE = "SET LOCAL synchronous_commit = off; SET LOCAL maintenance_work_mem = '256MB'"

#: 0 is the large owner, 1 the one in the middle, 2 to 21 the small ones.
_OWNERS = """
    INSERT INTO users (id, username, role, created_at)
    SELECT md5('owner' || n)::uuid, 'owner-' || n, CASE n WHEN 1 THEN 'ADMIN' ELSE 'EDITOR' END, now()
    FROM generate_series(0, 21) AS n
"""
#: One media each minute, in turn: of twenty 16 are the large owner's, 3 the middle one's, 1 a small one's.
#: `scatter` is a number below 1,000 that goes with nothing else.
_PLAN = """
    CREATE TEMPORARY TABLE plan ON COMMIT DROP AS
    SELECT n, md5('owner' || owner)::uuid AS owner_id, owner,
           row_number() OVER (PARTITION BY owner ORDER BY n) AS number,
           (hashint4(n)::bigint & 1048575) % 1000 AS scatter,
           timestamptz '2026-01-01Z' + n * interval '1 minute' AS created_at,
           overlay(overlay(md5('media' || n) PLACING lpad(to_hex(1767225600000 + n::bigint * 60000), 12, '0')
                           FROM 1 FOR 12) PLACING '7' FROM 13 FOR 1)::uuid AS media_id
    FROM (SELECT n, CASE WHEN n % 20 < 16 THEN 0 WHEN n % 20 < 19 THEN 1 ELSE 2 + n / 20 % 20 END AS owner
          FROM generate_series(1, 100000) AS n) AS turns
"""
_BLOBS = """
    INSERT INTO blobs (id, owner_id, key, size, created_at)
    SELECT md5('blob' || n)::uuid, owner_id, 'catalogue/' || n, 1000, created_at FROM plan
"""
#: Filenames and sizes come several times over; a change comes up to a month after the upload.
_MEDIA = """
    INSERT INTO media (id, owner_id, blob_id, version, kind, status, visibility, filename, mime_type, size,
                       sha256_verified, title, description, metadata, created_at, updated_at)
    SELECT media_id, owner_id, md5('blob' || n)::uuid, 1,
           CASE WHEN scatter % 100 < 85 THEN 'IMAGE' WHEN scatter % 100 < 93 THEN 'VIDEO'
                WHEN scatter % 100 < 96 THEN 'AUDIO' WHEN scatter % 100 < 99 THEN 'DOCUMENT' ELSE 'OTHER' END,
           CASE WHEN scatter < 920 THEN 'READY' WHEN scatter < 950 THEN 'FAILED'
                WHEN scatter < 980 THEN 'PROCESSING' ELSE 'UPLOADING' END,
           CASE WHEN scatter % 10 = 3 THEN 'PUBLIC' ELSE 'PRIVATE' END,
           format(CASE n % 3 WHEN 0 THEN 'IMG_%s.jpg' WHEN 1 THEN 'dsc%s.JPG' ELSE 'Été %s.heic' END,
                  to_char(n * 7 % 10000, 'FM0000')),
           'image/jpeg', 1000 + hashint4(n + 1)::bigint & 1048575, true,
           CASE WHEN owner = 0 AND number % 11000 = 5000 THEN format('A kingfisher at place %s', n)
                WHEN n % 2 = 0 THEN format('The view from place %s', n)
                WHEN n % 5 = 0 THEN format('Morning %s', n % 400) END,
           CASE WHEN n % 4 = 0 THEN 'Seen on a morning in May: hills, a river, and the town beyond it.' END,
           CASE WHEN n % 20 = 0 THEN jsonb_build_object('camera', jsonb_build_object('iso', n % 6400, 'maker',
                CASE n % 100 WHEN 0 THEN 'Rolleiflex' ELSE 'Leica' END)) ELSE '{}' END,
           created_at, created_at + scatter * interval '43 minutes'
    FROM plan ORDER BY n
"""
#: 0 to 119 are the large owner's, 120 to 159 the middle one's, two each the small ones'.
_TAGS = """
    INSERT INTO tags (id, owner_id, name, slug, created_at)
    SELECT md5('tag' || n)::uuid,
           md5('owner' || CASE WHEN n < 120 THEN 0 WHEN n < 160 THEN 1 ELSE 2 + (n - 160) / 2 END)::uuid,
           initcap(slug), slug, timestamptz '2026-01-01Z'
    FROM (SELECT n, CASE n WHEN 0 THEN 'landscape' WHEN 1 THEN 'heirloom'
                         ELSE 'tag-' || to_char(n % 120, 'FM000') END AS slug
          FROM generate_series(0, 199) AS n) AS named
"""
#: No tag comes twice on one media: 13 has no divisor in common with 118, nor with 40.
_LINKS = """
    INSERT INTO media_tags (media_id, tag_id)
    SELECT media_id, md5('tag' || tag)::uuid FROM (
        SELECT media_id, 0 AS tag FROM plan WHERE owner = 0 AND number % 8 < 3
        UNION ALL SELECT media_id, 1 FROM plan WHERE owner = 0 AND number <= 3
        UNION ALL SELECT media_id, 2 + (number * 7 + k * 13) % 118 FROM plan, generate_series(0, 2) AS k
        WHERE owner = 0 AND (k < 2 OR number <= 59997)
        UNION ALL SELECT media_id, 120 + (number * 7 + k * 13) % 40 FROM plan, generate_series(0, 2) AS k
        WHERE owner = 1
        UNION ALL SELECT media_id, 160 + (owner - 2) * 2 + number % 2 FROM plan WHERE owner > 1
    ) AS links
"""
_WORDS = """
    INSERT INTO media_search (media_id, words)
    SELECT media_id, array_to_tsvector(words) FROM spelled
"""


@dataclass(frozen=True, slots=True)
class Owners:
    """`middle` is an admin, the others are editors."""

    large: UUID
    middle: UUID
    small: UUID


async def fill(dsn: str) -> Owners:
    """Into an empty, migrated database; about 20 seconds, the statistics of the planner included."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(_SETTLE)
            for statement in (_OWNERS, _PLAN, _BLOBS):
                await connection.execute(statement)
            async with _indexed_afterwards(connection):
                await connection.execute(_MEDIA)
            for statement in (_TAGS, _LINKS):
                await connection.execute(statement)
            await connection.execute(
                "CREATE TEMPORARY TABLE spelled (media_id uuid, words text[]) ON COMMIT DROP"
            )
            rows = await connection.fetch("SELECT id, owner_id, filename, title, description FROM media")
            await connection.copy_records_to_table("spelled", records=_spelled(rows))
            await connection.execute(_WORDS)
        await connection.execute("VACUUM ANALYZE")
        ids = await connection.fetch(
            "SELECT id FROM users WHERE username ~ '^owner-[012]$' ORDER BY username"
        )
        return Owners(*(row["id"] for row in ids))
    finally:
        await connection.close()


@asynccontextmanager
async def _indexed_afterwards(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """The indexes of media are the same in the end, made in a fifth of the time."""
    indexes = await connection.fetch("""
        SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'media' AND indexname <> 'media_pkey'
    """)
    for index in indexes:
        await connection.execute(f'DROP INDEX "{index["indexname"]}"')
    yield
    for index in indexes:
        await connection.execute(index["indexdef"])


def _spelled(rows: list[asyncpg.Record]) -> Iterator[tuple[UUID, list[str]]]:
    for row in rows:
        texts = (row["filename"], row["title"], row["description"])
        yield row["id"], words_of(row["owner_id"], *texts)
