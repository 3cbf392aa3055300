"""A catalogue of 100,000 media, filled once for all tests that only read it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio
from sqlmodel import select

from app.embedded_postgres import asyncpg_dsn
from bench.catalogue import fill
from db.models import User
from db.sessions import Sessions, create_engine, create_sessions
from tests.postgres import create_database


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """`large` owns four in five of the media, `small` 250; `admin` sees all."""

    sessions: Sessions
    large: User
    admin: User
    small: User


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def catalogue(postgres_server: str, template: str) -> AsyncIterator[Catalogue]:
    async with create_database(postgres_server, template) as url:
        owners = await fill(asyncpg_dsn(url))
        engine = create_engine(url)
        sessions = create_sessions(engine)
        async with sessions() as session:
            users = {user.id: user for user in (await session.exec(select(User))).all()}
        yield Catalogue(
            sessions=sessions,
            large=users[owners.large],
            admin=users[owners.middle],
            small=users[owners.small],
        )
        await engine.dispose()
