"""Known bytes are asked for, given up and collected at once: a media that shows them has them."""

import asyncio
import hashlib
import hmac
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from db.known_bytes import find_known
from db.models import (
    Blob,
    DeletionOutbox,
    FailureCode,
    Media,
    MediaKind,
    MediaStatus,
    ProcessingStep,
    Role,
    Upload,
    User,
    new_id,
    utc_now,
)
from db.possession import hold_shared
from pipeline.facts import ImageFacts
from pipeline.recipe import RECIPE
from services import image_steps, known_bytes, possession
from services.dedup import Dedup
from services.errors import ChallengeFailed
from services.keys import original_key
from services.possession import RANGE_BYTES
from services.repeated_requests import RequestedUpload
from services.upload_requests import UploadRequest
from tests.model.stored import RunningStored, StoredBytes

ROUNDS = 200

#: Of a request, in seconds: about as long as it takes to delete and to collect.
LONGEST_WAIT = 0.03

#: Of the races for bytes that somebody else has.
SHARED_ROUNDS = 100

#: After known bytes were found, in seconds: time for the collector to come in between, if it could.
PAUSE = 0.005

DATA = b"known" * RANGE_BYTES
REQUEST = UploadRequest(
    filename="a.jpg", mime_type="image/jpeg", size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest()
)


@pytest.mark.slow
def test_bytes_that_are_found_again_are_not_collected(database: str, tmp_path: Path) -> None:
    """Request × delete × collect on one blob, 200 times: whoever was told that it is stored has it."""
    with RunningStored(database, tmp_path) as stored:
        outcomes = stored.run(_race(stored, tmp_path))
    # Both ends of the race were seen, else it was none.
    assert {"stored", "to be sent"} <= set(outcomes)


async def _race(stored: StoredBytes, directory: Path) -> list[str]:
    (directory / "data").write_bytes(DATA)
    outcomes = []
    for _ in range(ROUNDS):
        owner, media = await _owner_with_known_bytes(stored, directory / "data")
        async with asyncio.TaskGroup() as tasks:
            asked = [
                tasks.create_task(_request(stored, owner, after=random.random() * LONGEST_WAIT))
                for _ in range(2)
            ]
            tasks.create_task(_delete_and_collect(stored, owner, media))
        for task in asked:
            outcomes.append("stored" if task.result().upload.is_stored else "to be sent")
        await _check(stored, owner)
    return outcomes


@pytest.mark.slow
def test_bytes_that_a_copy_is_settled_on_are_not_collected(database: str, tmp_path: Path) -> None:
    """Verify × delete × collect, 100 times: what was sent ends up in one place that stays."""
    with RunningStored(database, tmp_path) as stored:
        outcomes = stored.run(_race_for_shared(stored, tmp_path, Dedup.GLOBAL, _verify))
    assert {"shared", "its own"} == set(outcomes)


@pytest.mark.slow
def test_bytes_that_are_proved_to_be_held_are_not_collected(database: str, tmp_path: Path) -> None:
    """Answer × delete × collect, 100 times: what is shown by the answer stays."""
    with RunningStored(database, tmp_path) as stored, patch.object(possession, "MIN_CHALLENGED_BYTES", 1):
        outcomes = stored.run(_race_for_shared(stored, tmp_path, Dedup.GLOBAL_FAST, _prove))
    assert {"shared", "refused"} == set(outcomes)


Racer = Callable[[], Awaitable[str]]


async def _race_for_shared(
    stored: StoredBytes,
    directory: Path,
    dedup: Dedup,
    prepare: Callable[[StoredBytes, User, Path, UUID], Awaitable[tuple[Media, Racer]]],
) -> list[str]:
    """What became of bytes that the last media which showed them gave up at the same moment."""
    (directory / "data").write_bytes(DATA)
    await stored.begin(dedup)
    outcomes = []
    with (
        patch.object(known_bytes, "find_known", _with_pause(find_known)),
        patch.object(possession, "hold_shared", _with_pause(hold_shared)),
    ):
        for number in range(SHARED_ROUNDS):
            first, shown = await _owner_with_known_bytes(stored, directory / "data")
            await _share(stored, shown, is_named_by_another=number % 2 == 1)
            second = User(username=f"user-{new_id()}", role=Role.EDITOR)
            async with stored.runtime.sessions.begin() as session:
                session.add(second)
            media, racer = await prepare(stored, second, directory / "data", shown.blob_id)
            async with asyncio.TaskGroup() as tasks:
                raced = tasks.create_task(_after(random.random() * LONGEST_WAIT, racer))
                tasks.create_task(
                    _after(
                        random.random() * LONGEST_WAIT,
                        partial(_delete_and_collect, stored, first, shown),
                    )
                )
            outcomes.append(raced.result())
            if outcomes[-1] != "refused":
                await _check_shown(stored, media.id)
            async with stored.runtime.sessions.begin() as session:  # nobody has them in the next round
                await session.exec(update(Blob).values(sha256=None, verified_at=None))
    return outcomes


