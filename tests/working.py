"""What a worker would do, at once and in turns with the test: nothing runs between two calls."""

from sqlmodel import col, select

from app.runtime import Runtime
from db.models import DeletionOutbox, Media, ProcessingStep, Publication, StepStatus
from services.housekeeping import Housekeeping


async def run_steps(runtime: Runtime) -> None:
    """Run the processing steps that are queued, and those that they queue, until none is."""
    due = select(ProcessingStep).where(col(ProcessingStep.status) == StepStatus.QUEUED)
    while True:
        async with runtime.sessions() as session:
            steps = (await session.exec(due)).all()
        if not steps:
            return
        for step in steps:
            await runtime.services.processing.run_step(
                step.id, expected_attempt=step.attempt, job_id=step.job_id or 0
            )


async def settle_publications(runtime: Runtime) -> None:
    async with runtime.sessions() as session:
        known = set((await session.exec(select(Media.id))).all())
        known |= set((await session.exec(select(Publication.media_id))).all())
    for media_id in known:
        await runtime.services.publications.settle(media_id)


async def collect(runtime: Runtime) -> None:
    """Remove what was given to the collector, as if its grace were over."""
    housekeeping: Housekeeping = runtime.services.housekeeping
    async with runtime.sessions.begin() as session:
        for row in (await session.exec(select(DeletionOutbox))).all():
            row.not_before = row.not_before.replace(year=2000)
    while await housekeeping.collect():
        pass
