"""The daily look for differences between store and rows: told in the log and by a metric, never put right.

What `./darkroom reconcile --apply` deletes is gone: somebody has to want it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from prometheus_client import Gauge

from app.runtime import Runtime
from db.sessions import Sessions, create_engine, create_sessions
from services.housekeeping import Chore
from services.reconciliation import Difference, Reconciliation, Report
from storage.errors import StorageError
from storage.objects import ObjectStore

log = structlog.get_logger()

#: UTC; not on the hour, when everything else begins.
EVERY_DAY = "17 3 * * *"

DIFFERENCES = Gauge(
    "darkroom_reconciliation_differences",
    "Differences between the object store and the database, as the last daily look found them.",
    ["difference"],
)
LOOKED_AT = Gauge("darkroom_reconciliation_timestamp_seconds", "When the last daily look ended (Unix time).")


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyReconciliation:
    """`grace` is the collector's."""

    database_url: str
    store: ObjectStore
    grace: timedelta

    @property
    def chore(self) -> Chore:
        return Chore(name="reconcile", due=EVERY_DAY, work=self.look)

    async def look(self) -> int:
        """One dry run, in bounded memory; a store that is away is looked at the next day. Always 0."""
        try:
            async with _unhurried(self.database_url) as sessions:
                reconciliation = Reconciliation(sessions=sessions, store=self.store, grace=self.grace)
                report = await reconciliation.run(apply=False)
        except StorageError as error:
            log.warning("reconciliation_skipped", error=repr(error))
        else:
            _tell(report)
        return 0


def daily_reconciliation(runtime: Runtime) -> DailyReconciliation:
    return DailyReconciliation(
        database_url=runtime.database_url,
        store=runtime.store,
        grace=runtime.services.uploads.limits.collection_grace,
    )


@asynccontextmanager
async def _unhurried(database_url: str) -> AsyncIterator[Sessions]:
    """On an engine of their own: to sort millions of keys may take its time."""
    engine = create_engine(database_url, command_timeout=None)
    try:
        yield create_sessions(engine)
    finally:
        await engine.dispose()


def _tell(report: Report) -> None:
    counts = {difference.value: report.found[difference].count for difference in Difference}
    for difference, count in counts.items():
        DIFFERENCES.labels(difference).set(count)
    LOOKED_AT.set_to_current_time()
    tell = log.warning if report.left else log.info
    tell("reconciled", objects=report.objects, young=report.young, left=report.left, **counts)
