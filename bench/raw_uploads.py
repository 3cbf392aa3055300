"""Requesting and finalizing uploads without Darkroom: raw ASGI, asyncpg with prepared statements, orjson.

`python -m bench.raw_uploads PORT DSN OWNER OBJECTS` writes the same rows in the same transactions under the
same locks as Darkroom, and signs the same addresses. A limit and no proposal: nothing that comes is checked.
"""

import asyncio
import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson
import uvloop

from bench.raw_endpoint import serve
from db.models import new_id
from db.search import words_of
from pipeline.recipe import RECIPE
from storage.disk_signing import DiskSigner

LOCK_OWNER = "SELECT used_bytes, quota_bytes FROM users WHERE id = $1 FOR NO KEY UPDATE"
BLOBS = """
    INSERT INTO blobs (id, owner_id, key, size, created_at)
    SELECT new.id, $3, key, size, $4
    FROM unnest($1::uuid[], $2::text[], $5::bigint[]) AS new (id, key, size)
"""
MEDIA = """
    INSERT INTO media (id, owner_id, blob_id, version, kind, status, visibility, filename, mime_type, size,
                       held_bytes, sha256, sha256_verified, created_at, updated_at)
    SELECT new.id, $7, blob_id, 1, 'IMAGE', 'UPLOADING', 'PRIVATE', filename, mime_type, size,
           size, sha256, false, $8, $8
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[])
      AS new (id, blob_id, filename, mime_type, size, sha256)
"""
CREATED = """
    INSERT INTO media_events (media_id, owner_id, version, type, status, kind, visibility, tags, at)
    SELECT media_id, $2, 1, 'CREATED', 'UPLOADING', 'IMAGE', 'PRIVATE', '{}', $3
    FROM unnest($1::uuid[]) AS media_id
"""
WORDS = """
    INSERT INTO media_search (media_id, words)
    SELECT media_id, array_to_tsvector(string_to_array(words, ' '))
    FROM unnest($1::uuid[], $2::text[]) AS said (media_id, words)
"""
UPLOADS = """
    INSERT INTO uploads (id, media_id, key, status, expires_at, created_at)
    SELECT new.id, media_id, key, 'PENDING', $4, $5
    FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS new (id, media_id, key)
"""

FIND = """
    SELECT media.id, media.owner_id, media.blob_id, media.size, uploads.key
    FROM uploads JOIN media ON media.id = media_id WHERE uploads.id = $1 AND media.owner_id = $2
"""
LOCK_MEDIA = "SELECT status, version FROM media WHERE id = $1 FOR UPDATE"
READ_UPLOAD = "SELECT status, expires_at FROM uploads WHERE media_id = $1"
HOLD_TAGS = "SELECT pg_advisory_xact_lock_shared($1, $2)"
READ_TAGS = "SELECT slug FROM media_tags JOIN tags ON tags.id = tag_id WHERE media_id = $1"
BLOB_STORED = "UPDATE blobs SET etag = $2 WHERE id = $1"
UPLOAD_ENDED = "UPDATE uploads SET status = 'COMPLETED' WHERE media_id = $1"
MEDIA_MOVED = "UPDATE media SET status = 'PROCESSING', version = version + 1, updated_at = $2 WHERE id = $1"
CHANGED = """
    INSERT INTO media_events (media_id, owner_id, version, type, status, previous_status, kind, previous_kind,
                              visibility, previous_visibility, tags, previous_tags, at)
    VALUES ($1, $2, 2, 'STATUS_CHANGED', 'PROCESSING', 'UPLOADING', 'IMAGE', 'IMAGE',
            'PRIVATE', 'PRIVATE', '{}', '{}', $3)
"""
JOB = """
    WITH job AS (
        INSERT INTO pgqueuer (priority, entrypoint, payload, status)
        VALUES (0, 'processing_step', $1, 'queued') RETURNING id, entrypoint, priority
    ), logged AS (
        INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
        SELECT id, 'queued', entrypoint, priority FROM job
    )
    SELECT id FROM job
"""
STEP = """
    INSERT INTO processing_steps (id, media_id, recipe, name, depends_on, status, attempt, uncounted_attempts,
                                  job_id, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, $8)
"""

TAGS_LOCK = 0x74616773

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


