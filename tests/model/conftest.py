"""A database for tests that are no coroutines."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.postgres import create_database


@pytest_asyncio.fixture(loop_scope="session")
async def database(postgres_server: str, template: str) -> AsyncIterator[str]:
    async with create_database(postgres_server, template) as url:
        yield url
