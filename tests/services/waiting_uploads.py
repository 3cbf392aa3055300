"""Uploads that wait for their bytes, and what came of them."""

from collections.abc import AsyncIterator, Collection
from uuid import UUID

import pytest
from sqlmodel import col, select

from db.jobs import jobs_of
from db.models import Media, MediaEvent, MediaStatus, ProcessingStep, Role, Upload, User, new_id
from db.sessions import Sessions, create_engine, create_sessions
from pubsub.doorbell import Doorbell
from services.dedup import Dedup
from services.delta import Delta
from services.errors import Rejected
from services.finalizing import Finalizing
from services.known_bytes import KnownBytes
from services.parts import Parts
from services.possession import Possession
from services.processing_steps import STEP_ENTRYPOINT
from services.quotas import Quotas
from services.upload_requests import UploadRequest
from services.uploads import UploadLimits, Uploads
from storage.objects import ObjectStore

BYTES = b"bytes"


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def owner(sessions: Sessions) -> User:
    async with sessions.begin() as session:
        user = User(username=f"owner-{new_id()}", role=Role.ADMIN)
        session.add(user)
    return user


def uploads_of(sessions: Sessions, store: ObjectStore, doorbell: Doorbell) -> Uploads:
    return Uploads(
        sessions=sessions,
        store=store,
        doorbell=doorbell,
        limits=UploadLimits(max_bytes=5 * 1024**3),
        quotas=Quotas(default=None),
        known_bytes=KnownBytes(dedup=Dedup.OWNER),
        possession=Possession(sessions=sessions, store=store, doorbell=doorbell, dedup=Dedup.OWNER),
        delta=Delta(sessions=sessions, store=store, parts=Parts(sessions=sessions, store=store)),
    )


def finalizing_of(uploads: Uploads) -> Finalizing:
    """By the same means as the uploads were requested."""
    return Finalizing(
        sessions=uploads.sessions, store=uploads.store, doorbell=uploads.doorbell, parts=uploads.delta.parts
    )


async def request_uploads(
    uploads: Uploads, owner: User, count: int = 1, *, size: int = len(BYTES)
) -> list[Upload]:
    """Uploads of `size` bytes, requested in one call."""
    requests = [
        UploadRequest(filename=f"{number}.jpg", mime_type="image/jpeg", size=size) for number in range(count)
    ]
    made: list[Upload] = []
    for answer in await uploads.request(owner, requests):
        assert not isinstance(answer, Rejected)
        made.append(answer.upload)
    return made


async def statuses_of(sessions: Sessions, uploads: Collection[Upload]) -> list[MediaStatus]:
    async with sessions() as session:
        found = {media.id: media.status for media in (await session.exec(select(Media))).all()}
    return [found[upload.media_id] for upload in uploads]


async def transitions_of(sessions: Sessions, media_id: UUID) -> list[tuple[int, MediaStatus]]:
    """The version and status of each line of the media's log."""
    statement = (
        select(MediaEvent).where(col(MediaEvent.media_id) == media_id).order_by(col(MediaEvent.version))
    )
    async with sessions() as session:
        return [(line.version, line.status) for line in (await session.exec(statement)).all()]


async def work_of(sessions: Sessions, media_id: UUID) -> tuple[list[str], list[str]]:
    """The names of the media's steps, and of those that have a job: one for each job."""
    statement = select(ProcessingStep).where(col(ProcessingStep.media_id) == media_id)
    async with sessions() as session:
        steps = {str(step.id): step.name for step in (await session.exec(statement)).all()}
        jobs = [job["step_id"] for job in await jobs_of(session, STEP_ENTRYPOINT)]
    return sorted(steps.values()), [steps[str(id)] for id in jobs if id in steps]
