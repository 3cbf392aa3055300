"""Node with the packages of the lock."""

from pathlib import Path

import pytest

from tests.javascript.node import installed


@pytest.fixture(scope="session")
def node() -> Path:
    return installed()
