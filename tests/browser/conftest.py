"""One Chromium for the room, and for each test a service that nobody has used."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.api.service import Service, running_service
from tests.browser.chromium import Visitor, running_chromium, visitor
from tests.postgres import create_database


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with running_chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def service(postgres_server: str, template: str, tmp_path: Path) -> AsyncIterator[Service]:
    async with (
        create_database(postgres_server, template) as url,
        running_service(url, tmp_path) as service,
    ):
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def visit(chromium: Browser, service: Service) -> AsyncIterator[Visitor]:
    """Somebody for whom nothing may go wrong and who may leave the service for nothing."""
    async with visitor(chromium, service.address) as person:
        yield person
        assert person.foreign == []
        assert person.complaints == []
