"""Chores: what one can't do holds nothing else back, and is done the next time."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlmodel import select

from db.media import create_media, delete_media, lock_media
from db.models import (
    Blob,
    DeletionOutbox,
    Media,
    ProcessingStep,
    Role,
    StepStatus,
    Upload,
    UploadStatus,
    User,
    new_id,
    utc_now,
)
from db.sessions import Sessions, create_engine, create_sessions
from db.steps import stranded_steps, touch_step
from pipeline.limits import ImageLimits
from pubsub.doorbell import Doorbell
from services.cdn import NoCdn
from services.dedup import Dedup
from services.housekeeping import REMOVAL_LEASE, Housekeeping
from services.keys import original_key
from services.known_bytes import KnownBytes
from services.parts import Parts
from services.possession import Possession
from services.processing import Processing
from services.publications import Publications
from services.tag_deletion import TagDeletion
from services.upload_endings import UploadEndings
from storage.disk import DiskStore
from storage.errors import StorageUnavailableError
from tests.live.conftest import doorbell as doorbell
from tests.live.writers import media_row


class UnreliableStore(DiskStore):
    """A disk store that can't remove some of its objects."""

    broken: frozenset[str] = frozenset()

    async def delete(self, keys: Sequence[str]) -> None:
        if self.broken & set(keys):
            raise StorageUnavailableError
        await super().delete(keys)


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
def store(tmp_path: Path) -> UnreliableStore:
    return UnreliableStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)


@pytest.fixture
def housekeeping(
    sessions: Sessions, store: UnreliableStore, doorbell: Doorbell, tmp_path: Path
) -> Housekeeping:
    parts = Parts(sessions=sessions, store=store)
    processing = Processing(
        sessions=sessions,
        store=store,
        doorbell=doorbell,
        limits=ImageLimits(),
        work_dir=tmp_path,
        known_bytes=KnownBytes(dedup=Dedup.OWNER),
    )
    return Housekeeping(
        sessions=sessions,
        store=store,
        upload_endings=UploadEndings(sessions=sessions, doorbell=doorbell, parts=parts),
        parts=parts,
        possession=Possession(sessions=sessions, store=store, doorbell=doorbell, dedup=Dedup.OWNER),
        processing=processing,
        publications=Publications(sessions=sessions, store=store, cdn=NoCdn()),
        tag_deletion=TagDeletion(sessions=sessions, doorbell=doorbell),
    )


@pytest.fixture
async def owner(sessions: Sessions) -> User:
    async with sessions.begin() as session:
        user = User(username=f"owner-{new_id()}", role=Role.ADMIN)
        session.add(user)
    return user


async def due_blob(sessions: Sessions, store: DiskStore, owner: User, tmp_path: Path) -> Blob:
    """Stored bytes that no media shows, due for removal."""
    blob_id = new_id()
    key = original_key(owner.id, blob_id, "image/jpeg", utc_now())
    blob = Blob(id=blob_id, owner_id=owner.id, key=key, size=5)
    (tmp_path / "bytes").write_bytes(b"bytes")
    await store.put_file(blob.key, tmp_path / "bytes", content_type="image/jpeg")
    async with sessions.begin() as session:
        session.add(blob)
        session.add(DeletionOutbox(blob_id=blob.id, key=blob.key, not_before=utc_now()))
    return blob


async def pending_upload(sessions: Sessions, owner: User, *, expired_for: timedelta) -> Media:
    media = await media_row(sessions, owner.id)
    async with sessions.begin() as session:
        await create_media(session, [(media, [])])
        session.add(
            Upload(
                media_id=media.id,
                key=str(new_id()),
                status=UploadStatus.PENDING,
                expires_at=utc_now() - expired_for,
            )
        )
    return media


async def test_objects_that_cannot_be_removed_hold_no_others_back_and_are_tried_again(
    sessions: Sessions, store: UnreliableStore, housekeeping: Housekeeping, owner: User, tmp_path: Path
) -> None:
    stuck, *others = [await due_blob(sessions, store, owner, tmp_path) for _ in range(3)]
    store.broken = frozenset({stuck.key})
    await housekeeping.run()
    assert [await store.head(blob.key) for blob in others] == [None, None]
    async with sessions() as session:
        [left] = (await session.exec(select(DeletionOutbox))).all()
        assert await session.get(Blob, stuck.id) is None
    assert left.key == stuck.key
    assert left.not_before > utc_now() + REMOVAL_LEASE / 2

    store.broken = frozenset()
    async with sessions.begin() as session:
        await session.exec(update(DeletionOutbox).values(not_before=utc_now()))
    await housekeeping.run()
    assert await store.head(stuck.key) is None
    async with sessions() as session:
        assert (await session.exec(select(DeletionOutbox))).all() == []


async def test_more_than_a_batch_is_done_in_one_round(
    sessions: Sessions, store: UnreliableStore, housekeeping: Housekeeping, owner: User, tmp_path: Path
) -> None:
    for _ in range(25):
        await due_blob(sessions, store, owner, tmp_path)
    await housekeeping.run()
    assert [entry async for entry in store.list("")] == []


class DeletedMeanwhile(UploadEndings):
    """The first media that is due is deleted after it was found."""

    async def _expire(self, found: Media) -> None:
        async with self.sessions.begin() as session:
            if len((await session.exec(select(Media.id))).all()) > 1:
                locked = await lock_media(session, found.owner_id, [found.id])
                await delete_media(session, locked[found.id])
        await super()._expire(found)


async def test_an_upload_that_is_deleted_while_others_expire_does_not_keep_them(
    sessions: Sessions, store: UnreliableStore, doorbell: Doorbell, owner: User
) -> None:
    gone = await pending_upload(sessions, owner, expired_for=timedelta(hours=2))
    kept = await pending_upload(sessions, owner, expired_for=timedelta(hours=1))
    parts = Parts(sessions=sessions, store=store)
    endings = DeletedMeanwhile(sessions=sessions, doorbell=doorbell, parts=parts)
    assert await endings.expire() == 2
    async with sessions() as session:
        assert await session.get(Media, gone.id) is None
        [upload] = (await session.exec(select(Upload))).all()
    assert (upload.media_id, upload.status) == (kept.id, UploadStatus.EXPIRED)


async def test_a_step_that_is_worked_on_is_not_stranded_even_without_its_job(
    sessions: Sessions, owner: User
) -> None:
    media = await pending_upload(sessions, owner, expired_for=timedelta())
    long_ago = utc_now() - timedelta(hours=1)
    step = ProcessingStep(
        media_id=media.id,
        recipe="image-1",
        name="renditions",
        depends_on=[],
        status=StepStatus.RUNNING,
        attempt=1,
        job_id=1,
        updated_at=long_ago,
    )
    async with sessions.begin() as session:
        session.add(step)

    async def stranded() -> int:
        async with sessions() as session:
            before = utc_now() - timedelta(seconds=30)
            return len(await stranded_steps(session, before=before, limit=10))

    assert await stranded() == 1
    async with sessions.begin() as session:
        await touch_step(session, step.id, attempt=2)
    assert await stranded() == 1, "another attempt's holder is not this one's"
    async with sessions.begin() as session:
        await touch_step(session, step.id, attempt=1)
    assert await stranded() == 0
