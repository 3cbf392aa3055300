"""Known bytes are asked for, given up and collected at once: a media that shows them has them."""

import asyncio
import hashlib
import random
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from db.models import Blob, DeletionOutbox, Media, MediaStatus, Role, Upload, User, new_id, utc_now
from pipeline.recipe import RECIPE
from services.keys import original_key
from services.repeated_requests import RequestedUpload
from services.upload_requests import UploadRequest
from tests.model.stored import RunningStored, StoredBytes

ROUNDS = 200

#: Of a request, in seconds: about as long as it takes to delete and to collect.
LONGEST_WAIT = 0.03

DATA = b"known"
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
