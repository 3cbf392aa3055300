"""Engines and sessions. One service call or loader batch opens one session, which is one transaction."""

from sqlalchemy import event
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

#: Together with the doorbell's and the worker's own connections a process stays below 20.
POOL_SIZE = 8
POOL_OVERFLOW = 6

#: A statement that takes longer than this is a defect, not patience.
STATEMENT_TIMEOUT_MS = 30_000

#: For a server that is frozen or out of reach, and can't time out a statement itself.
COMMAND_TIMEOUT_SECONDS = 40

#: A transaction that nobody goes on with (a stopped process, a lost network) holds its locks no longer.
IDLE_TRANSACTION_TIMEOUT_MS = 60_000

Sessions = async_sessionmaker[AsyncSession]


def create_engine(url: str, *, command_timeout: float | None = COMMAND_TIMEOUT_SECONDS) -> AsyncEngine:
    """Open no connection yet. `url` names the asyncpg driver: `postgresql+asyncpg://…`."""
    engine = create_async_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        hide_parameters=True,  # an exception's text goes to the log, what clients sent does not
        connect_args={
            "server_settings": {
                "application_name": "darkroom",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_TIMEOUT_MS),
                "timezone": "UTC",
            },
            "timeout": 10,
            "command_timeout": command_timeout,
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: AsyncAdapt_asyncpg_connection, *_: object) -> None:
    """Let the pool replace a connection whose server has gone: a restart costs no failed request.

    asyncpg knows without asking; SQLAlchemy's own check would send three messages at each checkout.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def create_sessions(engine: AsyncEngine) -> Sessions:
    """Rows stay readable after the commit: services hand them out detached."""
    return async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
