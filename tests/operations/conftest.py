"""Services, data directories and archives for the tests of operations."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operations.commands import Operations
from tests.postgres import make_reachable_directory, remove_directory
from tests.service.conftest import client, data_dir, data_dir_name, service, start_service, used_directory

__all__ = ["client", "data_dir", "data_dir_name", "service", "start_service", "used_directory"]


@pytest.fixture(autouse=True)
def operations() -> Iterator[Operations]:
    """Commands, and a directory of their own that PostgreSQL's user can pass through.

    Always, so that it comes before the services that use it, and goes after them.
    """
    directory = make_reachable_directory()
    try:
        yield Operations(directory)
    finally:
        remove_directory(directory)


@pytest.fixture
def archive(operations: Operations) -> Path:
    return operations.directory / "backup.tar"
