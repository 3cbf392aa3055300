"""The migrations make what the models say, from nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel, select

from app.embedded_postgres import asyncpg_dsn
from db.media import delete_media, lock_media
from db.media_lists import MediaCriteria, MediaOrder, MediaScope, Stretch, first_by_tag, page_media
from db.migrate import (
    DatabaseInUseError,
    WrongRevisionError,
    _config,
    check_revision,
    expected_revision,
    migrate,
)
from db.models import Tag, Upload, User, utc_now
from db.publications import unsettled_media
from db.sessions import create_engine, create_sessions
from db.tags import tags_by_slug, unlink_tag
from tests.postgres import create_database


def is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    """The queue's tables are its own library's."""
    return kind != "table" or not str(name).startswith("pgqueuer")


def differences(connection: Connection) -> list[Any]:
    options = {"include_name": is_ours, "compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, SQLModel.metadata))


async def test_the_migrated_database_is_what_the_models_say(database_url: str) -> None:
    engine = create_engine(database_url)
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await engine.dispose()


async def test_an_empty_database_can_be_migrated_and_migrated_again(postgres_server: str) -> None:
    async with create_database(postgres_server) as url:
        engine = create_engine(url)
        try:
            with pytest.raises(WrongRevisionError, match=r"revision none .* needs"):
                await check_revision(engine)
            for _ in range(2):
                await migrate(engine)
            await check_revision(engine)
            async with engine.connect() as connection:
                tables = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
            assert tables >= {str(name) for name in SQLModel.metadata.tables} | {
                "pgqueuer",
                "alembic_version",
            }
        finally:
            await engine.dispose()
    assert expected_revision()


# --- from 0002, with what a service of that version has written ---------------------------------------

#: More than one batch of the migration.
MEDIA = 1_203

ROWS = f"""
    INSERT INTO users (id, username, role, created_at)
    SELECT md5('owner' || n)::uuid, 'owner-' || n, 'EDITOR', now() FROM generate_series(0, 1) AS n;
    INSERT INTO blobs (id, owner_id, key, size, created_at)
    SELECT md5('blob' || n)::uuid, md5('owner' || n % 2)::uuid, 'blob/' || n, 1, now()
    FROM generate_series(1, {MEDIA}) AS n;
    INSERT INTO media (id, owner_id, blob_id, version, kind, status, visibility, filename, mime_type, size,
                       sha256_verified, title, description, created_at, updated_at)
    SELECT md5('media' || n)::uuid, md5('owner' || n % 2)::uuid, md5('blob' || n)::uuid, 1, 'IMAGE',
           CASE n % 3 WHEN 0 THEN 'FAILED' ELSE 'READY' END,
           CASE n % 5 WHEN 0 THEN 'PUBLIC' ELSE 'PRIVATE' END,
           'IMG_' || n || '.jpg', 'image/jpeg', 1, true, CASE n WHEN 1203 THEN 'A Kingfisher' END,
           CASE n WHEN 1 THEN 'beside the Fluß' END,
           '2026-01-01Z'::timestamptz + n * interval '1 minute', now()
    FROM generate_series(1, {MEDIA}) AS n;
    INSERT INTO uploads (id, media_id, key, status, expires_at, created_at)
    SELECT gen_random_uuid(), md5('media' || n)::uuid, 'blob/' || n, 'COMPLETED', now(), now()
    FROM generate_series(1, {MEDIA}) AS n;
    INSERT INTO processing_steps (id, media_id, recipe, name, depends_on, status, attempt, handed_back,
                                  updated_at)
    SELECT gen_random_uuid(), md5('media' || n)::uuid, 'image-1', 'inspect', '{{}}', 'SUCCEEDED', 3, 2, now()
    FROM generate_series(1, {MEDIA}) AS n;
    INSERT INTO tags (id, owner_id, name, slug, created_at)
    SELECT md5('tag' || slug)::uuid, md5('owner1')::uuid, initcap(slug), slug, now()
    FROM unnest(ARRAY['bird', 'river', 'unused']) AS slug;
    INSERT INTO media_tags (media_id, tag_id)
    SELECT md5('media' || n)::uuid, md5('tagbird')::uuid FROM generate_series(1, {MEDIA}, 2) AS n
    UNION ALL SELECT md5('media' || n)::uuid, md5('tagriver')::uuid FROM unnest(ARRAY[1, 601, 1203]) AS n
