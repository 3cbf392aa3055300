"""Publishing: whatever happens on the way, what is public in the end is what is wanted, and nothing else."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, select
from structlog.testing import capture_logs

from db.models import Blob, Media, MediaStatus, Rendition, Role, User, Visibility, new_id, utc_now
from db.publications import lock_publication, renew_publications
from db.sessions import Sessions, create_engine, create_sessions
from services.publications import Publications
from storage.disk import DiskStore
from storage.errors import StorageUnavailableError
from storage.objects import ObjectInfo
from tests.services.publishing import NAMES, BreakableStore, Gallery, Killed, RecordingCdn

PUBLIC, PRIVATE = Visibility.PUBLIC, Visibility.PRIVATE

#: Beneath a prefix that nobody can guess: 160 bits.
KEY = re.compile(r"public/[0-9a-f]{40}/image-1/[a-z]+-\d+\.[a-z]+")


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
def store(tmp_path: Path) -> BreakableStore:
    return BreakableStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)


@pytest.fixture
def cdn() -> RecordingCdn:
    return RecordingCdn()


@pytest.fixture
def publications(sessions: Sessions, store: BreakableStore, cdn: RecordingCdn) -> Publications:
    return Publications(sessions=sessions, store=store, cdn=cdn)


@pytest.fixture
async def gallery(sessions: Sessions, tmp_path: Path) -> Gallery:
    async with sessions.begin() as session:
        owner = User(username=f"owner-{new_id()}", role=Role.EDITOR)
        session.add(owner)
    sound = DiskStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    return Gallery(sessions, sound, owner, tmp_path)


async def test_a_public_media_has_copies_that_say_nothing_of_it(
    gallery: Gallery, publications: Publications
) -> None:
    media_id = await gallery.add()
    await publications.settle(media_id)
    keys = await gallery.public_keys()
    assert len(keys) == len(NAMES)
    assert all(KEY.fullmatch(key) for key in keys)
    assert await gallery.is_settled()


async def test_settling_again_changes_nothing(
    gallery: Gallery, publications: Publications, store: BreakableStore
) -> None:
    media_id = await gallery.add()
    await publications.settle(media_id)
    before, published = await gallery.public_keys(), await gallery.publication(media_id)
    store.mend()
    await publications.settle(media_id)
    assert (await gallery.public_keys(), await gallery.publication(media_id)) == (before, published)
    assert store.count == 0


@pytest.mark.parametrize("status", [MediaStatus.UPLOADING, MediaStatus.PROCESSING, MediaStatus.FAILED])
async def test_a_public_media_that_is_not_ready_has_none(
    gallery: Gallery, publications: Publications, status: MediaStatus
) -> None:
    media_id = await gallery.add(status=status)
    await publications.settle(media_id)
    assert await gallery.public_keys() == []
    assert await gallery.publication(media_id) is None


async def test_a_private_media_and_one_that_never_was_have_none(
    gallery: Gallery, publications: Publications
) -> None:
    await publications.settle(await gallery.add(PRIVATE))
    await publications.settle(new_id())
    assert await gallery.is_settled()
    assert await gallery.public_keys() == []


async def test_unpublishing_removes_the_copies_and_asks_the_network_to_forget_them(
    gallery: Gallery, publications: Publications, cdn: RecordingCdn
) -> None:
    media_id = await gallery.add()
    await publications.settle(media_id)
    published = await gallery.publication(media_id)
    assert published
    await gallery.change(media_id, visibility=PRIVATE)
    await publications.settle(media_id)
    assert await gallery.public_keys() == []
    assert await gallery.publication(media_id) is None
    assert cdn.purged == [published.prefix]


async def test_a_deleted_media_loses_its_copies(gallery: Gallery, publications: Publications) -> None:
    media_id = await gallery.add()
    await publications.settle(media_id)
    await gallery.delete(media_id)
    await publications.settle(media_id)
    assert await gallery.public_keys() == []
    assert await gallery.is_settled()


async def test_an_address_that_died_stays_dead(gallery: Gallery, publications: Publications) -> None:
    media_id = await gallery.add()
    prefixes = set()
    for _ in range(3):
        await gallery.change(media_id, visibility=PUBLIC)
        await publications.settle(media_id)
        published = await gallery.publication(media_id)
        assert published
        prefixes.add(published.prefix)
        await gallery.change(media_id, visibility=PRIVATE)
        await publications.settle(media_id)
    assert len(prefixes) == 3


async def test_a_network_that_cannot_be_asked_is_asked_again(
    gallery: Gallery, publications: Publications, cdn: RecordingCdn
) -> None:
    media_id = await gallery.add()
    await publications.settle(media_id)
    await gallery.change(media_id, visibility=PRIVATE)
    cdn.failing = 1
    with pytest.raises(OSError, match="network"):
        await publications.settle(media_id)
    assert await gallery.public_keys() == []
    await publications.settle(media_id)
    assert len(cdn.purged) == 1
    assert await gallery.is_settled()


# --- a process that ends at any point ----------------------------------------------------------------


#: Where it can end: before and after each of the copies; and of a listing and a deletion.
PUBLISHING_POINTS, UNPUBLISHING_POINTS = 2 * len(NAMES), 4


async def ends(
    publications: Publications, store: BreakableStore, media_id: UUID, error: type[BaseException], *, at: int
) -> bool:
    """Settle with a store that fails before (even) or after (odd) its operation number `at` // 2 + 1.

    Whether it did: False when there is no such operation.
    """

    def fail(what: str, number: int) -> None:
        if number == at // 2 + 1:
            raise error

    store.mend()
    if at % 2:
        store.after = fail
    else:
        store.before = fail
    try:
        await publications.settle(media_id)
    except error:
        return True
    finally:
        store.mend()
    return False


@pytest.mark.parametrize("error", [Killed, asyncio.CancelledError, StorageUnavailableError])
async def test_a_publishing_that_ends_at_any_point_is_mended_by_the_next(
    gallery: Gallery, publications: Publications, store: BreakableStore, error: type[BaseException]
) -> None:
    for point, then in product(range(PUBLISHING_POINTS), (PRIVATE, PUBLIC)):
        media_id = await gallery.add()
        assert await ends(publications, store, media_id, error, at=point)
        await gallery.change(media_id, visibility=then)
        await publications.settle(media_id)
        assert await gallery.is_settled(), (point, then)
    assert not await ends(publications, store, await gallery.add(), error, at=PUBLISHING_POINTS)


@pytest.mark.parametrize("error", [Killed, asyncio.CancelledError, StorageUnavailableError])
async def test_an_unpublishing_that_ends_at_any_point_is_mended_by_the_next(
    gallery: Gallery, publications: Publications, store: BreakableStore, error: type[BaseException]
) -> None:
    for point, then in product(range(UNPUBLISHING_POINTS), (PRIVATE, PUBLIC)):
        media_id = await gallery.add()
        await publications.settle(media_id)
        ended = await gallery.publication(media_id)
        await gallery.change(media_id, visibility=PRIVATE)
        assert await ends(publications, store, media_id, error, at=point)
        await gallery.change(media_id, visibility=then)
        await publications.settle(media_id)
        assert await gallery.is_settled(), (point, then)
        published = await gallery.publication(media_id)
        assert (published is not None) is (then is PUBLIC)
        assert published is None or (ended and published.prefix != ended.prefix)
    media_id = await gallery.add()
    await publications.settle(media_id)
    await gallery.change(media_id, visibility=PRIVATE)
    assert not await ends(publications, store, media_id, error, at=UNPUBLISHING_POINTS)


async def test_half_a_publication_is_completed_under_its_prefix(
    gallery: Gallery, publications: Publications, store: BreakableStore
) -> None:
    media_id = await gallery.add()
    assert await ends(publications, store, media_id, Killed, at=2)
    half = await gallery.publication(media_id)
    assert half
    assert half.published_at is None
    assert len(await gallery.public_keys()) == 1
    await publications.settle(media_id)
    whole = await gallery.publication(media_id)
    assert whole
    assert whole.prefix == half.prefix
    assert await gallery.is_settled()


async def test_the_prefix_is_recorded_before_the_first_object_is_written(
    gallery: Gallery, publications: Publications, store: BreakableStore
) -> None:
    media_id = await gallery.add()
    assert await ends(publications, store, media_id, Killed, at=0)
    recorded = await gallery.publication(media_id)
    assert recorded
    assert recorded.published_at is None


# --- several at once ---------------------------------------------------------------------------------


class UnevenStore(BreakableStore):
    """Takes now more, now less time, so that others get in between at every point."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        super().__init__(root, base_url="http://127.0.0.1/objects", secret=b"s" * 32)
        self._chance = chance

    async def copy(
        self, source: str, key: str, *, content_type: str, if_etag: str | None = None
    ) -> ObjectInfo:
        await asyncio.sleep(self._chance.choice([0, 0.005, 0.02]))
        return await super().copy(source, key, content_type=content_type, if_etag=if_etag)

    async def delete(self, keys: Sequence[str]) -> None:
        await asyncio.sleep(self._chance.choice([0, 0.005, 0.02]))
        await super().delete(keys)


