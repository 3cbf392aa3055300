"""The processing DAG as rows: started with the status change, advanced one finished step at a time."""

from collections.abc import Collection, Iterable, Sequence
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

#: What a step may be in that is still to be done: the nearest to its end first.
UNFINISHED = (StepStatus.RUNNING, StepStatus.QUEUED, StepStatus.PENDING)

#: What a step may be in that is not to be done.
DONE = (StepStatus.SUCCEEDED, StepStatus.SKIPPED)

#: The queue's entrypoint that runs any step.
STEP_ENTRYPOINT = "processing_step"


async def start_processing(session: AsyncSession, media: Media) -> None:
    """Insert the steps of a media that has just become PROCESSING, and the jobs of the first ones."""
    steps = _new_steps(media)
    await _queue_runnable(session, steps)
    session.add_all(steps)  # with the ids of their jobs: nothing is left to be changed


def _new_steps(media: Media) -> list[ProcessingStep]:
    return [
        ProcessingStep(
            media_id=media.id,
            recipe=RECIPE,
            name=name,
            depends_on=list(dependencies),
            status=StepStatus.PENDING,
        )
        for name, dependencies in IMAGE_DAG.items()
    ]


async def restart_processing(
    session: AsyncSession, media: Media, steps: Sequence[ProcessingStep], chosen: Collection[str]
) -> None:
    """Let a media that has just become PROCESSING again go on: do anew what did not succeed or is chosen.

    What waits for a step that is done anew is so too, and all steps where an older recipe made one. `steps`
    are all of the media's, locked. Attempts go on being numbered, and begin to be counted, from here.
    """
    if any(step.recipe != RECIPE for step in steps):
        steps = await _renew_steps(session, media, steps)
        chosen = {step.name for step in steps}
    anew = {step.name for step in steps if step.status not in DONE} | set(chosen)
    while waiting := {step.name for step in steps if not anew.isdisjoint(step.depends_on)} - anew:
        anew |= waiting
    for step in steps:
        if step.name in anew:
            _reset(step)
    await session.flush()
    await _queue_runnable(session, steps)


async def _renew_steps(
    session: AsyncSession, media: Media, steps: Sequence[ProcessingStep]
) -> list[ProcessingStep]:
    """The steps of the present recipe in place of an older one's."""
    rows = {step.name: step for step in steps}
    for name in rows.keys() - IMAGE_DAG.keys():
        await session.delete(rows.pop(name))
    for step in _new_steps(media):
        if step.name in rows:
            rows[step.name].recipe, rows[step.name].depends_on = step.recipe, step.depends_on
        else:
            rows[step.name] = step
            session.add(step)
    return list(rows.values())


def _reset(step: ProcessingStep) -> None:
    step.status = StepStatus.PENDING
    step.uncounted_attempts = step.attempt
    step.failure_code = step.failure_message = step.job_id = None
    step.started_at = step.finished_at = step.store_away_since = None
    step.updated_at = utc_now()


def cancel_steps(steps: Iterable[ProcessingStep]) -> str:
    """End the locked steps that are not done; the name of the one that ran, or would have run next."""
    unfinished = [step for step in steps if step.status in UNFINISHED]
    unfinished.sort(key=lambda step: UNFINISHED.index(step.status))
    for step in unfinished:
        step.status = StepStatus.CANCELLED
        step.finished_at = step.updated_at = utc_now()
    return unfinished[0].name


async def succeed_step(session: AsyncSession, step: ProcessingStep, *, skip_others: bool = False) -> bool:
    """Finish a held step and queue those that waited for it; True when none is left to be done.

    With `skip_others` none is: what they would make is there already.
    """
    step.status = StepStatus.SUCCEEDED
    step.finished_at = step.updated_at = utc_now()
    await session.flush()
    steps = await steps_of(session, step.media_id)
    if skip_others:
        _skip_steps(steps)
    await _queue_runnable(session, steps)
    return all(other.status in DONE for other in steps)


def _skip_steps(steps: Iterable[ProcessingStep]) -> None:
    for step in steps:
        if step.status in UNFINISHED:
            step.status = StepStatus.SKIPPED
            step.finished_at = step.updated_at = utc_now()


async def queue_step(session: AsyncSession, step: ProcessingStep, *, delay: timedelta | None = None) -> None:
    """Make the step due (again), by a new job: the queue's own retry is not fenced by `attempt`."""
    step.status = StepStatus.QUEUED
    step.updated_at = utc_now()
    step.job_id = await enqueue(
        session, STEP_ENTRYPOINT, {"step_id": str(step.id), "attempt": step.attempt}, delay=delay
    )
    await session.flush()


async def _queue_runnable(session: AsyncSession, steps: Iterable[ProcessingStep]) -> None:
    done = {step.name for step in steps if step.status in DONE}
    for step in steps:
        if step.status is StepStatus.PENDING and done.issuperset(step.depends_on):
            await queue_step(session, step)
