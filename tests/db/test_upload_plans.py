"""Blocks and awaited uploads are found by an index, however many others there are."""

import hashlib
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from db.known_bytes import find_blocks, find_known
from db.models import Role, User, new_id
from db.sessions import create_engine, create_sessions
from db.uploads import find_awaited
from tests.db.plans import plans_of

pytestmark = pytest.mark.slow

BLOBS, BLOCKS = 1_000, 100

FILL = (
    """INSERT INTO blobs (id, owner_id, key, size, sha256, verified_at, is_shared, created_at)
       SELECT gen_random_uuid(), :owner, 'key/' || n, 500000000, lpad(to_hex(n), 64, '0'), now(), false, now()
       FROM generate_series(1, :blobs) n""",
    """INSERT INTO media (id, owner_id, blob_id, kind, status, version, visibility, filename, mime_type, size,
           held_bytes, sha256_verified, metadata, created_at, updated_at)
       SELECT gen_random_uuid(), :owner, id, 'IMAGE', 'UPLOADING', 1, 'PRIVATE', 'a.jpg', 'image/jpeg', size,
           size, false, '{}', now(), now() FROM blobs""",
    """INSERT INTO uploads (id, media_id, key, status, expires_at, created_at)
       SELECT gen_random_uuid(), id, 'upload/' || id, 'PENDING', now() + interval '1 day', now()
       FROM media""",
    """INSERT INTO blob_blocks (blob_id, owner_id, number, sha256)
       SELECT id, :owner, n, sha256(convert_to(key || '/' || n, 'UTF8'))
       FROM blobs, generate_series(1, :blocks) n""",
    "ANALYZE blobs",
    "ANALYZE media",
    "ANALYZE uploads",
    "ANALYZE blob_blocks",
)


async def test_one_owners_bytes_are_found_by_index(database_url: str) -> None:
    engine = create_engine(database_url)
    try:
        sessions = create_sessions(engine)
        owner = User(username=f"user-{new_id()}", role=Role.EDITOR)
        async with sessions.begin() as session:
            session.add(owner)
        async with engine.begin() as connection:
            for statement in FILL:
                bound = {"owner": owner.id, "blobs": BLOBS, "blocks": BLOCKS}
                asked = {name: value for name, value in bound.items() if f":{name}" in statement}
                await connection.execute(text(statement), asked)
        few = [hashlib.sha256(f"key/{n}/7".encode()).digest() for n in range(1, 51)]
        known = [(f"{7:064x}", 500_000_000)]
        expected: tuple[tuple[Callable[[AsyncSession], Awaitable[object]], str], ...] = (
            (lambda session: find_blocks(session, owner.id, few), "blob_blocks_owner_sha256"),
            (
                lambda session: find_known(session, owner.id, known),
                "blobs_owner_sha256",
            ),
            (lambda session: find_awaited(session, "upload/none"), "uploads_pending_key"),
        )
        for call, index in expected:
            [plan] = await plans_of(sessions, call)
            assert index in plan.indexes, plan.indexes
            assert "blob_blocks" not in plan.scanned_whole
        many = [
            hashlib.sha256(f"key/{n}/{m}".encode()).digest() for n in range(1, 101) for m in range(1, 101)
        ]
        async with sessions() as session:
            found = await find_blocks(session, owner.id, many)
        assert len(found) == len(many)
    finally:
        await engine.dispose()
