"""The migrations make what the models say, from nothing."""

from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlmodel import SQLModel

import db.models  # noqa: F401  (fills the metadata)
from db.migrate import WrongRevisionError, _config, check_revision, expected_revision, migrate
from db.sessions import create_engine
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


async def test_the_slugs_of_tags_get_the_marks_that_they_had_lost(postgres_server: str) -> None:
    """Where another tag has the right slug already, the old one stays."""
    tags = [("दिन", "द-न"), ("İzmir", "i-zmir"), ("istanbul", "istanbul"), ("İstanbul", "i-stanbul")]
    async with create_database(postgres_server) as url:
        engine = create_engine(url)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(lambda sync: command.upgrade(_config(sync), "0002"))
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