@pytest.mark.parametrize("seed", range(2))
async def test_four_who_flip_at_once_end_with_what_the_last_one_wanted(
    gallery: Gallery, publications: Publications, seed: int
) -> None:
    """Each settles after its own flip, as the inline settling and the jobs do."""
    chance = random.Random(seed)
    publications = replace(publications, store=UnevenStore(gallery.root, chance))
    media_id = await gallery.add(PRIVATE)

    async def flip_often() -> None:
        for _ in range(12):
            await gallery.change(media_id, visibility=chance.choice([PUBLIC, PRIVATE]))
            if chance.random() < 0.8:
                await publications.settle(media_id)

    async with asyncio.timeout(60):
        await asyncio.gather(*(flip_often() for _ in range(4)))
        await publications.settle(media_id)
    assert await gallery.is_settled()
    for last in (PUBLIC, PRIVATE):
        await gallery.change(media_id, visibility=last)
        await publications.settle(media_id)
        assert await gallery.is_settled()
        assert bool(await gallery.public_keys()) is (last is PUBLIC)


async def test_only_one_settles_a_media_at_a_time(
    gallery: Gallery, publications: Publications, store: BreakableStore
) -> None:
    media_id = await gallery.add()
    await asyncio.gather(*(publications.settle(media_id) for _ in range(6)))
    assert store.count == len(NAMES)
    assert await gallery.is_settled()


