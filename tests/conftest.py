"""Fixtures of every room."""

import os
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url


@pytest.fixture
async def database_url() -> AsyncIterator[str]:
    """An empty database of its own, as an SQLAlchemy URL."""
    server = os.environ.get("DARKROOM_TEST_SERVER")
    if server is None:
        pytest.skip("DARKROOM_TEST_SERVER names no PostgreSQL server")
    url = make_url(server)
    name = f"darkroom_test_{uuid4().hex}"
    admin = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield url.set(database=name).render_as_string(hide_password=False)
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()
