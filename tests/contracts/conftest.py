"""The store that a contract sentence is run on: once on every backend."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contracts.object_store import BACKENDS, RunningStore
from tests.ministack import ministack

__all__ = ["ministack"]


@pytest.fixture(params=list(BACKENDS))
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningStore]:
    backend = BACKENDS[request.param]
    endpoint = request.getfixturevalue(backend.server) if backend.server else ""
    async with backend.open(tmp_path, endpoint) as running:
        for marker in request.node.iter_markers("needs"):
            for power in marker.args:
                if not getattr(running, power):
                    pytest.skip(f"{request.param} can't show it: it has no {power}")
        yield running
