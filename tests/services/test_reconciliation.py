"""Store and rows held against each other: what differs is told, what somebody needs is not touched."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from sqlmodel import col

from db.jobs import jobs_of
from db.models import (
    Blob,
    DeletionOutbox,
    Media,
    MediaStatus,
    Publication,
    Rendition,
    Upload,
    UploadStatus,
    User,
    new_id,
    utc_now,
)
from db.sessions import Sessions
from services.cdn import NoCdn
from services.keys import blob_of_key, copied_key, new_public_prefix, original_key, rendition_key, staging_key
from services.publications import PUBLICATION_ENTRYPOINT, Publications
from services.reconciliation import BATCH, MAX_EXAMPLES, Difference, Reconciliation, Report
from storage.objects import ObjectInfo, OpenMultipart
from tests.services.damaged_store import DamagedStore, StoreWithMultiparts, rendition_row
from tests.services.waiting_uploads import owner as owner
from tests.services.waiting_uploads import sessions as sessions

GRACE = timedelta(hours=3)


@pytest.fixture
def damaged(sessions: Sessions, owner: User, tmp_path: Path) -> DamagedStore:
    store = StoreWithMultiparts(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    store.open_multiparts = []
    return DamagedStore(sessions=sessions, store=store, owner=owner, root=tmp_path)


@pytest.fixture
def reconciliation(damaged: DamagedStore) -> Reconciliation:
    return Reconciliation(sessions=damaged.sessions, store=damaged.store, grace=GRACE)


def told(report: Report) -> dict[Difference, tuple[int, int, set[str]]]:
    """What was found of each kind: how many, how many were mended, and which."""
    return {
        difference: (tally.count, tally.mended, set(tally.examples))
        for difference, tally in report.found.items()
        if tally.count
    }


def unknown_original(owner: User | None) -> str:
    """Shared where it is nobody's."""
    return original_key(owner.id if owner else None, new_id(), "image/jpeg", utc_now())


async def test_where_nothing_differs_nothing_is_told(
    damaged: DamagedStore, reconciliation: Reconciliation
) -> None:
    media = [await damaged.add() for _ in range(3)]
    for apply in (False, True):
        report = await reconciliation.run(apply=apply)
        assert (told(report), report.objects, report.young, report.left) == ({}, 15, 0, 0)
    assert await damaged.keys() == set().union(*(each.keys for each in media))


async def test_what_no_row_knows_is_told_and_deleted_only_when_asked(
    damaged: DamagedStore, reconciliation: Reconciliation, owner: User
) -> None:
    known = await damaged.add()
    lost = unknown_original(owner)
    orphans = {
        await damaged.put(lost),
        await damaged.put(rendition_key(lost, "image-1", "webp-320.webp")),
        await damaged.put(staging_key(unknown_original(None))),
        await damaged.put(copied_key(unknown_original(owner), "etag")),
        await damaged.put(rendition_key(known.original, "image-0", "webp-320.webp")),
    }
    copies = {
        await damaged.put(f"{new_public_prefix()}/image-1/webp-320.webp"),
        await damaged.put(known.copies[0].replace("image-1", "image-0")),
    }
    before = await damaged.keys()
    report = await reconciliation.run(apply=False)
    assert told(report) == {Difference.ORPHAN: (5, 0, orphans), Difference.ORPHAN_COPY: (2, 0, copies)}
    assert report.found[Difference.ORPHAN].byte_size == sum(map(len, orphans))
    assert await damaged.keys() == before

    report = await reconciliation.run(apply=True)
    assert told(report) == {Difference.ORPHAN: (5, 5, orphans), Difference.ORPHAN_COPY: (2, 2, copies)}
    assert report.left == 0
    assert await damaged.keys() == known.keys
    assert told(await reconciliation.run(apply=False)) == {}


