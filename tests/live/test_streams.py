"""The two streams on a real log: what a client is told, in which order, and when a stream ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import update

from db.events import prune_events
from db.media import TagChange, change_media, create_media, delete_media, lock_media, retag_media
from db.media_lists import MediaCriteria, MediaScope
from db.models import EventLog, MediaEventType, MediaKind, MediaStatus, User, Visibility, new_id, utc_now
from db.sessions import Sessions
from pubsub.doorbell import Doorbell
from services.cursors import LiveCursors
from services.errors import InvalidInput, NotFound
from services.feed import EventFeed
from services.live import LiveEvents, LiveUpdate, LiveUpdateType
from tests.live.conftest import StartFeed
from tests.live.test_event_log import kill_all_connections, number_all
from tests.live.writers import add_user, media_row

PROCESSING, READY, FAILED = MediaStatus.PROCESSING, MediaStatus.READY, MediaStatus.FAILED
CURSORS = LiveCursors(b"a secret of the installation")


@dataclass(frozen=True)
class Owner:
    """Somebody who uploads and changes media as the services do."""

    user: User
    sessions: Sessions
    doorbell: Doorbell

    @property
    def id(self) -> UUID:
        return self.user.id

    async def upload(self, *tags: str, status: MediaStatus = MediaStatus.UPLOADING) -> UUID:
        media = await media_row(self.sessions, self.id, status=status)
        async with self.sessions() as session, session.begin():
            await create_media(session, [(media, tags)])
        await self.doorbell.ring()
        return media.id

    async def turn(self, media_id: UUID, *statuses: MediaStatus) -> None:
        for status in statuses:
            async with self.sessions() as session, session.begin():
                media = (await lock_media(session, self.id, [media_id]))[media_id]
                await change_media(session, media, MediaEventType.STATUS_CHANGED, status=status)
            await self.doorbell.ring()

    async def retag(self, media_id: UUID, before: Sequence[str], after: Sequence[str]) -> None:
        async with self.sessions() as session, session.begin():
            media = (await lock_media(session, self.id, [media_id]))[media_id]
            await retag_media(session, [TagChange(media=media, before=set(before), after=set(after))])
        await self.doorbell.ring()

    async def show(self, media_id: UUID, visibility: Visibility) -> None:
        async with self.sessions() as session, session.begin():
            media = (await lock_media(session, self.id, [media_id]))[media_id]
            await change_media(session, media, MediaEventType.UPDATED, visibility=visibility)
        await self.doorbell.ring()

    async def delete(self, media_id: UUID) -> None:
        async with self.sessions() as session, session.begin():
            media = (await lock_media(session, self.id, [media_id]))[media_id]
            await delete_media(session, media)
        await self.doorbell.ring()


@pytest.fixture
async def owner(sessions: Sessions, doorbell: Doorbell) -> Owner:
    return Owner(await add_user(sessions), sessions, doorbell)


@pytest.fixture
def live(sessions: Sessions, feed: EventFeed) -> LiveEvents:
    return LiveEvents(sessions, feed, CURSORS)


def told(updates: Sequence[LiveUpdate]) -> list[str]:
    return [f"{u.type} {u.version} {u.status}" if u.version else str(u.type) for u in updates]


async def to_the_end(stream: AsyncIterator[LiveUpdate]) -> list[LiveUpdate]:
    async with asyncio.timeout(10):
        return [update async for update in stream]


async def take(stream: AsyncIterator[LiveUpdate], count: int) -> list[LiveUpdate]:
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


async def take_until_resync(stream: AsyncIterator[LiveUpdate]) -> list[LiveUpdate]:
    updates = await take(stream, 1)
    while updates[-1].type is not LiveUpdateType.RESYNC:
        updates += await take(stream, 1)
    return updates


async def test_a_media_is_followed_from_its_present_state_until_ready(owner: Owner, live: LiveEvents) -> None:
    media_id = await owner.upload()
    async with aclosing(live.follow_media(owner.user, media_id)) as stream:
        first = await take(stream, 1)
        await owner.retag(media_id, [], ["cat"])
        await owner.turn(media_id, PROCESSING, READY)
        rest = await to_the_end(stream)
    assert told(first + rest) == [
        "SNAPSHOT 1 UPLOADING",
        "STATUS_CHANGED 3 PROCESSING",
        "STATUS_CHANGED 4 READY",
    ]
    assert rest[0].previous_status is MediaStatus.UPLOADING
    assert rest[-1].media is not None
    assert rest[-1].media.version == 4


@pytest.mark.parametrize("status", [READY, FAILED])
async def test_a_media_that_has_ended_is_told_once(
    owner: Owner, live: LiveEvents, status: MediaStatus
) -> None:
    media_id = await owner.upload(status=PROCESSING)
    await owner.turn(media_id, status)
    assert told(await to_the_end(live.follow_media(owner.user, media_id))) == [f"SNAPSHOT 2 {status}"]


async def test_deletion_ends_the_stream_of_a_media(owner: Owner, live: LiveEvents) -> None:
    media_id = await owner.upload()
    async with aclosing(live.follow_media(owner.user, media_id)) as stream:
        await take(stream, 1)
        await owner.delete(media_id)
        (last,) = await to_the_end(stream)
    assert told([last]) == ["DELETED 2 UPLOADING"]
    assert last.media is None
    assert not last.matches


async def test_a_stream_cut_at_any_place_goes_on_without_gap_or_repetition(
    owner: Owner, live: LiveEvents
) -> None:
    before = await live.live_cursor()
    media_id = await owner.upload()
    await owner.turn(media_id, PROCESSING, FAILED)
    whole = await to_the_end(live.follow_media(owner.user, media_id, before))
    assert told(whole) == [
        "CREATED 1 UPLOADING",
        "STATUS_CHANGED 2 PROCESSING",
        "STATUS_CHANGED 3 FAILED",
    ]
    for cut in range(2):
        rest = await to_the_end(live.follow_media(owner.user, media_id, whole[cut].cursor))
        assert told(rest) == told(whole[cut + 1 :])


async def test_a_stream_resumed_after_a_restart_misses_nothing(
    owner: Owner, sessions: Sessions, start_feed: StartFeed
) -> None:
    media_id = await owner.upload()
    async with start_feed() as feed:
        stream = LiveEvents(sessions, feed, CURSORS).follow_media(owner.user, media_id)
        async with aclosing(stream):
            (snapshot,) = await take(stream, 1)
    await owner.turn(media_id, PROCESSING)
    async with start_feed() as feed:
        stream = LiveEvents(sessions, feed, CURSORS).follow_media(owner.user, media_id, snapshot.cursor)
        async with aclosing(stream):
            replayed = await take(stream, 1)
            await owner.turn(media_id, READY)
            rest = await to_the_end(stream)
    # The media was created before the snapshot, but perhaps numbered after it: clients drop version 1.
    assert [t for t in told(replayed + rest) if "CREATED" not in t] == [
        "STATUS_CHANGED 2 PROCESSING",
        "STATUS_CHANGED 3 READY",
    ]


async def test_a_cursor_from_after_the_end_brings_the_state_once(owner: Owner, live: LiveEvents) -> None:
    created_before = await live.live_cursor()
    media_id = await owner.upload()
    await owner.turn(media_id, PROCESSING, READY)
    await to_the_end(live.follow_media(owner.user, media_id, created_before))
    end = await live.live_cursor()
    assert told(await to_the_end(live.follow_media(owner.user, media_id, end))) == ["SNAPSHOT 3 READY"]
    before_deletion = await live.live_cursor()
    await owner.delete(media_id)
    deleted = await to_the_end(live.follow_media(owner.user, media_id, before_deletion))
    assert told(deleted) == ["DELETED 4 READY"]
    assert await to_the_end(live.follow_media(owner.user, media_id, deleted[-1].cursor)) == []


async def test_a_failure_that_was_retried_meanwhile_does_not_end_a_resumed_stream(
    owner: Owner, live: LiveEvents
) -> None:
    before = await live.live_cursor()
    media_id = await owner.upload(status=PROCESSING)
    await owner.turn(media_id, FAILED, PROCESSING)
    async with aclosing(live.follow_media(owner.user, media_id, before)) as stream:
        replayed = await take(stream, 3)
        await owner.turn(media_id, READY)
        rest = await to_the_end(stream)
    assert told(replayed + rest) == [
        "CREATED 1 PROCESSING",
        "STATUS_CHANGED 2 FAILED",
        "STATUS_CHANGED 3 PROCESSING",
        "STATUS_CHANGED 4 READY",
    ]


async def test_a_change_of_the_title_after_the_end_hides_nothing(owner: Owner, live: LiveEvents) -> None:
    before = await live.live_cursor()
    media_id = await owner.upload(status=PROCESSING)
    await owner.turn(media_id, READY)
    await owner.retag(media_id, [], ["cat"])
    replayed = await to_the_end(live.follow_media(owner.user, media_id, before))
    assert told(replayed) == ["CREATED 1 PROCESSING", "STATUS_CHANGED 2 READY"]


async def test_two_streams_of_one_media_tell_the_same(owner: Owner, live: LiveEvents) -> None:
    media_id = await owner.upload()
    streams = [live.follow_media(owner.user, media_id) for _ in range(2)]
    firsts = [await take(stream, 1) for stream in streams]
    ends = [asyncio.create_task(to_the_end(stream)) for stream in streams]
    await owner.turn(media_id, PROCESSING, READY)
    one, two = [told(first + await end) for first, end in zip(firsts, ends, strict=True)]
    assert one == two == ["SNAPSHOT 1 UPLOADING", "STATUS_CHANGED 2 PROCESSING", "STATUS_CHANGED 3 READY"]


async def test_no_one_follows_a_media_that_is_not_theirs(
    owner: Owner, sessions: Sessions, live: LiveEvents
) -> None:
    media_id = await owner.upload()
    stranger = await add_user(sessions)
    cursor = await live.live_cursor()
    for viewer, media, after in [
        (stranger, media_id, None),
        (stranger, media_id, cursor),
        (owner.user, new_id(), None),
        (owner.user, new_id(), cursor),
    ]:
        with pytest.raises(NotFound):
            await to_the_end(live.follow_media(viewer, media, after))
    await owner.delete(media_id)
    for viewer, after in [(owner.user, None), (stranger, cursor)]:
        with pytest.raises(NotFound):
            await to_the_end(live.follow_media(viewer, media_id, after))


async def test_what_is_no_cursor_is_refused(owner: Owner, live: LiveEvents) -> None:
    media_id = await owner.upload()
    with pytest.raises(InvalidInput):
        await to_the_end(live.follow_media(owner.user, media_id, "nonsense"))
    with pytest.raises(InvalidInput):
        await take(live.follow_library(owner.user, MediaCriteria(), "nonsense"), 1)


async def forget_everything(sessions: Sessions) -> None:
    await number_all(sessions)
    async with sessions() as session, session.begin():
        await prune_events(session, older_than=utc_now() + timedelta(minutes=1))


async def change_log(sessions: Sessions) -> None:
    async with sessions() as session, session.begin():
        await session.exec(update(EventLog).values(epoch=new_id()))


@pytest.mark.parametrize("lose", [forget_everything, change_log])
async def test_a_cursor_that_leads_nowhere_ends_in_resync_and_the_stream_goes_on(
    owner: Owner, sessions: Sessions, live: LiveEvents, lose: Callable[[Sessions], Awaitable[None]]
) -> None:
    old = await live.live_cursor()
    media_id = await owner.upload()
    await lose(sessions)

    async with aclosing(live.follow_media(owner.user, media_id, old)) as stream:
        assert told(await take(stream, 2)) == ["RESYNC", "SNAPSHOT 1 UPLOADING"]
        await owner.turn(media_id, FAILED)
        assert told(await to_the_end(stream)) == ["STATUS_CHANGED 2 FAILED"]

    async with aclosing(live.follow_library(owner.user, MediaCriteria(), old)) as stream:
        (resync,) = await take(stream, 1)
        assert resync.type is LiveUpdateType.RESYNC
        assert resync.media_id is None
        await owner.turn(media_id, PROCESSING)
        assert "STATUS_CHANGED 3 PROCESSING" in told(await take(stream, 1))


async def test_a_stream_whose_log_is_replaced_under_it_resyncs(
    owner: Owner, sessions: Sessions, live: LiveEvents
) -> None:
    media_id = await owner.upload()
    of_media = live.follow_media(owner.user, media_id)
    of_library = live.follow_library(owner.user, MediaCriteria())
    await take(of_media, 1)
    await take(of_library, 1)
    waiting = [asyncio.create_task(take(of_media, 2)), asyncio.create_task(take_until_resync(of_library))]
    await asyncio.sleep(0.2)
    await change_log(sessions)
    assert told(await waiting[0]) == ["RESYNC", "SNAPSHOT 1 UPLOADING"]
    assert "RESYNC" in told(await waiting[1])
    for stream in (of_media, of_library):
        await stream.aclose()


async def test_a_library_begins_with_a_cursor_and_tells_every_change(owner: Owner, live: LiveEvents) -> None:
    async with aclosing(live.follow_library(owner.user, MediaCriteria())) as stream:
        first = await take(stream, 1)
        media_id = await owner.upload("cat")
        await owner.retag(media_id, ["cat"], ["dog"])
        await owner.turn(media_id, PROCESSING)
        await owner.delete(media_id)
        rest = await take(stream, 4)
    assert told(first + rest) == [
        "CURSOR",
        "CREATED 1 UPLOADING",
        "UPDATED 2 UPLOADING",
        "STATUS_CHANGED 3 PROCESSING",
        "DELETED 4 PROCESSING",
    ]
    assert [update.matches for update in rest] == [True, True, True, False]


async def test_a_list_and_its_stream_join_without_a_gap(owner: Owner, live: LiveEvents) -> None:
    cursor = await live.live_cursor()
    media_ids = [await owner.upload() for _ in range(3)]
    async with aclosing(live.follow_library(owner.user, MediaCriteria(), cursor)) as stream:
        assert [u.media_id for u in await take(stream, 3)] == media_ids


@pytest.mark.parametrize(
    "filter",
    [
        MediaCriteria(tags_any=frozenset({"cat", "cow"})),
        MediaCriteria(tags_all=frozenset({"cat", "pet"})),
        MediaCriteria(tags_none=frozenset({"dog"}), tags_all=frozenset({"cat"})),
        MediaCriteria(tags_any=frozenset({"cat"}), kinds=frozenset({MediaKind.IMAGE})),
        MediaCriteria(tags_any=frozenset({"cat"}), statuses=frozenset({MediaStatus.UPLOADING})),
    ],
)
async def test_a_media_that_leaves_the_filter_says_so_once(
    owner: Owner, live: LiveEvents, filter: MediaCriteria
) -> None:
    async with aclosing(live.follow_library(owner.user, filter)) as stream:
        await take(stream, 1)
        other = await owner.upload("dog")
        media_id = await owner.upload("cat", "pet")
        await owner.retag(media_id, ["cat", "pet"], ["dog", "pet"])
        await owner.retag(media_id, ["dog", "pet"], ["pet"])
        await owner.retag(other, ["dog"], ["cat", "pet"])
        updates = await take(stream, 3)
    assert [(u.media_id, u.version, u.matches) for u in updates] == [
        (media_id, 1, True),
        (media_id, 2, False),
        (other, 2, True),
    ]


async def test_a_media_leaves_a_filter_of_statuses(owner: Owner, live: LiveEvents) -> None:
    filter = MediaCriteria(statuses=frozenset({PROCESSING}))
    async with aclosing(live.follow_library(owner.user, filter)) as stream:
        await take(stream, 1)
        media_id = await owner.upload()
        await owner.turn(media_id, PROCESSING, READY)
        updates = await take(stream, 2)
    assert [(u.status, u.matches) for u in updates] == [(PROCESSING, True), (READY, False)]


async def test_a_filter_of_ids_tells_only_of_them_and_an_empty_one_nothing(
    owner: Owner, live: LiveEvents
) -> None:
    await owner.upload()
    wanted = await owner.upload()
    async with (
        aclosing(live.follow_library(owner.user, MediaCriteria(media_ids=frozenset({wanted})))) as stream,
        aclosing(live.follow_library(owner.user, MediaCriteria(media_ids=frozenset()))) as empty,
    ):
        await take(stream, 1)
        await take(empty, 1)
        nothing = asyncio.create_task(take(empty, 1))
        await owner.upload()
        await owner.turn(wanted, PROCESSING)
        update = (await take(stream, 1))[0]
        while update.version == 1:
            (update,) = await take(stream, 1)
        assert (update.media_id, update.version) == (wanted, 2)
        assert not nothing.done()
        nothing.cancel()
        await asyncio.wait([nothing])


async def test_a_library_is_its_owners(owner: Owner, sessions: Sessions, live: LiveEvents) -> None:
    stranger = Owner(await add_user(sessions), sessions, owner.doorbell)
    async with aclosing(live.follow_library(owner.user, MediaCriteria())) as stream:
        await take(stream, 1)
        await stranger.upload()
        media_id = await owner.upload()
        assert [u.media_id for u in await take(stream, 1)] == [media_id]


async def test_a_foreign_media_is_told_while_it_is_public_and_then_no_more(
    owner: Owner, sessions: Sessions, live: LiveEvents
) -> None:
    stranger = await add_user(sessions)
    public = MediaCriteria(scope=MediaScope.PUBLIC)
    async with aclosing(live.follow_library(stranger, public)) as stream:
        await take(stream, 1)
        media_id = await owner.upload()
        await owner.show(media_id, Visibility.PUBLIC)
        await owner.turn(media_id, PROCESSING)
        seen = await take(stream, 2)
        await owner.show(media_id, Visibility.PRIVATE)
        (left,) = await take(stream, 1)
        await owner.turn(media_id, READY)
        await owner.delete(media_id)
        other = await owner.upload()
        await owner.show(other, Visibility.PUBLIC)
        (following,) = await take(stream, 1)
    assert told(seen) == ["UPDATED 2 UPLOADING", "STATUS_CHANGED 3 PROCESSING"]
    assert all(update.matches for update in seen)
    assert seen[0].media is not None
    assert told([left]) == ["UPDATED 4 PROCESSING"]
    assert not left.matches
    assert left.media is None
    assert (following.media_id, following.version) == (other, 2)


async def test_the_stream_of_a_foreign_media_ends_when_it_is_no_longer_public(
    owner: Owner, sessions: Sessions, live: LiveEvents
) -> None:
    stranger = await add_user(sessions)
    media_id = await owner.upload()
    with pytest.raises(NotFound):
        await take(live.follow_media(stranger, media_id), 1)
    await owner.show(media_id, Visibility.PUBLIC)
    async with aclosing(live.follow_media(stranger, media_id)) as stream:
        first = await take(stream, 1)
        await owner.turn(media_id, PROCESSING)
        second = await take(stream, 1)
        await owner.show(media_id, Visibility.PRIVATE)
        (last,) = await to_the_end(stream)
    assert told([*first, *second, last]) == [
        "SNAPSHOT 2 UPLOADING",
        "STATUS_CHANGED 3 PROCESSING",
        "UPDATED 4 PROCESSING",
    ]
    assert not last.matches
    assert last.media is None
    with pytest.raises(NotFound):
        await take(live.follow_media(stranger, media_id), 1)


async def test_streams_go_on_when_all_connections_are_lost(
    owner: Owner, database_url: str, live: LiveEvents
) -> None:
    media_id = await owner.upload()
    async with aclosing(live.follow_media(owner.user, media_id)) as stream:
        await take(stream, 1)
        for status in (PROCESSING, READY):
            await kill_all_connections(database_url)
            await owner.turn(media_id, status)
        assert told(await to_the_end(stream)) == ["STATUS_CHANGED 2 PROCESSING", "STATUS_CHANGED 3 READY"]
