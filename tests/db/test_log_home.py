"""The log's epoch follows the database that the log lives in."""

from sqlalchemy import text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from db.events import log_state, settle_log
from db.models import EventLog
from db.sessions import create_engine, create_sessions


async def test_a_log_that_came_to_another_database_gets_a_new_epoch_once(database_url: str) -> None:
    engine = create_engine(database_url)
    sessions = create_sessions(engine)

    async def settled(session: AsyncSession) -> object:
        await settle_log(session)
        return (await log_state(session)).epoch

    async with sessions.begin() as session:
        first = await settled(session)
        assert await settled(session) == first
        await session.exec(update(EventLog).values(home="where the dump was made"))
        second = await settled(session)
        assert second != first
        assert await settled(session) == second
    await engine.dispose()


async def test_a_dump_restored_into_the_same_database_gets_a_new_epoch(database_url: str) -> None:
    engine = create_engine(database_url)
    sessions = create_sessions(engine)
    async with sessions.begin() as session:
        await settle_log(session)
        before = (await log_state(session)).epoch
    async with engine.begin() as connection:  # what `pg_restore --clean` does
        await connection.execute(text("CREATE TABLE restored (LIKE event_log INCLUDING ALL)"))
        await connection.execute(text("INSERT INTO restored SELECT * FROM event_log"))
        await connection.execute(text("DROP TABLE event_log"))
        await connection.execute(text("ALTER TABLE restored RENAME TO event_log"))
    async with sessions.begin() as session:
        await settle_log(session)
        assert (await log_state(session)).epoch != before
    await engine.dispose()