async def test_rows_without_their_object_are_told_and_copies_are_made_again(
    damaged: DamagedStore, reconciliation: Reconciliation, sessions: Sessions
) -> None:
    media = [await damaged.add() for _ in range(4)]
    untouched, original, rendition, copy = media
    await damaged.store.delete([original.original, rendition.renditions[1], *copy.copies])
    expected = {
        Difference.MISSING_ORIGINAL: {original.original},
        Difference.MISSING_RENDITION: {rendition.renditions[1]},
        Difference.MISSING_COPY: set(copy.copies),
    }
    report = await reconciliation.run(apply=False)
    assert {difference: keys for difference, (_, _, keys) in told(report).items()} == expected
    assert report.left == 4

    report = await reconciliation.run(apply=True)
    assert {difference: mended for difference, (_, mended, _) in told(report).items()} == {
        Difference.MISSING_ORIGINAL: 0,
        Difference.MISSING_RENDITION: 0,
        Difference.MISSING_COPY: 2,
    }
    assert report.left == 2
    async with sessions() as session:
        jobs = await jobs_of(session, PUBLICATION_ENTRYPOINT)
    assert jobs == [{"media_id": str(copy.media.id)}]
    await Publications(sessions=sessions, store=damaged.store, cdn=NoCdn()).settle(copy.media.id)
    assert set(copy.copies) <= await damaged.keys()
    await damaged.put(original.original)
    await damaged.put(rendition.renditions[1])
    assert told(await reconciliation.run(apply=False)) == {}
    assert untouched.keys <= await damaged.keys()


async def test_what_is_young_is_left_alone(
    damaged: DamagedStore, reconciliation: Reconciliation, owner: User
) -> None:
    key = await damaged.put(unknown_original(owner), age=GRACE - timedelta(minutes=1))
    report = await reconciliation.run(apply=True)
    assert (told(report), report.young) == ({}, 1)
    damaged.age(key, GRACE + timedelta(minutes=1))
    assert told(await reconciliation.run(apply=True)) == {Difference.ORPHAN: (1, 1, {key})}


async def test_what_is_on_its_way_is_left_alone_however_old(
    damaged: DamagedStore, reconciliation: Reconciliation, sessions: Sessions, owner: User
) -> None:
    processing = await damaged.add(status=MediaStatus.PROCESSING)
    await damaged.put(rendition_key(processing.original, "image-2", "webp-320.webp"))
    leaving = await damaged.put(unknown_original(owner))
    blob_id = blob_of_key(leaving)
    assert blob_id is not None
    staged = await damaged.put(f"staging/{unknown_original(owner)}")
    async with sessions.begin() as session:
        session.add(DeletionOutbox(blob_id=blob_id, key=leaving, not_before=utc_now()))
        session.add(
            Upload(
                media_id=processing.media.id,
                key=staged,
                status=UploadStatus.PENDING,
                expires_at=utc_now() + timedelta(hours=1),
            )
        )
    before = await damaged.keys()
    report = await reconciliation.run(apply=True)
    assert (told(report), report.young) == ({}, 0)
    assert await damaged.keys() == before


async def test_what_somebody_else_keeps_in_the_store_is_told_and_never_touched(
    damaged: DamagedStore, reconciliation: Reconciliation
) -> None:
    keys = {await damaged.put(key) for key in ("backup.tar", "notes/2026/11/21/a.txt", "public/index.html")}
    report = await reconciliation.run(apply=True)
    assert told(report) == {Difference.FOREIGN: (3, 0, keys)}
    assert report.left == 0
    assert await damaged.keys() == keys


async def test_media_that_have_no_object_to_miss_miss_none(
    damaged: DamagedStore, reconciliation: Reconciliation, sessions: Sessions
) -> None:
    waiting = await damaged.add(status=MediaStatus.UPLOADING)
    withdrawn = await damaged.add()
    async with sessions.begin() as session:
        await session.delete(await session.get_one(Publication, waiting.media.id))
        (await session.get_one(Publication, withdrawn.media.id)).withdrawn_at = utc_now()
    await damaged.store.delete([*waiting.keys, *withdrawn.copies])
    assert told(await reconciliation.run(apply=False)) == {}


