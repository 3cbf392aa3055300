"""What a service can expect of the pool."""

import asyncio

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.embedded_postgres import asyncpg_dsn
from db.sessions import create_engine


async def _backend(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def test_connections_that_the_server_ended_are_replaced_without_an_error(database_url: str) -> None:
    engine = create_engine(database_url)
    before = {await asyncio.create_task(_backend(engine)) for _ in range(3)}
    admin = await asyncpg.connect(asyncpg_dsn(database_url))
    await admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await admin.close()
    await asyncio.sleep(0.05)
    after = set(await asyncio.gather(*(_backend(engine) for _ in range(3))))
    await engine.dispose()
    assert before.isdisjoint(after)


async def test_an_exception_does_not_tell_what_a_client_sent(database_url: str) -> None:
    engine = create_engine(database_url)
    caught = ""
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1 / (length(:words) - 6)"), {"words": "secret"})
    except Exception as error:
        caught = str(error)
    await engine.dispose()
    assert "division by zero" in caught
    assert "secret" not in caught
