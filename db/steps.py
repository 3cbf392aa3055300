"""Processing steps: claiming, finishing and releasing them under the fence of `attempt`."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, or_, text, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import ProcessingStep, StepStatus, utc_now


async def claim_step(
    session: AsyncSession, step_id: UUID, *, expected_attempt: int, job_id: int
) -> ProcessingStep | None:
    """Take the step for one more attempt, or None where this delivery is stale.

    A queued step is taken by the job that expects its attempt; a running one only by a new delivery
    of the job that runs it: its worker was lost. The new `attempt` is the fence of whoever got it.
    """
    statement = (
        update(ProcessingStep)
        .where(
            col(ProcessingStep.id) == step_id,
            or_(
                and_(
                    col(ProcessingStep.status) == StepStatus.QUEUED,
                    col(ProcessingStep.attempt) == expected_attempt,
                ),
                and_(
                    col(ProcessingStep.status) == StepStatus.RUNNING,
                    col(ProcessingStep.job_id) == job_id,
                ),
            ),
        )
        .values(
            status=StepStatus.RUNNING,
            attempt=ProcessingStep.attempt + 1,
            job_id=job_id,
            started_at=utc_now(),
            updated_at=utc_now(),
        )
        .returning(ProcessingStep)
    )
    return (await session.exec(statement)).scalar_one_or_none()


async def lock_held_step(session: AsyncSession, step_id: UUID, *, attempt: int) -> ProcessingStep | None:
    """The running step, locked, where `attempt` still holds it; None to a worker that was overtaken."""
    statement = (
        select(ProcessingStep)
        .where(
            col(ProcessingStep.id) == step_id,
            col(ProcessingStep.status) == StepStatus.RUNNING,
            col(ProcessingStep.attempt) == attempt,
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await session.exec(statement)).one_or_none()


async def holds_step(session: AsyncSession, step_id: UUID, *, attempt: int) -> bool:
    """Whether `attempt` still holds the step: nobody cancelled it, deleted its media or took it over."""
    statement = select(ProcessingStep.id).where(
        col(ProcessingStep.id) == step_id,
        col(ProcessingStep.status) == StepStatus.RUNNING,
        col(ProcessingStep.attempt) == attempt,
    )
    return (await session.exec(statement)).first() is not None


async def touch_step(session: AsyncSession, step_id: UUID, *, attempt: int) -> None:
    """Tell that the step is being worked on, to whoever looks for stranded ones."""
    await session.exec(
        update(ProcessingStep)
        .where(
            col(ProcessingStep.id) == step_id,
            col(ProcessingStep.status) == StepStatus.RUNNING,
            col(ProcessingStep.attempt) == attempt,
        )
        .values(updated_at=utc_now())
    )


async def steps_of(session: AsyncSession, media_id: UUID) -> Sequence[ProcessingStep]:
    statement = select(ProcessingStep).where(col(ProcessingStep.media_id) == media_id)
    return (await session.exec(statement)).all()


async def lock_steps(session: AsyncSession, media_id: UUID) -> Sequence[ProcessingStep]:
    """All steps of a locked media, locked: none is claimed meanwhile. Each comes after those it waits for."""
    statement = (
        select(ProcessingStep)
        .where(col(ProcessingStep.media_id) == media_id)
        .order_by(col(ProcessingStep.id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await session.exec(statement)).all()


async def stranded_steps(session: AsyncSession, *, before: datetime, limit: int) -> Sequence[ProcessingStep]:
    """Unfinished steps, untouched since `before`, that no job of the queue will run any more; locked.

    Level-triggered: whatever lost the job, its step is found by what is true now.
    """
    statement = (
        select(ProcessingStep)
        .where(
            col(ProcessingStep.status).in_([StepStatus.QUEUED, StepStatus.RUNNING]),
            col(ProcessingStep.updated_at) < before,
            text("NOT EXISTS (SELECT 1 FROM pgqueuer WHERE pgqueuer.id = processing_steps.job_id)"),
        )
        .order_by(col(ProcessingStep.updated_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return (await session.exec(statement)).all()
