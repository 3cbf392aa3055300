"""The worker: PgQueuer delivers jobs, most of them processing steps, and says which chores are due."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import structlog
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from app.daily_reconciliation import daily_reconciliation
from app.embedded_postgres import asyncpg_dsn
from app.runtime import Runtime
from app.schedules import doing_chores
from services.processing_steps import STEP_ENTRYPOINT
from services.publications import PUBLICATION_ENTRYPOINT
from services.tag_deletion import UNLINK_ENTRYPOINT
from storage.disk import DiskStore
from storage.errors import StorageError

log = structlog.get_logger()

#: A lost worker's job is delivered again after this long, and at most one poll.
HEARTBEAT_TIMEOUT = timedelta(seconds=10)

#: The net beneath LISTEN: a lost notification costs this much.
POLL = timedelta(seconds=5)

#: A stopping worker lets its steps run on for this long before it hands them back.
DRAIN_SECONDS = 5.0

#: Handing back takes milliseconds, unless the database does not answer.
HAND_BACK_SECONDS = 10.0

#: A half-open connection to the database is noticed after this long.
COMMAND_SECONDS = 30.0

#: Of what died on its way into this machine's store.
SWEEP_EVERY_SECONDS = 60.0
RECONNECT_SECONDS = (0.2, 5.0)


@asynccontextmanager
async def running_worker(runtime: Runtime) -> AsyncIterator[None]:
    """Work within this block; at its end, unfinished steps are handed back to other workers."""
    worker = _Worker(runtime)
    async with asyncio.TaskGroup() as tasks:
        queue = tasks.create_task(worker.work(), name="worker")
        sweep = tasks.create_task(worker.sweep(), name="sweep")
        try:
            chores = [*runtime.services.housekeeping.chores, daily_reconciliation(runtime).chore]
            async with doing_chores(runtime.database_url, chores):
                yield
        finally:
            sweep.cancel()
            await worker.stop(queue)


async def _sweep(store: DiskStore) -> None:
    try:
        await store.sweep_incoming()
    except StorageError:
        log.warning("incoming_not_swept", exc_info=True)


class _Worker:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._stopping = asyncio.Event()
        self._manager: QueueManager | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def work(self) -> None:
        """Take jobs until told to stop; losing the database ends a round, not the worker."""
        pause, longest = RECONNECT_SECONDS
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            try:
                await self._work_while_connected()
            except Exception as error:
                log.warning("worker_lost_database", error=repr(error))
            if asyncio.get_running_loop().time() - began > longest:
                pause = RECONNECT_SECONDS[0]
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
            pause = min(pause * 2, longest)

    async def sweep(self) -> None:
        """Every process by itself: what it sweeps lies on the disk of its machine."""
        while True:
            if self._runtime.disk_store is not None:
                await _sweep(self._runtime.disk_store)
            await asyncio.sleep(SWEEP_EVERY_SECONDS)

    async def stop(self, queue: asyncio.Task[None]) -> None:
        """Take no more jobs; give the running steps a moment, then hand them back."""
        self._stopping.set()
        if self._manager is not None:
            self._manager.shutdown.set()
        await asyncio.wait([queue], timeout=DRAIN_SECONDS)
        try:
            async with asyncio.timeout(HAND_BACK_SECONDS):
                await self._hand_back_until(queue)
        except TimeoutError:
            # The database does not answer: another worker will find the rest.
            log.warning("worker_given_up", jobs=len(self._running))
            queue.cancel()

    async def _hand_back_until(self, queue: asyncio.Task[None]) -> None:
        """Again and again, for the queue may still begin what it had asked for before."""
        cancelled: set[asyncio.Task[None]] = set()
        while not queue.done():
            for task in self._running - cancelled:
                task.cancel()
                cancelled.add(task)
            await asyncio.wait([queue], timeout=0.1)

    async def _work_while_connected(self) -> None:
        connection = await asyncpg.connect(
            asyncpg_dsn(self._runtime.database_url), timeout=10, command_timeout=COMMAND_SECONDS
        )
        try:
            manager = self._manager = QueueManager(Queries(AsyncpgDriver(connection)))
            manager.entrypoint(STEP_ENTRYPOINT)(self._run_step)
            manager.entrypoint(PUBLICATION_ENTRYPOINT)(self._settle_publication)
            manager.entrypoint(UNLINK_ENTRYPOINT)(self._unlink_tag)
            # Else a lost connection is noticed with the next poll only.
            connection.add_termination_listener(lambda _: manager.shutdown.set())
            if self._stopping.is_set():
                return
            await manager.run(
                dequeue_timeout=POLL,
                batch_size=1,
                max_concurrent_tasks=self._runtime.settings.slots,
                heartbeat_timeout=HEARTBEAT_TIMEOUT,
                log_aggregation_interval=timedelta(0),  # its statistics would be read by nobody
            )
        finally:
            self._manager = None
            connection.terminate()

    async def _unlink_tag(self, job: Job) -> None:
        """One transaction; a stopping worker lets it come to its end."""
        args = orjson.loads(job.payload or b"{}")
        await self._runtime.services.tag_deletion.unlink_batch(UUID(args["tag_id"]))

    async def _run_step(self, job: Job) -> None:
        args = orjson.loads(job.payload or b"{}")
        await self._run(
            self._runtime.services.processing.run_step(
                UUID(args["step_id"]), expected_attempt=args["attempt"], job_id=int(job.id)
            )
        )

    async def _settle_publication(self, job: Job) -> None:
        """One that is cut off is found by the sweep."""
        args = orjson.loads(job.payload or b"{}")
        await self._run(self._runtime.services.publications.settle(UUID(args["media_id"])))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """In a task of its own, so that stopping can cancel the work without cancelling the queue's task."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