class PausingStore(BreakableStore):
    """Stops before the operation `pause_at` until it is told to go on."""

    def __init__(self, root: Path, *, pause_at: tuple[str, int]) -> None:
        super().__init__(root, base_url="http://127.0.0.1/objects", secret=b"s" * 32)
        self._pause_at = pause_at
        self.is_paused, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def copy(
        self, source: str, key: str, *, content_type: str, if_etag: str | None = None
    ) -> ObjectInfo:
        await self._pause("copy")
        return await super().copy(source, key, content_type=content_type, if_etag=if_etag)

    async def delete(self, keys: Sequence[str]) -> None:
        await self._pause("delete")
        await super().delete(keys)

    async def _pause(self, what: str) -> None:
        if (what, self.count + 1) == self._pause_at:
            self.is_paused.set()
            await self.may_go_on.wait()


async def is_waiting(task: "asyncio.Task[None]") -> bool:
    done, _ = await asyncio.wait([task], timeout=0.3)
    return not done


@pytest.mark.parametrize("how", ["unpublished", "deleted"])
async def test_a_media_that_goes_while_it_is_copied_leaves_nothing(
    gallery: Gallery, publications: Publications, how: str
) -> None:
    slow = PausingStore(gallery.root, pause_at=("copy", 2))
    media_id = await gallery.add()
    copying = asyncio.create_task(replace(publications, store=slow).settle(media_id))
    await slow.is_paused.wait()
    if how == "deleted":
        await gallery.delete(media_id)
    else:
        await gallery.change(media_id, visibility=PRIVATE)
    going = asyncio.create_task(publications.settle(media_id))
    assert await is_waiting(going), "the copies are not gone yet"
    slow.may_go_on.set()
    await going
    assert await gallery.public_keys() == []
    await copying
    assert slow.count < len(NAMES) + 2, "it went on copying"
    assert await gallery.is_settled()


