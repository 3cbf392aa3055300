"""Node with the packages of the lock, and services of their own."""

from pathlib import Path

import pytest

from tests.javascript.node import installed
from tests.service.conftest import (
    client,
    data_dir,
    data_dir_name,
    service,
    start_service,
    used_directory,
)

__all__ = ["client", "data_dir", "data_dir_name", "service", "start_service", "used_directory"]


@pytest.fixture(scope="session")
def node() -> Path:
    return installed()
