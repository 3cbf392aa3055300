"""The log's epoch follows the database that the log lives in."""

from sqlalchemy import update
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
