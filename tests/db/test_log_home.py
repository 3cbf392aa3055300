"""In another database than before, the log has a new epoch and no public copy is taken for made."""

from sqlalchemy import text, update
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.events import log_state
from db.home import settle_home
from db.models import EventLog, Publication, new_id, utc_now
from db.sessions import create_engine, create_sessions


async def test_a_log_that_came_to_another_database_gets_a_new_epoch_once(database_url: str) -> None:
    engine = create_engine(database_url)
    sessions = create_sessions(engine)

    async def settled(session: AsyncSession) -> object:
        await settle_home(session)
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
        await settle_home(session)
        before = (await log_state(session)).epoch
    async with engine.begin() as connection:  # what `pg_restore --clean` does
        await connection.execute(text("CREATE TABLE restored (LIKE event_log INCLUDING ALL)"))
        await connection.execute(text("INSERT INTO restored SELECT * FROM event_log"))
        await connection.execute(text("DROP TABLE event_log"))
        await connection.execute(text("ALTER TABLE restored RENAME TO event_log"))
    async with sessions.begin() as session:
        await settle_home(session)
        assert (await log_state(session)).epoch != before
    await engine.dispose()


async def test_in_another_database_no_public_copy_is_taken_for_made(database_url: str) -> None:
    """A dump brings the rows without the copies, whichever program restored it."""
    engine = create_engine(database_url)
    sessions = create_sessions(engine)
    shown, dead = new_id(), new_id()

    async def seen() -> dict[object, tuple[bool, bool]]:
        async with sessions() as session:
            return {
                row.media_id: (row.published_at is not None, row.withdrawn_at is not None)
                for row in await session.exec(select(Publication))
            }

    async with sessions.begin() as session:
        await settle_home(session)
        session.add(Publication(media_id=shown, prefix="public/a", published_at=utc_now()))
        session.add(
            Publication(media_id=dead, prefix="public/b", published_at=utc_now(), withdrawn_at=utc_now())
        )
    async with sessions.begin() as session:
        await settle_home(session)
    assert await seen() == {shown: (True, False), dead: (True, True)}
    async with sessions.begin() as session:
        await session.exec(update(EventLog).values(home="where the dump was made"))
        await settle_home(session)
    assert await seen() == {shown: (False, False), dead: (False, True)}
    await engine.dispose()
