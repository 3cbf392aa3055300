"""One service for each module of tests."""

from collections.abc import Iterator

import pytest

from tests.client.service import Service, running_service


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running_service() as service:
        yield service
