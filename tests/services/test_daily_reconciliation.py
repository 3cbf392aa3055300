"""The daily look: it tells what differs, changes nothing, and is left out while the store is away."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from croniter import croniter
from prometheus_client import REGISTRY

from app.daily_reconciliation import DailyReconciliation
from db.models import User, new_id, utc_now
from db.sessions import Sessions
from services.keys import original_key
from storage.disk import DiskStore
from storage.errors import StorageUnavailableError
from storage.objects import ObjectInfo
from tests.services.damaged_store import DamagedStore, StoreWithMultiparts
from tests.services.test_reconciliation import GRACE
from tests.services.waiting_uploads import owner as owner
from tests.services.waiting_uploads import sessions as sessions


class AwayStore(DiskStore):
    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        raise StorageUnavailableError


def differences(name: str) -> float | None:
    return REGISTRY.get_sample_value("darkroom_reconciliation_differences", {"difference": name})


async def test_what_differs_is_told_and_left_alone(
    database_url: str, sessions: Sessions, owner: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = StoreWithMultiparts(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    store.open_multiparts = []
    damaged = DamagedStore(sessions=sessions, store=store, owner=owner, root=tmp_path)
    key = original_key(owner.id, new_id(), "image/jpeg", utc_now())
    await damaged.put(key)
    daily = DailyReconciliation(database_url=database_url, store=store, grace=GRACE)
    assert await daily.look() == 0
    assert differences("orphan") == 1
    assert await store.head(key) is not None
    told = capsys.readouterr().out
    assert "reconciled" in told
    assert key not in told
    await store.delete([key])
    await daily.look()
    assert differences("orphan") == 0


async def test_a_store_that_is_away_is_looked_at_another_day(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = AwayStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    daily = DailyReconciliation(database_url=database_url, store=store, grace=GRACE)
    assert await daily.look() == 0
    assert "reconciliation_skipped" in capsys.readouterr().out


def test_it_is_due_once_a_day(tmp_path: Path) -> None:
    store = AwayStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    due = DailyReconciliation(database_url="", store=store, grace=GRACE).chore.due
    ticks = croniter(due, start_time=utc_now())
    first, second = ticks.get_next(), ticks.get_next()
    assert second - first == 24 * 3600