async def test_whoever_unpublishes_waits_for_the_one_who_removes(
    gallery: Gallery, publications: Publications
) -> None:
    slow = PausingStore(gallery.root, pause_at=("delete", 2))
    media_id = await gallery.add()
    await publications.settle(media_id)
    await gallery.change(media_id, visibility=PRIVATE)
    removing = asyncio.create_task(replace(publications, store=slow).settle(media_id))
    await slow.is_paused.wait()
    other = asyncio.create_task(publications.settle(media_id))
    assert await is_waiting(other)
    slow.may_go_on.set()
    await other
    assert await gallery.public_keys() == []
    await removing


async def test_one_who_lost_the_lock_removes_what_it_copied_since(
    gallery: Gallery, publications: Publications
) -> None:
    """As a process that was stopped for longer than a transaction may be idle."""
    slow = PausingStore(gallery.root, pause_at=("copy", 2))
    media_id = await gallery.add()
    copying = asyncio.create_task(replace(publications, store=slow).settle(media_id))
    await slow.is_paused.wait()
    await end_idle_transactions(gallery.sessions)
    await gallery.change(media_id, visibility=PRIVATE)
    await publications.settle(media_id)
    assert await gallery.public_keys() == []
    slow.may_go_on.set()
    with pytest.raises(DBAPIError):
        await copying
    assert slow.count > 2, "it copied nothing, so nothing was shown"
    assert await gallery.public_keys() == []
    assert await gallery.is_settled()