async def test_parts_that_nobody_awaits_are_aborted(
    damaged: DamagedStore, reconciliation: Reconciliation, sessions: Sessions, owner: User
) -> None:
    awaited = await damaged.add(status=MediaStatus.UPLOADING)
    async with sessions.begin() as session:
        session.add(
            Upload(
                media_id=awaited.media.id,
                key=awaited.original,
                status=UploadStatus.PENDING,
                expires_at=utc_now() + timedelta(hours=1),
            )
        )
    old, young = utc_now() - timedelta(hours=4), utc_now() - timedelta(hours=2)
    forgotten = unknown_original(owner)
    opened = [
        OpenMultipart(key=awaited.original, upload_id="awaited", started_at=old),
        OpenMultipart(key=forgotten, upload_id="forgotten", started_at=old),
        OpenMultipart(key=forgotten, upload_id="young", started_at=young),
        OpenMultipart(key="somebody/else", upload_id="foreign", started_at=old),
    ]
    damaged.store.open_multiparts = list(opened)
    for apply in (False, True):
        assert told(await reconciliation.run(apply=apply)) == {
            Difference.ORPHAN_MULTIPART: (1, int(apply), {forgotten}),
            Difference.FOREIGN: (1, 0, {"somebody/else"}),
        }
    assert [each.upload_id for each in damaged.store.open_multiparts] == ["awaited", "young", "foreign"]


class BusyStore(StoreWithMultiparts):
    """Says what it held a moment ago; `meanwhile` is done before, once the rows were read."""

    listed: Sequence[ObjectInfo]
    meanwhile: Callable[[], Awaitable[None]]

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        await self.meanwhile()
        for entry in self.listed:
            yield entry


async def test_what_changed_since_it_was_listed_is_no_difference(
    damaged: DamagedStore, sessions: Sessions, owner: User, tmp_path: Path
) -> None:
    """Objects that came after the listing, one that went, one written anew, and a row that came late."""
    came_late, known = await damaged.add(), await damaged.add()
    gone = await damaged.put(unknown_original(owner))
    anew = await damaged.put(unknown_original(owner))
    named_late = await damaged.put(rendition_key(known.original, "image-1", "webp-960.webp"))
    store = BusyStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    store.open_multiparts = []
    store.listed = [entry async for entry in damaged.store.list("") if entry.key not in came_late.keys]
    await damaged.store.delete([gone])
    damaged.age(anew, timedelta())

    async def name() -> None:
        async with sessions.begin() as session:
            blob = await session.get_one(Blob, known.media.blob_id)
            session.add(rendition_row(blob, named_late))

    store.meanwhile = name
    report = await Reconciliation(sessions=sessions, store=store, grace=GRACE).run(apply=True)
    assert told(report) == {}
    assert {anew, named_late} <= await damaged.keys()


async def test_many_differences_are_counted_and_a_few_are_named(
    damaged: DamagedStore, reconciliation: Reconciliation, owner: User
) -> None:
    count = 2 * BATCH + 7
    for _ in range(count):
        await damaged.put(unknown_original(owner))
    report = await reconciliation.run(apply=True)
    tally = report.found[Difference.ORPHAN]
    assert (tally.count, tally.mended, len(tally.examples)) == (count, count, MAX_EXAMPLES)
    assert await damaged.keys() == set()


async def test_what_came_for_an_upload_that_was_given_up_is_an_orphan(
    damaged: DamagedStore, reconciliation: Reconciliation, sessions: Sessions
) -> None:
    """Its media names the key as long as it lives, and nobody can ever be shown what is there."""
    given_up, known = await damaged.add(status=MediaStatus.UPLOADING), await damaged.add()
    values = {"status": "FAILED", "failure_code": "CANCELLED", "held_bytes": 0, "version": 2}
    async with sessions.begin() as session:
        await session.exec(update(Media).where(col(Media.id) == given_up.media.id).values(**values))
        await session.exec(update(Blob).where(col(Blob.id) == given_up.media.blob_id).values(etag=None))
        await session.exec(delete(Publication).where(col(Publication.media_id) == given_up.media.id))
        await session.exec(delete(Rendition).where(col(Rendition.blob_id) == given_up.media.blob_id))
    await damaged.store.delete([*given_up.renditions, *given_up.copies])
    report = await reconciliation.run(apply=True)
    assert told(report) == {Difference.ORPHAN: (1, 1, {given_up.original})}
    assert await damaged.keys() == known.keys
    assert told(await reconciliation.run(apply=True)) == {}