"""


async def upgrade_to(engine: AsyncEngine, revision: str) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), revision))


@pytest.fixture
async def at_0002(postgres_server: str) -> AsyncIterator[AsyncEngine]:
    """A database of the revision 0002 with rows in it."""
    async with create_database(postgres_server) as url:
        engine = create_engine(url)
        await upgrade_to(engine, "0002")
        await run(engine, ROWS)
        yield engine
        await engine.dispose()


async def run(engine: AsyncEngine, statements: str) -> None:
    connection = await asyncpg.connect(asyncpg_dsn(engine.url.render_as_string(hide_password=False)))
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def test_rows_of_0002_are_found_counted_and_published_after_the_upgrade(at_0002: AsyncEngine) -> None:
    await migrate(at_0002)
    sessions = create_sessions(at_0002)
    everything = Stretch(limit=2 * MEDIA)
    async with sessions.begin() as session:
        users = {user.username: user for user in (await session.exec(select(User))).all()}
        owner, other = users["owner-1"], users["owner-0"]

        async def listed(viewer: User, **criteria: Any) -> list[int]:
            order = criteria.pop("order", MediaOrder.CREATED_AT_ASC)
            rows = await page_media(session, viewer, MediaCriteria(**criteria), order, everything)
            return [int(media.filename.removeprefix("IMG_").removesuffix(".jpg")) for media in rows]

        of_owner, public = range(1, MEDIA + 1, 2), range(5, MEDIA + 1, 5)
        assert await listed(owner) == list(of_owner)
        assert await listed(owner, words=("kingfisher",)) == [1203]
        assert await listed(owner, words=("fluss",)) == [1]
        assert await listed(owner, words=("img", "601")) == [601]
        assert await listed(other, words=("kingfisher",)) == []
        assert len(await listed(other, words=("img",))) == MEDIA // 2
        assert await listed(owner, words=("riv",)) == [1, 601, 1203]
        assert await listed(other, scope=MediaScope.PUBLIC) == list(public)

        tags = {tag.slug: tag for tag in await tags_by_slug(session, owner.id, ["bird", "river", "unused"])}
        assert {slug: tag.media_count for slug, tag in tags.items()} == {
            "bird": (MEDIA + 1) // 2,
            "river": 3,
            "unused": 0,
        }
        assert await listed(owner, tags_all=frozenset({"river"})) == [1, 601, 1203]
        newest = await first_by_tag(session, owner, [tags["bird"].id, tags["river"].id], 2)
        assert [media.filename for media in newest[tags["bird"].id]] == ["IMG_1203.jpg", "IMG_1201.jpg"]
        assert [media.filename for media in newest[tags["river"].id]] == ["IMG_1203.jpg", "IMG_601.jpg"]

        unsettled = await unsettled_media(
            session, after=UUID(int=0), changed_before=utc_now(), limit=2 * MEDIA
        )
        assert len(unsettled) == sum(number % 3 > 0 for number in public)
        assert len((await session.exec(select(Upload))).all()) == MEDIA


async def test_rows_of_0002_go_on_being_counted_after_the_upgrade(at_0002: AsyncEngine) -> None:
    await migrate(at_0002)
    sessions = create_sessions(at_0002)
    async with sessions.begin() as session:
        owner = (await session.exec(select(User).where(User.username == "owner-1"))).one()
        [bird, river] = await tags_by_slug(session, owner.id, ["bird", "river"])
        [kingfisher] = await page_media(
            session,
            owner,
            MediaCriteria(words=("kingfisher",)),
            MediaOrder.CREATED_AT_ASC,
            Stretch(limit=2),
        )
        await unlink_tag(session, bird.id, [kingfisher.id])
        locked = await lock_media(session, owner.id, [kingfisher.id])
        await delete_media(session, locked[kingfisher.id])
    async with sessions() as session:
        counts = {tag.slug: tag.media_count for tag in (await session.exec(select(Tag))).all()}
        assert counts == {"bird": (MEDIA + 1) // 2 - 1, "river": 2, "unused": 0}
        assert await session.get(Tag, river.id) is not None


# --- beside running processes -------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.migrate.ALONE_PATIENCE_S", 0.3)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["darkroom", "darkroom doorbell"])
async def test_what_a_running_process_uses_is_not_migrated(at_0002: AsyncEngine, name: str) -> None:
    dsn = asyncpg_dsn(at_0002.url.render_as_string(hide_password=False))
    running = await asyncpg.connect(dsn, server_settings={"application_name": name})
    with pytest.raises(DatabaseInUseError, match=r"revision 0002 .* Stop every process"):
        await migrate(at_0002)
    assert await running.fetchval("SELECT version_num FROM alembic_version") == "0002"
    await running.close()
    await migrate(at_0002)
    await check_revision(at_0002)


async def test_one_that_is_just_ending_is_waited_for(at_0002: AsyncEngine) -> None:
    dsn = asyncpg_dsn(at_0002.url.render_as_string(hide_password=False))
    ending = await asyncpg.connect(dsn, server_settings={"application_name": "darkroom"})
    migrating = asyncio.create_task(migrate(at_0002))
    await asyncio.sleep(0.3)
    assert not migrating.done()
    await ending.close()
    await migrating
    await check_revision(at_0002)


@pytest.mark.usefixtures("impatient")
async def test_running_processes_are_no_matter_where_nothing_is_due(database_url: str) -> None:
    running, engine = create_engine(database_url), create_engine(database_url)
    async with running.connect():
        await migrate(engine)
    for each in (running, engine):
        await each.dispose()


async def test_processes_that_start_together_migrate_once(at_0002: AsyncEngine) -> None:
    """None takes another, who waits for it, for one that is running."""
    engines = [create_engine(at_0002.url.render_as_string(hide_password=False)) for _ in range(4)]
    await at_0002.dispose()
    await asyncio.gather(*map(migrate, engines))
    for engine in engines:
        await check_revision(engine)
        await engine.dispose()


async def test_the_slugs_of_tags_get_the_marks_that_they_had_lost(postgres_server: str) -> None:
    """Where another tag has the right slug already, the old one stays."""
    tags = [("दिन", "द-न"), ("İzmir", "i-zmir"), ("istanbul", "istanbul"), ("İstanbul", "i-stanbul")]
    async with create_database(postgres_server) as url:
        engine = create_engine(url)
        try:
            await upgrade_to(engine, "0002")
            async with engine.begin() as connection:
                await connection.execute(
                    text("INSERT INTO users VALUES (gen_random_uuid(), 'a', 'EDITOR', now())")
                )
                for name, slug in tags:
                    await connection.execute(
                        text("""INSERT INTO tags (id, owner_id, name, slug, created_at)
                                SELECT gen_random_uuid(), id, :name, :slug, now() FROM users"""),
                        {"name": name, "slug": slug},
                    )
            await migrate(engine)
            async with engine.connect() as connection:
                rows = (await connection.execute(text("SELECT name, slug FROM tags"))).all()
        finally:
            await engine.dispose()
    assert {row.name: row.slug for row in rows} == {
        "दिन": "दिन",
        "İzmir": "izmir",
        "istanbul": "istanbul",
        "İstanbul": "i-stanbul",
    }
