"""The store that a contract sentence is run on: once on every backend."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contracts.backends import BACKENDS
from tests.contracts.object_store import RunningStore
from tests.moto_server import moto_server

__all__ = ["moto_server"]


@pytest.fixture(params=list(BACKENDS))
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningStore]:
    backend = BACKENDS[request.param]
    needed = {power for marker in request.node.iter_markers("needs") for power in marker.args}
    if missing := needed & backend.lacks:
        pytest.skip(f"{request.param} can't show it: it has no {', '.join(sorted(missing))}")
    endpoint = request.getfixturevalue(backend.server) if backend.server else ""
    async with backend.open(tmp_path, endpoint) as running:
        yield running
