"""Fixtures of every room: a private PostgreSQL for the session, a migrated database for each test."""

import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from db.migrate import migrate
from db.sessions import create_engine
from tests.ministack import ministack
from tests.postgres import create_database, migrated_template, postgres_server

__all__ = ["ministack", "postgres_server"]


def pytest_configure() -> None:
    """What a shell starts in the background is deaf to Ctrl-C, and so would be all that the tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


async def _migrate(url: str) -> None:
    engine = create_engine(url)
    try:
        await migrate(engine)
    finally:
        await engine.dispose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template(postgres_server: str) -> str:
    return await migrated_template(postgres_server, _migrate)


@pytest.fixture
async def database_url(postgres_server: str, template: str) -> AsyncIterator[str]:
    """A migrated database of its own, as an SQLAlchemy URL."""
    async with create_database(postgres_server, template) as url:
        yield url
