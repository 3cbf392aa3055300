"""One service for the whole room, a user of their own for each test, and what the service logs."""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import structlog

from app.logs import configure_logs
from tests.api.client import Client, Json
from tests.api.house import House, Opening, opening
from tests.api.service import Service, running_service
from tests.postgres import create_database
from tests.storage_settings import STORES, storage_settings


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def service(
    postgres_server: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Shared: nothing may be done to it that other tests notice."""
    async with (
        create_database(postgres_server, template) as url,
        running_service(url, tmp_path_factory.mktemp("service")) as service,
    ):
        yield service


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def http(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.address, timeout=20, trust_env=False) as http:
        yield http


@pytest_asyncio.fixture(loop_scope="session")
async def client(service: Service, http: httpx.AsyncClient) -> Client:
    """Somebody who has nothing yet."""
    return Client(service=service, user=await service.add_user(), http=http)


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(service: Service, http: httpx.AsyncClient) -> Client:
    """Somebody else."""
    return Client(service=service, user=await service.add_user(), http=http)


class Log:
    """What the service wrote, as its operator gets it: one JSON object a line."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    def lines(self, event: str) -> list[Json]:
        found = [json.loads(line) for line in self.text.splitlines()]
        return [line for line in found if line["event"] == event]

    def clear(self) -> None:
        self._stream.seek(0)
        self._stream.truncate()


@pytest.fixture(scope="package")
def log() -> Iterator[Log]:
    """The application's own configuration, into memory; undone in the end."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    with redirect_stdout(stream):
        configure_logs("INFO")
    structlog.configure(cache_logger_on_first_use=False)
    yield Log(stream)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def logged(log: Log) -> Log:
    """What is logged from now on."""
    log.clear()
    return log


@dataclass(frozen=True, kw_only=True)
class OwnService:
    """A service that a test may break or fill, and its local user."""

    service: Service
    client: Client


@pytest_asyncio.fixture(loop_scope="session")
async def own(postgres_server: str, template: str, tmp_path: Path) -> AsyncIterator[OwnService]:
    async with (
        create_database(postgres_server, template) as url,
        running_service(url, tmp_path) as service,
        httpx.AsyncClient(base_url=service.address, timeout=20, trust_env=False) as http,
    ):
        client = Client(service=service, user=await service.add_user(), http=http)
        yield OwnService(service=service, client=client)


@pytest_asyncio.fixture(loop_scope="session")
async def house(postgres_server: str, template: str, tmp_path: Path) -> AsyncIterator[Opening]:
    """Opens a service with these settings, for the length of the test."""
    async with opening(postgres_server, template, tmp_path) as open:
        yield open


@pytest_asyncio.fixture(loop_scope="session", params=STORES)
async def anywhere_house(request: pytest.FixtureRequest, house: Opening) -> AsyncIterator[Opening]:
    """As `house`, before either store; opened once."""
    async with storage_settings(request.param, request) as storage:

        async def open(**settings: Any) -> House:
            return await house(**storage, **settings)

        yield open
