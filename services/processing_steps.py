"""The processing DAG as rows: started with the status change, advanced one finished step at a time."""

from collections.abc import Iterable
from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from db.jobs import enqueue
from db.models import Media, ProcessingStep, StepStatus, utc_now
from db.steps import steps_of
from pipeline.recipe import RECIPE

INSPECT = "inspect"
RENDITIONS = "renditions"

#: Each step and what it waits for.
IMAGE_DAG: dict[str, tuple[str, ...]] = {INSPECT: (), RENDITIONS: (INSPECT,)}

#: The queue's entrypoint that runs any step.
STEP_ENTRYPOINT = "processing_step"


async def start_processing(session: AsyncSession, media: Media) -> None:
    """Insert the steps of a media that has just become PROCESSING, and the jobs of the first ones."""
    steps = [
        ProcessingStep(
            media_id=media.id,
            recipe=RECIPE,
            name=name,
            depends_on=list(dependencies),
            status=StepStatus.PENDING,
        )
        for name, dependencies in IMAGE_DAG.items()
    ]
    session.add_all(steps)
    await session.flush()
    await _queue_runnable(session, steps)


async def succeed_step(session: AsyncSession, step: ProcessingStep) -> bool:
    """Finish a held step and queue those that waited for it; True when it was the last one."""
    step.status = StepStatus.SUCCEEDED
    step.finished_at = step.updated_at = utc_now()
    await session.flush()
    steps = await steps_of(session, step.media_id)
    await _queue_runnable(session, steps)
    return all(other.status is StepStatus.SUCCEEDED for other in steps)


async def queue_step(session: AsyncSession, step: ProcessingStep, *, delay: timedelta | None = None) -> None:
    """Make the step due (again), by a new job: the queue's own retry is not fenced by `attempt`."""
    step.status = StepStatus.QUEUED
    step.updated_at = utc_now()
    step.job_id = await enqueue(
        session, STEP_ENTRYPOINT, {"step_id": str(step.id), "attempt": step.attempt}, delay=delay
    )
    await session.flush()


async def _queue_runnable(session: AsyncSession, steps: Iterable[ProcessingStep]) -> None:
    done = {step.name for step in steps if step.status is StepStatus.SUCCEEDED}
    for step in steps:
        if step.status is StepStatus.PENDING and done.issuperset(step.depends_on):
            await queue_step(session, step)
