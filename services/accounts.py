"""Users. Until accounts exist there is one: the person at this machine, who may do everything."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from db.models import Role, User, new_id, utc_now
from db.sessions import Sessions

LOCAL_USERNAME = "local"


async def ensure_local_user(sessions: Sessions) -> User:
    """The local user's row, created on the first start."""
    async with sessions.begin() as session:
        statement = insert(User).values(
            id=new_id(), username=LOCAL_USERNAME, role=Role.ADMIN, created_at=utc_now()
        )
        await session.exec(statement.on_conflict_do_nothing(index_elements=["username"]))
        return (await session.exec(select(User).where(col(User.username) == LOCAL_USERNAME))).one()
