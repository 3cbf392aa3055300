"""A client finalizes twice while the storage's event arrives: one transition, and one set of jobs."""

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from sqlmodel import select

from db.jobs import jobs_of
from db.models import Blob, Media, MediaEvent, MediaStatus, ProcessingStep, Upload, User
from db.sessions import Sessions, create_engine, create_sessions
from pubsub.doorbell import Doorbell
from services.parts import part_length
from services.processing_steps import IMAGE_DAG, INSPECT, STEP_ENTRYPOINT
from services.uploads import UploadLimits, Uploads
from storage.disk import DiskStore
from storage.objects import MIN_PART_BYTES
from tests.contracts.backends import BACKENDS
from tests.live.conftest import doorbell as doorbell
from tests.services.waiting_uploads import BYTES, finalizing_of, request_uploads, uploads_of
from tests.services.waiting_uploads import owner as owner
from tests.services.waiting_uploads import sessions as sessions

RACES = 1000
AT_ONCE = 20


async def race(client: Uploads, follower: Uploads, owner: User, upload: Upload) -> None:
    """Two calls and an event, in any order, at once."""
    answers: list[Media] = []

    async def finalize(uploads: Uploads) -> None:
        answers.append(await finalizing_of(uploads).finalize(owner, upload.id))

    async def arrive() -> None:
        await finalizing_of(follower).arrived(upload.key)

    racers = [finalize(client), finalize(follower), arrive()]
    random.shuffle(racers)
    await asyncio.gather(*racers)
    assert [(media.status, media.version) for media in answers] == [(MediaStatus.PROCESSING, 2)] * 2


@pytest.mark.slow
async def test_of_finalize_event_and_finalize_exactly_one_starts_the_processing(
    database_url: str, sessions: Sessions, doorbell: Doorbell, owner: User, tmp_path: Path
) -> None:
    store = DiskStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    (tmp_path / "bytes").write_bytes(BYTES)
    other_engine = create_engine(database_url)
    try:
        client = uploads_of(sessions, store, doorbell)
        follower = uploads_of(create_sessions(other_engine), store, doorbell)
        raced: list[UUID] = []
        while len(raced) < RACES:
            waiting = await request_uploads(client, owner, AT_ONCE)
            for upload in waiting:
                await store.put_file(upload.key, tmp_path / "bytes", content_type="image/jpeg")
            await asyncio.gather(*(race(client, follower, owner, upload) for upload in waiting))
            raced += [upload.media_id for upload in waiting]
    finally:
        await other_engine.dispose()
    await exactly_one_started(sessions, raced)


#: Of files in parts, and of those that are copied from where they were sent.
OTHER_RACES = 60

LARGE = b"x" * MIN_PART_BYTES + b"end"


@pytest.mark.slow
@pytest.mark.parametrize("store", ["disk", "ministack"])
@pytest.mark.parametrize("way", ["parts", "staging"])
async def test_what_is_put_together_or_copied_is_so_once(
    database_url: str,
    sessions: Sessions,
    doorbell: Doorbell,
    owner: User,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    store: str,
    way: str,
) -> None:
    """The same race where the store has work to do before the object is there."""
    backend = BACKENDS[store]
    endpoint = request.getfixturevalue(backend.server) if backend.server else ""
    data = LARGE if way == "parts" else BYTES
    (tmp_path / "bytes").write_bytes(data)
    limits = UploadLimits(max_bytes=5 * 1024**3, multipart_bytes=MIN_PART_BYTES, staging=way == "staging")
    raced: list[UUID] = []
    async with backend.open(tmp_path, endpoint) as running:
        client = replace(uploads_of(sessions, running.store, doorbell), limits=limits)
        await running.store.put_file("source.jpg", tmp_path / "bytes", content_type="image/jpeg")
        while len(raced) < OTHER_RACES:
            waiting = await request_uploads(client, owner, AT_ONCE, size=len(data))
            await asyncio.gather(*(_send(client, upload, tmp_path / "bytes") for upload in waiting))
            await asyncio.gather(*(race(client, client, owner, upload) for upload in waiting))
            raced += [upload.media_id for upload in waiting]
        async with sessions() as session:
            blobs = (await session.exec(select(Blob))).all()
        found = [await running.store.head(blob.key) for blob in blobs]
        assert [each and each.byte_size for each in found] == [len(data)] * len(raced)
    await exactly_one_started(sessions, raced)


async def _send(client: Uploads, upload: Upload, file: Path) -> None:
    if upload.part_size is None:
        await client.store.put_file(upload.key, file, content_type="image/jpeg")
        return
    async with client.sessions() as session:
        media = await session.get_one(Media, upload.media_id)
    multipart_id = await client.delta.parts.open(media, upload)
    for number in (1, 2):
        await client.store.copy_part(
            upload.key,
            multipart_id,
            number,
            source="source.jpg",
            offset=(number - 1) * upload.part_size,
            length=part_length(media.size, number),
        )


async def exactly_one_started(sessions: Sessions, raced: list[UUID]) -> None:
    """Each media has become PROCESSING once, with one set of steps and one job."""
    async with sessions() as session:
        lines = (await session.exec(select(MediaEvent))).all()
        steps = (await session.exec(select(ProcessingStep))).all()
        jobs = await jobs_of(session, STEP_ENTRYPOINT)
    expected = {(media_id, status) for media_id in raced for status in ("UPLOADING", "PROCESSING")}
    assert Counter((line.media_id, line.status) for line in lines) == Counter(expected)
    assert Counter((step.media_id, step.name) for step in steps) == Counter(
        itertools.product(raced, IMAGE_DAG)
    )
    first = [str(step.id) for step in steps if step.name == INSPECT]
    assert Counter(job["step_id"] for job in jobs) == Counter(first)
