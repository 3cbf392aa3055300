"""From 0003, with what a service of that version has written: what media hold, and what is known of bytes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from db.migrate import migrate
from db.models import utc_now
from db.sessions import create_engine
from tests.db.test_migrations import upgrade_to
from tests.postgres import create_database

DETAILS = '{"width": 640, "height": 480}'


@dataclass(frozen=True, kw_only=True)
class Row:
    """A media of 0003 with its upload, blob and steps, and what has to come of it."""

    owner: str
    size: int
    status: str
    upload: str = "COMPLETED"
    failure: str | None = None
    recipes: tuple[str, ...] = ()
    is_verified: bool = True
    is_held: bool = True
    learned: str | None = None


ROWS = {
    "ready": Row(owner="anna", size=1, status="READY", recipes=("image-1", "image-1"), learned="image-1"),
    "ready by two recipes": Row(owner="anna", size=2, status="READY", recipes=("image-0", "image-1")),
    "ready, never verified": Row(
        owner="anna", size=4, status="READY", recipes=("image-1", "image-1"), is_verified=False
    ),
    "processing": Row(owner="anna", size=8, status="PROCESSING", recipes=("image-1", "image-1")),
    "pending": Row(owner="anna", size=16, status="UPLOADING", upload="PENDING", is_verified=False),
    "corrupt": Row(
        owner="bert", size=32, status="FAILED", failure="CORRUPT_INPUT", recipes=("image-1", "image-1")
    ),
    "cancelled": Row(owner="bert", size=64, status="FAILED", failure="CANCELLED", recipes=("image-1",)),
    "of another size": Row(
        owner="bert", size=128, status="FAILED", failure="SIZE_MISMATCH", is_verified=False, is_held=False
    ),
    "of another hash": Row(
        owner="bert", size=256, status="FAILED", failure="CHECKSUM_MISMATCH", is_verified=False, is_held=False
    ),
    "aborted": Row(
        owner="bert",
        size=512,
        status="FAILED",
        upload="ABORTED",
        failure="CANCELLED",
        is_verified=False,
        is_held=False,
    ),
    "expired": Row(
        owner="anna",
        size=1024,
        status="FAILED",
        upload="EXPIRED",
        failure="UPLOAD_EXPIRED",
        is_verified=False,
        is_held=False,
    ),
}

OWNERS = ("anna", "bert", "cora")

INSERTS = (
    """INSERT INTO blobs (id, owner_id, key, size, sha256, verified_at, created_at)
       SELECT :id, users.id, 'blob/' || CAST(:name AS text), :size, CAST(:sha256 AS text),
              CASE WHEN CAST(:sha256 AS text) IS NOT NULL THEN now() END, now()
       FROM users WHERE username = :owner""",
    f"""INSERT INTO media (id, owner_id, blob_id, version, kind, status, visibility, filename, mime_type,
                           detected_mime_type, size, sha256_verified, failure_code, details, created_at,
                           updated_at)
        SELECT :id, users.id, :id, 3, 'IMAGE', CAST(:status AS text), 'PRIVATE', CAST(:name AS text),
               'image/png', 'image/jpeg', :size,
               CAST(:sha256 AS text) IS NOT NULL, CAST(:failure AS text), '{DETAILS}', now(), now()
        FROM users WHERE username = :owner""",
    """INSERT INTO uploads (id, media_id, key, status, expires_at, created_at)
       VALUES (:id, :id, 'blob/' || CAST(:name AS text), CAST(:upload AS text), now(), now())""",
    """INSERT INTO processing_steps (id, media_id, recipe, name, depends_on, status, attempt,
                                     uncounted_attempts, updated_at)
       SELECT gen_random_uuid(), :id, step.recipe, 'step-' || step.number, '{}', 'SUCCEEDED', 1, 0, now()
       FROM unnest(CAST(:recipes AS text[])) WITH ORDINALITY AS step (recipe, number)""",
)


@pytest.fixture
async def upgraded(postgres_server: str) -> AsyncIterator[AsyncEngine]:
    """A database that was of the revision 0003, with these rows in it."""
    async with create_database(postgres_server) as url:
        engine = create_engine(url)
        await upgrade_to(engine, "0003")
        async with engine.begin() as connection:
            for owner in OWNERS:
                await connection.execute(
                    text("INSERT INTO users VALUES (gen_random_uuid(), :name, 'EDITOR', now())"),
                    {"name": owner},
                )
            for name, row in ROWS.items():
                for statement in INSERTS:
                    wanted = text(statement)
                    values = _values(name, row)
                    await connection.execute(wanted, {each: values[each] for each in wanted.compile().params})
        await migrate(engine)
        yield engine
        await engine.dispose()


IDS: dict[str, UUID] = {name: uuid4() for name in ROWS}


def _values(name: str, row: Row) -> dict[str, Any]:
    return {
        "id": IDS[name],
        "name": name,
        "owner": row.owner,
        "size": row.size,
        "status": row.status,
        "upload": row.upload,
        "failure": row.failure,
        "recipes": list(row.recipes),
        "sha256": "0" * 64 if row.is_verified else None,
    }


async def _fetch(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def test_what_media_hold_is_counted(upgraded: AsyncEngine) -> None:
    held = dict(await _fetch(upgraded, "SELECT filename, held_bytes FROM media"))
    assert held == {name: row.size if row.is_held else 0 for name, row in ROWS.items()}
    used = dict(await _fetch(upgraded, "SELECT username, used_bytes FROM users"))
    assert used == {"anna": 1 + 2 + 4 + 8 + 16, "bert": 32 + 64, "cora": 0}


async def test_it_goes_on_being_counted(upgraded: AsyncEngine) -> None:
    async with upgraded.begin() as connection:
        await connection.execute(
            text("UPDATE media SET held_bytes = 0, version = version + 1 WHERE filename = 'corrupt'")
        )
        await connection.execute(text("DELETE FROM uploads WHERE key = 'blob/pending'"))
        await connection.execute(text("DELETE FROM media WHERE filename = 'pending'"))
    used = dict(await _fetch(upgraded, "SELECT username, used_bytes FROM users"))
    assert used == {"anna": 1 + 2 + 4 + 8, "bert": 64, "cora": 0}


async def test_what_was_given_up_goes_to_the_collector_after_its_grace(upgraded: AsyncEngine) -> None:
    rows = await _fetch(upgraded, "SELECT blob_id, key, not_before FROM deletion_outbox")
    assert {(blob_id, key) for blob_id, key, _ in rows} == {
        (IDS[name], f"blob/{name}") for name, row in ROWS.items() if not row.is_held
    }
    for _, _, not_before in rows:
        assert timedelta(hours=2.9) < not_before - utc_now() < timedelta(hours=3.1)


async def test_what_one_recipe_made_of_verified_bytes_is_learned(upgraded: AsyncEngine) -> None:
    rows = await _fetch(upgraded, "SELECT id, recipe, facts, is_shared FROM blobs")
    facts = {
        "kind": "IMAGE",
        "detected_mime_type": "image/jpeg",
        "details": {"width": 640, "height": 480},
    }
    assert {id: (recipe, learned) for id, recipe, learned, _ in rows} == {
        IDS[name]: (row.learned, facts if row.learned else None) for name, row in ROWS.items()
    }
    assert not any(is_shared for *_, is_shared in rows)


async def test_no_media_was_changed_by_it(upgraded: AsyncEngine) -> None:
    """Neither a version nor a line: streams have nothing to tell."""
    assert {row for (row,) in await _fetch(upgraded, "SELECT version FROM media")} == {3}
    assert await _fetch(upgraded, "SELECT id FROM media_events") == []
    assert await _fetch(upgraded, "SELECT media_id FROM publication_changes") == []
    uploads = await _fetch(upgraded, "SELECT is_stored, part_size, multipart_id, block_sha256s FROM uploads")
    assert set(uploads) == {(False, None, None, None)}
    assert set(await _fetch(upgraded, "SELECT failure_expected, failure_actual FROM media")) == {(None, None)}