async def answer(signer: DiskSigner, objects: Path, pool: Pool, owner_id: UUID, body: bytes) -> bytes:
    variables = orjson.loads(body)["variables"]
    match variables:
        case {"input": request}:
            [payload] = await request_uploads(signer, pool, owner_id, [request])
            data: dict[str, Any] = {"requestUpload": payload}
        case {"inputs": requests}:
            data = {"requestUploads": await request_uploads(signer, pool, owner_id, requests)}
        case _:
            data = {"finalizeUpload": await finalize(objects, pool, owner_id, variables["id"])}
    return orjson.dumps({"data": data})


async def request_uploads(
    signer: DiskSigner, pool: Pool, owner_id: UUID, requests: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    media_ids, blob_ids, upload_ids = ([new_id() for _ in requests] for _ in range(3))
    keys = [f"{owner_id}/{now:%Y/%m/%d}/{blob_id}.jpg" for blob_id in blob_ids]
    claims = [[request[name] for request in requests] for name in ("filename", "mimeType", "size", "sha256")]
    words = [" ".join(words_of(owner_id, filename)) for filename in claims[0]]
    async with pool.acquire() as connection, connection.transaction():
        await connection.fetchrow(LOCK_OWNER, owner_id)
        await connection.execute(BLOBS, blob_ids, keys, owner_id, now, claims[2])
        await connection.execute(MEDIA, media_ids, blob_ids, *claims, owner_id, now)
        await connection.execute(CREATED, media_ids, owner_id, now)
        await connection.execute(WORDS, media_ids, words)
        await connection.execute(UPLOADS, upload_ids, media_ids, keys, now + timedelta(hours=24), now)
    return [_requested(signer, *made) for made in zip(media_ids, upload_ids, keys, requests, strict=True)]


def _requested(
    signer: DiskSigner, media_id: UUID, upload_id: UUID, key: str, request: dict[str, Any]
) -> dict[str, Any]:
    put = signer.sign_put(
        key,
        content_type=request["mimeType"],
        byte_size=request["size"],
        sha256=request["sha256"],
        md5=None,
        expires_in=timedelta(minutes=5),
    )
    target = {
        "method": "PUT",
        "url": put.url,
        "headers": [{"name": name, "value": value} for name, value in put.headers.items()],
        "expiresAt": put.expires_at,
    }
    return {
        "media": {"id": _global_id("Media", media_id)},
        "upload": {"id": _global_id("Upload", upload_id), "key": key, "target": target},
        "userErrors": [],
    }


async def finalize(objects: Path, pool: Pool, owner_id: UUID, upload_id: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    row_id = UUID(b64decode(upload_id).decode().partition(":")[2])
    async with pool.acquire() as connection:
        media = await connection.fetchrow(FIND, row_id, owner_id)
        if media is None:
            raise LookupError(upload_id)
        stored = await asyncio.to_thread(os.stat, objects / media["key"])
        async with connection.transaction():
            await connection.fetchrow(LOCK_MEDIA, media["id"])
            await connection.fetchrow(READ_UPLOAD, media["id"])
            await connection.fetch(HOLD_TAGS, TAGS_LOCK, int.from_bytes(owner_id.bytes[-4:], signed=True))
            await connection.fetch(READ_TAGS, media["id"])
            await connection.execute(BLOB_STORED, media["blob_id"], f"{stored.st_mtime_ns:x}")
            await connection.execute(UPLOAD_ENDED, media["id"])
            await connection.execute(MEDIA_MOVED, media["id"], now)
            await connection.execute(CHANGED, media["id"], owner_id, now)
            await _start_steps(connection, media["id"], now)
    changed = {"id": _global_id("Media", media["id"]), "version": 2, "status": "PROCESSING"}
    return {"media": changed, "userErrors": []}


async def _start_steps(connection: Connection, media_id: UUID, now: datetime) -> None:
    first, second = new_id(), new_id()
    job_id = await connection.fetchval(JOB, orjson.dumps({"step_id": str(first), "attempt": 0}))
    await connection.executemany(
        STEP,
        [
            (first, media_id, RECIPE, "inspect", [], "QUEUED", job_id, now),
            (second, media_id, RECIPE, "renditions", ["inspect"], "PENDING", None, now),
        ],
    )


def _global_id(type_name: str, id: UUID) -> str:
    return b64encode(f"{type_name}:{id}".encode()).decode()


def main(port: str, dsn: str, owner_id: str, objects: str) -> None:
    signer = DiskSigner(
        base_url=f"http://127.0.0.1:{port}/objects", secret=b"any" * 11, clock=partial(datetime.now, UTC)
    )
    handle = partial(answer, signer, Path(objects))
    uvloop.run(serve(int(port), dsn, UUID(owner_id), handle))


if __name__ == "__main__":
    main(*sys.argv[1:])
