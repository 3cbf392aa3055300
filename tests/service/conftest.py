"""Data directories that a private PostgreSQL can use, and services that leave nothing behind."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.postgres import make_reachable_directory
from tests.service import proc
from tests.service.client import Client
from tests.service.patience import until
from tests.service.service import END_SECONDS, Service


class StartService(Protocol):
    def __call__(
        self, data_dir: Path, *, command: str = ..., port: int | None = ..., **settings: str
    ) -> Service: ...


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: whole processes, read in /proc")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(on_linux)


async def _make_used_directory(data_dir: Path) -> None:
    migration = Service(data_dir, command="migrate")
    migration.launch()
    assert await migration.ends() == 0, migration.complaint()


@pytest.fixture(scope="session")
def used_directory() -> Iterator[Path]:
    """A data directory that was used once: copying one is quicker than another initdb."""
    made = make_reachable_directory()
    asyncio.run(_make_used_directory(made / "var"))
    yield made / "var"
    shutil.rmtree(made)


@contextmanager
def copied_directory(used: Path, name: str = "var") -> Iterator[Path]:
    """A data directory of its own, in a directory that goes with it."""
    parent = make_reachable_directory()
    try:
        subprocess.run(["cp", "-a", used, parent / name], check=True)
        yield parent / name
    finally:
        shutil.rmtree(parent)


async def until_unused(data_dir: Path) -> None:
    """Whoever used the directory has gone, PostgreSQL and its supervisor as well."""
    await until(lambda: not proc.users_of(data_dir), seconds=END_SECONDS, why=str(proc.users_of(data_dir)))


@pytest.fixture
def data_dir(used_directory: Path, data_dir_name: str) -> Iterator[Path]:
    with copied_directory(used_directory, data_dir_name) as data_dir:
        yield data_dir


@pytest.fixture
def other_data_dir(used_directory: Path) -> Iterator[Path]:
    with copied_directory(used_directory) as data_dir:
        yield data_dir


@pytest.fixture
def data_dir_name() -> str:
    """For a test to say otherwise, by its parameters."""
    return "var"


@pytest.fixture
async def start_service(data_dir: Path) -> AsyncIterator[StartService]:
    """Makes services and ends in the end those that still run; after that nothing of them may be left."""
    made: list[Service] = []

    def make(data_dir: Path, *, command: str = "serve", port: int | None = None, **settings: str) -> Service:
        made.append(Service(data_dir, command=command, port=port, settings=settings))
        return made[-1]

    yield make
    for service in made:
        service.end()
    for used in {service.data_dir for service in made}:
        await until_unused(used)


@pytest.fixture
async def service(data_dir: Path, start_service: StartService) -> Service:
    """A service that is ready."""
    service = start_service(data_dir)
    await service.start()
    return service


@pytest.fixture
async def client(service: Service) -> AsyncIterator[Client]:
    async with Client(service.origin) as client:
        yield client