@pytest.mark.parametrize("impatient", [False, True])
async def test_one_who_lost_the_lock_and_is_cancelled_removes_what_it_copied_since(
    gallery: Gallery, publications: Publications, impatient: bool
) -> None:
    """As a worker that was stopped, goes on and is told to end; cancelled once more while it cleans up."""
    store = BreakableStore(gallery.root, base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    copied, cleaning, may_go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow(BreakableStore):
        async def copy(
            self, source: str, key: str, *, content_type: str, if_etag: str | None = None
        ) -> ObjectInfo:
            info = await store.copy(source, key, content_type=content_type, if_etag=if_etag)
            copied.set()
            await asyncio.Event().wait()
            return info

        async def delete(self, keys: Sequence[str]) -> None:
            cleaning.set()
            await may_go_on.wait()
            await store.delete(keys)

    slow = Slow(gallery.root, base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    media_id = await gallery.add()
    copying = asyncio.create_task(replace(publications, store=slow).settle(media_id))
    await copied.wait()
    [key] = await gallery.public_keys()
    await end_idle_transactions(gallery.sessions)
    await gallery.change(media_id, visibility=PRIVATE)
    await publications.settle(media_id)
    source = gallery.root.parent / "late"
    source.write_bytes(b"copied by one who has lost the lock")
    await gallery.store.put_file(key, source, content_type="image/webp")
    copying.cancel()
    await asyncio.wait_for(cleaning.wait(), 5)
    if impatient:
        copying.cancel()
        assert await is_waiting(copying)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert await gallery.public_keys() == []
    assert await gallery.is_settled()


async def test_a_store_that_hangs_keeps_nobody_who_is_cancelled(
    gallery: Gallery, publications: Publications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.publications.CLEAN_UP_SECONDS", 0.1)
    slow = PausingStore(gallery.root, pause_at=("copy", 2))
    media_id = await gallery.add()
    copying = asyncio.create_task(replace(publications, store=slow).settle(media_id))
    await slow.is_paused.wait()
    await end_idle_transactions(gallery.sessions)
    await gallery.change(media_id, visibility=PRIVATE)
    await publications.settle(media_id)

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Publications, "_remove", hang)
    copying.cancel()
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(copying, 5)
    assert [line["event"] for line in logs] == ["publication_not_cleaned_up"]


async def end_idle_transactions(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        connection = await session.connection()
        await connection.execute(
            text("""
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND state = 'idle in transaction'
                  AND pid <> pg_backend_pid()
            """)
        )


# --- without anybody's asking ------------------------------------------------------------------------


async def let_time_pass(sessions: Sessions) -> None:
    """Every change is older than the time in which its job may still come."""
    async with sessions.begin() as session:
        connection = await session.connection()
        for table, column in (
            ("publication_changes", "at"),
            ("publications", "created_at"),
            ("publications", "withdrawn_at"),
        ):
            moment = f"{column} - interval '1 minute'"
            await connection.execute(text(f"UPDATE {table} SET {column} = {moment}"))


async def test_the_sweep_finds_what_is_stranded_in_both_directions(
    gallery: Gallery, publications: Publications, store: BreakableStore
) -> None:
    unpublished, half, hidden, deleted, failed = [await gallery.add() for _ in range(5)]
    await ends(publications, store, half, Killed, at=3)
    for media_id in (hidden, deleted, failed):
        await publications.settle(media_id)
    await gallery.change(hidden, visibility=PRIVATE)
    await ends(publications, store, failed, Killed, at=0)
    await gallery.delete(deleted)
    fine = await gallery.add()
    await publications.settle(fine)
    await let_time_pass(gallery.sessions)
    assert await publications.sweep() == 4
    assert await gallery.is_settled()
    assert await gallery.publication(unpublished)
    assert await publications.sweep() == 0


async def test_the_sweep_leaves_a_fresh_change_to_its_job(
    gallery: Gallery, publications: Publications
) -> None:
    media_id = await gallery.add()
    assert await publications.sweep() == 0
    await let_time_pass(gallery.sessions)
    assert await publications.sweep() == 1
    assert await gallery.publication(media_id)


async def test_a_removal_that_was_cut_off_is_swept_although_the_media_is_public_again(
    gallery: Gallery, publications: Publications, store: BreakableStore
) -> None:
    media_id = await gallery.add()
    await publications.settle(media_id)
    await gallery.change(media_id, visibility=PRIVATE)
    assert await ends(publications, store, media_id, Killed, at=2)
    await gallery.change(media_id, visibility=PUBLIC)
    assert not await gallery.is_settled()
    await let_time_pass(gallery.sessions)
    assert await publications.sweep() == 1
    assert await gallery.is_settled()


async def test_what_is_to_be_completed_is_swept_without_a_change(
    gallery: Gallery, publications: Publications
) -> None:
    """As after a restore, which has the rows but none of the copies."""
    media_id = await gallery.add()
    await publications.settle(media_id)
    await gallery.store.delete(await gallery.public_keys())
    async with gallery.sessions.begin() as session:
        connection = await session.connection()
        await connection.execute(text("UPDATE publications SET published_at = NULL"))
    await let_time_pass(gallery.sessions)
    assert await publications.sweep() == 1
    assert await gallery.is_settled()
    assert await publications.sweep() == 0


@pytest.mark.parametrize(("before", "after"), [(PRIVATE, PUBLIC), (PUBLIC, PRIVATE)])
async def test_a_change_during_the_settling_is_not_taken_for_settled(
    gallery: Gallery, publications: Publications, before: Visibility, after: Visibility
) -> None:
    """It comes when all is done but for the end of the note that something was to do."""
    media_id = await gallery.add(PUBLIC)
    await publications.settle(media_id)
    for visibility in (after, before):
        await gallery.change(media_id, visibility=visibility)

    class Changing(Publications):
        async def _take_turn(self, media_id: UUID) -> bool:
            if done := await super()._take_turn(media_id):
                await gallery.change(media_id, visibility=after)
            return done

    late = Changing(sessions=publications.sessions, store=publications.store, cdn=publications.cdn)
    await late.settle(media_id)
    await let_time_pass(gallery.sessions)
    assert await publications.sweep() == 1
    assert await gallery.is_settled()


async def test_what_no_service_has_changed_is_swept_as_well(
    gallery: Gallery, publications: Publications
) -> None:
    media_id = await gallery.add()
    await publications.settle(media_id)
    async with gallery.sessions.begin() as session:
        connection = await session.connection()
        await connection.execute(text("UPDATE media SET visibility = 'PRIVATE', version = version + 1"))
    await let_time_pass(gallery.sessions)
    assert await publications.sweep() == 1
    assert await gallery.public_keys() == []


async def test_the_sweep_takes_more_than_a_batch_and_one_that_fails_holds_none_back(
    gallery: Gallery, publications: Publications
) -> None:
    media_ids = [await gallery.add() for _ in range(7)]
    for key in [info.key async for info in gallery.store.list(f"{gallery.owner.id}/")][:1]:
        await gallery.store.delete([key])
    await let_time_pass(gallery.sessions)
    with capture_logs() as logs:
        assert await publications.sweep(batch=2) == 6
    assert [line["event"] for line in logs].count("publication_not_settled") == 1
    published = [await gallery.publication(media_id) for media_id in media_ids]
    assert sum(row is not None and row.published_at is not None for row in published) == 6


async def test_a_store_that_is_away_ends_the_sweep(
    gallery: Gallery, publications: Publications, store: BreakableStore
) -> None:
    for _ in range(3):
        await gallery.add()
    await let_time_pass(gallery.sessions)

    def fail(what: str, number: int) -> None:
        raise StorageUnavailableError

    store.before = fail
    with pytest.raises(StorageUnavailableError):
        await publications.sweep()
    assert store.count == 1
    store.mend()
    assert await publications.sweep() == 3


async def test_an_outage_is_logged_and_answered(
    gallery: Gallery, publications: Publications, store: BreakableStore
) -> None:
    media_id = await gallery.add()
    await publications.settle(media_id)
    await gallery.change(media_id, visibility=PRIVATE)

    def fail(what: str, number: int) -> None:
        raise StorageUnavailableError

    store.before = fail
    with capture_logs() as logs:
        await publications.settle_now(media_id)
    [line] = logs
    assert (line["event"], line["log_level"], line["media"]) == (
        "publication_not_settled",
        "warning",
        str(media_id),
    )
    assert len(await gallery.public_keys()) == len(NAMES)
    store.mend()
    await publications.settle_now(media_id)
    assert await gallery.public_keys() == []


async def test_renditions_that_are_made_anew_while_the_former_are_copied_are_published(
    gallery: Gallery, publications: Publications, store: BreakableStore, sessions: Sessions
) -> None:
    """By another media with the same bytes, whose worker finds no publication to renew yet."""
    media_id = await gallery.add()
    renewed = asyncio.Event()

    async def renew() -> None:
        async with sessions.begin() as session:
            media = await session.get_one(Media, media_id)
            blob = await session.get_one(Blob, media.blob_id)
            statement = select(Rendition).where(col(Rendition.blob_id) == blob.id)
            for made in (await session.exec(statement)).all():
                key = made.key.replace("image-1", "image-2")
                session.add(
                    Rendition(**made.model_dump() | {"id": new_id(), "recipe": "image-2", "key": key})
                )
                await store.put_file(key, gallery.root / made.key, content_type=made.mime_type)
            blob.recipe = "image-2"
            await session.flush()
            assert await renew_publications(session, blob.id) == []
        renewed.set()

    copy = store.copy

    async def copy_and_renew(*args: Any, **options: Any) -> ObjectInfo:
        info = await copy(*args, **options)
        if not renewed.is_set():
            await renew()
        return info

    store.copy = copy_and_renew  # type: ignore[method-assign]
    await publications.settle(media_id)
    assert [key.split("/")[2] for key in await gallery.public_keys()] == ["image-1"] * 3 + ["image-2"] * 3


async def test_who_makes_renditions_anew_waits_for_nobody_who_removes_copies(
    gallery: Gallery, publications: Publications, sessions: Sessions
) -> None:
    media_id = await gallery.add()
    await publications.settle(media_id)
    async with sessions.begin() as session:
        publication = await lock_publication(session, media_id)
        assert publication is not None
        publication.withdrawn_at = utc_now()
    async with sessions.begin() as remover, sessions.begin() as renewer:
        await lock_publication(remover, media_id)
        media = await renewer.get_one(Media, media_id)
        await (await renewer.connection()).execute(text("SET LOCAL lock_timeout = '500ms'"))
        assert await renew_publications(renewer, media.blob_id) == []
