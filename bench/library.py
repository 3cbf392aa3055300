"""A library to page through, written straight into the tables: always the same one."""

import asyncpg

TAG_COUNT = 40

_TAGS = """
    INSERT INTO tags (id, owner_id, name, slug, created_at)
    SELECT gen_random_uuid(), $1::uuid, format('Tag %s', to_char(n, 'FM00')),
           format('tag-%s', to_char(n, 'FM00')), now()
    FROM generate_series(0, $2::int - 1) AS n
"""
_BLOBS = """
    INSERT INTO blobs (id, owner_id, key, size, created_at)
    SELECT md5('blob' || n)::uuid, $1::uuid, format('%s/bench/%s.jpg', $1::uuid, n),
           2000000 + n, now() - n * interval '1 minute'
    FROM generate_series(1, $2::int) AS n
"""
#: Nine in ten are READY. `hashint4` scatters, so that status and tags don't go together.
_MEDIA = """
    INSERT INTO media (id, owner_id, blob_id, version, kind, status, visibility, filename, mime_type, size,
                       sha256_verified, title, description, created_at, updated_at)
    SELECT md5('media' || n)::uuid, $1::uuid, md5('blob' || n)::uuid, 4, 'IMAGE',
           CASE WHEN hashint4(n)::bigint & 1023 < 921 THEN 'READY' ELSE 'PROCESSING' END,
           'PRIVATE', format('IMG_%s.jpg', n), 'image/jpeg', 2000000 + n, true,
           format('The view from place %s', n),
           format('Seen from place %s on a morning in May: hills, a river, and the town beyond it.', n),
           now() - n * interval '1 minute', now() - n * interval '1 minute'
    FROM generate_series(1, $2::int) AS n
"""
#: Two to four tags each. 13 and 40 have no common divisor: no tag comes twice on one media.
_MEDIA_TAGS = """
    INSERT INTO media_tags (media_id, tag_id)
    SELECT md5('media' || n)::uuid, tags.id
    FROM generate_series(1, $2::int) AS n, generate_series(0, 1 + n % 3) AS k, tags
    WHERE tags.owner_id = $1::uuid AND tags.slug = format('tag-%s', to_char((n * 7 + k * 13) % 40, 'FM00'))
"""


async def seed(dsn: str, owner_id: str, media_count: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(_TAGS, owner_id, TAG_COUNT)
            for statement in (_BLOBS, _MEDIA, _MEDIA_TAGS):
                await connection.execute(statement, owner_id, media_count)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