def _with_pause(find: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def found(*args: Any, **options: Any) -> Any:
        blobs = await find(*args, **options)
        await asyncio.sleep(random.random() * PAUSE)
        return blobs

    return found


async def _after(seconds: float, work: Callable[[], Awaitable[Any]]) -> Any:
    await asyncio.sleep(seconds)
    return await work()


async def _share(stored: StoredBytes, shown: Media, *, is_named_by_another: bool) -> None:
    """`is_named_by_another`: by a media that has given its bytes up, for which the row is kept."""
    async with stored.runtime.sessions.begin() as session:
        (await session.get_one(Blob, shown.blob_id)).is_shared = True
        if is_named_by_another:
            session.add(
                Media(
                    owner_id=shown.owner_id,
                    blob_id=shown.blob_id,
                    kind=MediaKind.IMAGE,
                    status=MediaStatus.FAILED,
                    failure_code=FailureCode.CHECKSUM_MISMATCH,
                    filename="b.jpg",
                    mime_type="image/jpeg",
                    size=len(DATA),
                )
            )


async def _verify(stored: StoredBytes, owner: User, data: Path, shared: UUID) -> tuple[Media, Racer]:
    """A copy that was sent, and the step that verifies it."""
    services = stored.runtime.services
    claims = UploadRequest(filename="a.jpg", mime_type="image/jpeg", size=len(DATA))
    [made] = await services.uploads.request(owner, [claims])
    assert isinstance(made, RequestedUpload)
    await stored.runtime.store.put_file(made.upload.key, data, content_type="image/jpeg")
    media = await services.finalizing.finalize(owner, made.upload.id)
    due = select(ProcessingStep).where(
        col(ProcessingStep.media_id) == media.id, col(ProcessingStep.name) == "inspect"
    )
    async with stored.runtime.sessions() as session:
        step = (await session.exec(due)).one()

    async def verify() -> str:
        with patch.object(image_steps, "inspect_image", _inspect):
            await services.processing.run_step(step.id, expected_attempt=0, job_id=step.job_id or 0)
        async with stored.runtime.sessions() as session:
            shown = await session.get_one(Media, media.id)
        assert shown.sha256_verified
        return "shared" if shown.blob_id == shared else "its own"

    return media, verify


async def _inspect(*_: object) -> ImageFacts:
    return ImageFacts(mime_type="image/jpeg", width=1, height=1, pages=1)


async def _prove(stored: StoredBytes, owner: User, data: Path, shared: UUID) -> tuple[Media, Racer]:
    """An upload whose challenge can be met."""
    services = stored.runtime.services
    [made] = await services.uploads.request(owner, [REQUEST])
    assert isinstance(made, RequestedUpload)
    [asked] = await services.possession.challenges([(made.media, made.upload)])
    assert asked is not None
    content = await asyncio.to_thread(data.read_bytes)
    ranges = b"".join(content[offset : offset + length] for offset, length in asked.ranges)
    digest = hmac.new(asked.nonce.encode(), ranges, hashlib.sha256).hexdigest()

    async def prove() -> str:
        try:
            media = await services.possession.answer(owner, made.upload.id, digest)
        except ChallengeFailed:
            return "refused"
        assert media.blob_id == shared
        return "shared"

    return made.media, prove


async def _check_shown(stored: StoredBytes, media_id: UUID) -> None:
    async with stored.runtime.sessions() as session:
        media = await session.get_one(Media, media_id)
        blob = await session.get_one(Blob, media.blob_id)
    assert blob.verified_at is not None
    assert await stored.runtime.store.head(blob.key) is not None


async def _request(stored: StoredBytes, owner: User, *, after: float) -> RequestedUpload:
    await asyncio.sleep(after)
    [answer] = await stored.runtime.services.uploads.request(owner, [REQUEST])
    assert isinstance(answer, RequestedUpload)
    return answer


async def _delete_and_collect(stored: StoredBytes, owner: User, media: Media) -> None:
    services = stored.runtime.services
    await services.library.delete(owner, media.id)
    async with stored.runtime.sessions.begin() as session:
        due = update(DeletionOutbox).where(col(DeletionOutbox.blob_id) == media.blob_id)
        await session.exec(due.values(not_before=utc_now() - timedelta(seconds=1)))
    await services.housekeeping.collect()


async def _owner_with_known_bytes(stored: StoredBytes, data: Path) -> tuple[User, Media]:
    owner = User(username=f"user-{new_id()}", role=Role.EDITOR)
    blob_id = new_id()
    blob = Blob(
        id=blob_id,
        owner_id=owner.id,
        key=original_key(owner.id, blob_id, "image/jpeg", utc_now()),
        size=len(DATA),
        sha256=REQUEST.sha256,
        verified_at=utc_now(),
        etag="etag",
        recipe=RECIPE,
        facts={"kind": "IMAGE", "detected_mime_type": "image/jpeg", "details": None},
    )
    await stored.runtime.store.put_file(blob.key, data, content_type="image/jpeg")
    async with stored.runtime.sessions.begin() as session:
        session.add(owner)
        await session.flush()
        session.add(blob)
    [made] = await stored.runtime.services.uploads.request(owner, [REQUEST])
    assert isinstance(made, RequestedUpload)
    assert made.upload.is_stored
    return owner, made.media


async def _check(stored: StoredBytes, owner: User) -> None:
    statement = (
        select(Media, Upload, Blob)
        .join(Upload, col(Upload.media_id) == col(Media.id))
        .join(Blob, col(Blob.id) == col(Media.blob_id))
        .where(col(Media.owner_id) == owner.id)
    )
    async with stored.runtime.sessions() as session:
        rows = (await session.exec(statement)).all()
    assert len(rows) == 2
    for media, upload, blob in rows:
        assert upload.is_stored == (media.status is MediaStatus.READY)
        if upload.is_stored:
            assert await stored.runtime.store.head(blob.key) is not None
