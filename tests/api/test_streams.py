"""The two subscriptions over a real socket: what is told, in which order, and where a client goes on."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import uuid4

import pytest

from db.events import LogPosition
from services.cursors import LiveCursors
from tests.api.client import MEDIA_EVENTS, MEDIA_STATUS, Client, Json, Socket
from tests.api.service import SECRET
from tests.api.test_changes import DELETE, TAG, UNTAG, update

pytestmark = pytest.mark.asyncio(loop_scope="session")

ITEMS = "query { mediaItems { liveCursor nodes { id } } }"


def told(event: Json) -> tuple[str, int | None, str | None]:
    return (event["type"], event["version"], event["status"])


async def take(socket: Socket, id: str, count: int) -> list[Json]:
    return [await socket.event(id) for _ in range(count)]


async def test_a_media_is_followed_from_its_present_state_to_its_end(client: Client) -> None:
    requested = await client.request()
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_STATUS, id=requested.media_id)
        snapshot = await socket.event(id)
        await update(client, requested.media_id, title="Cat")
        await client.abort(requested.upload_id)
        failed = await socket.event(id)
        await socket.complete(id)
    assert (told(snapshot), snapshot["previousStatus"]) == (("SNAPSHOT", 1, "UPLOADING"), None)
    assert (told(failed), failed["previousStatus"]) == (("STATUS_CHANGED", 3, "FAILED"), "UPLOADING")
    assert snapshot["mediaId"] == failed["mediaId"] == failed["media"]["id"] == requested.media_id


async def test_a_deletion_ends_the_stream_without_a_media(client: Client) -> None:
    requested = await client.request()
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_STATUS, id=requested.media_id)
        await socket.event(id)
        await client.graphql(DELETE, id=requested.media_id)
        deleted = await socket.event(id)
        await socket.complete(id)
    assert (deleted["type"], deleted["version"], deleted["media"]) == ("DELETED", 2, None)


async def test_a_stream_that_was_cut_goes_on_after_its_cursor(client: Client) -> None:
    requested = await client.request()
    async with client.socket() as socket:
        cursor = (await socket.event(await socket.subscribe(MEDIA_STATUS, id=requested.media_id)))["cursor"]
    await client.put(requested.target)
    await client.finalize(requested.upload_id)
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_STATUS, id=requested.media_id, after=cursor)
        assert told(await socket.event(id)) == ("STATUS_CHANGED", 2, "PROCESSING")


@pytest.mark.parametrize("id", ["", "nonsense", "🦊", "VGFnOjA="])
async def test_following_what_is_not_there_is_an_error(client: Client, id: str) -> None:
    async with client.socket() as socket:
        operation = await socket.subscribe(MEDIA_STATUS, id=id)
        error = await socket.error(operation)
        await socket.complete(operation)
    assert (error["message"], error["extensions"]["code"]) == ("There is no such media.", "BAD_USER_INPUT")


async def test_following_what_is_somebody_elses_is_the_same_error(client: Client, stranger: Client) -> None:
    requested = await stranger.request()
    async with client.socket() as socket:
        error = await socket.error(await socket.subscribe(MEDIA_STATUS, id=requested.media_id))
    assert (error["message"], error["extensions"]["code"]) == ("There is no such media.", "BAD_USER_INPUT")


async def test_the_library_is_followed_from_a_cursor_that_comes_at_once(client: Client) -> None:
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_EVENTS)
        cursor = await socket.event(id)
        assert (cursor["type"], cursor["mediaId"], cursor["version"]) == ("CURSOR", None, None)
        requested = await client.request()
        await update(client, requested.media_id, title="Cat")
        await client.graphql(DELETE, id=requested.media_id)
        events = await take(socket, id, 3)
    assert [told(event) for event in events] == [
        ("CREATED", 1, "UPLOADING"),
        ("UPDATED", 2, "UPLOADING"),
        ("DELETED", 3, "UPLOADING"),
    ]
    assert [event["matches"] for event in events] == [True, True, False]


async def test_a_media_that_leaves_the_filter_is_told_of_once(client: Client) -> None:
    requested = await client.request(tags=["cat"])
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_EVENTS, filter={"tags": {"all": ["cat"]}})
        await socket.event(id)
        await client.graphql(UNTAG, ids=[requested.media_id], tags=["cat"])
        await update(client, requested.media_id, title="no longer a cat")
        await client.graphql(TAG, ids=[requested.media_id], tags=["cat"])
        events = await take(socket, id, 2)
    assert [(event["version"], event["matches"]) for event in events] == [(2, False), (4, True)]


@pytest.mark.parametrize(
    "filter", [{"status": ["FAILED"]}, {"kind": ["IMAGE"], "status": ["FAILED"]}, {"tags": {"none": ["x"]}}]
)
async def test_a_status_that_enters_the_filter_is_told(client: Client, filter: Json) -> None:
    requested = await client.request(tags=["x"] if "tags" in filter else [])
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_EVENTS, filter=filter)
        await socket.event(id)
        if "tags" in filter:
            await client.graphql(UNTAG, ids=[requested.media_id], tags=["x"])
        else:
            await client.abort(requested.upload_id)
        event = await socket.event(id)
    assert (event["mediaId"], event["version"], event["matches"]) == (requested.media_id, 2, True)


async def test_only_the_media_asked_for_are_told_of(client: Client) -> None:
    requested = await client.request()
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_EVENTS, filter={"ids": [requested.media_id, "nonsense"]})
        await socket.event(id)
        await client.request()
        await update(client, requested.media_id, title="Cat")
        assert told(await socket.event(id)) == ("UPDATED", 2, "UPLOADING")


async def test_nothing_falls_between_a_list_and_its_stream(client: Client) -> None:
    there = await client.request()
    items = (await client.graphql(ITEMS))["mediaItems"]
    await update(client, there.media_id, title="Cat")
    later = await client.request()
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_EVENTS, after=items["liveCursor"])
        events = await take(socket, id, 2)
    assert [(event["mediaId"], event["type"]) for event in events] == [
        (there.media_id, "UPDATED"),
        (later.media_id, "CREATED"),
    ]


async def test_every_cursor_resumes_right_after_its_event(client: Client) -> None:
    async with client.socket() as socket:
        first = await socket.subscribe(MEDIA_EVENTS)
        await socket.event(first)
        media = [(await client.request()).media_id for _ in range(4)]
        events = await take(socket, first, 4)
        for number, event in enumerate(events[:-1]):
            id = await socket.subscribe(MEDIA_EVENTS, after=event["cursor"])
            rest = await take(socket, id, 3 - number)
            assert [each["mediaId"] for each in rest] == media[number + 1 :]


async def test_a_cursor_of_another_log_is_answered_with_resync_and_the_stream_goes_on(client: Client) -> None:
    foreign = LiveCursors(SECRET.encode()).encode(LogPosition(epoch=uuid4(), position=3))
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_EVENTS, after=foreign)
        resync = await socket.event(id)
        assert (resync["type"], resync["mediaId"]) == ("RESYNC", None)
        await client.request()
        assert told(await socket.event(id)) == ("CREATED", 1, "UPLOADING")
        again = await socket.subscribe(MEDIA_EVENTS, after=resync["cursor"])
        assert told(await socket.event(again)) == ("CREATED", 1, "UPLOADING")


async def test_a_cursor_of_another_log_gives_a_media_anew(client: Client) -> None:
    requested = await client.request()
    foreign = LiveCursors(SECRET.encode()).encode(LogPosition(epoch=uuid4(), position=3))
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_STATUS, id=requested.media_id, after=foreign)
        assert [told(event)[0] for event in await take(socket, id, 2)] == ["RESYNC", "SNAPSHOT"]


async def test_an_altered_cursor_is_refused_by_both_streams(client: Client) -> None:
    requested = await client.request()
    cursor = (await client.graphql(ITEMS))["mediaItems"]["liveCursor"]
    raw = urlsafe_b64decode(cursor + "==")
    for altered in (raw[:23] + bytes([raw[23] ^ 1]) + raw[24:], raw[:-1] + bytes([raw[-1] ^ 1]), raw[:-1]):
        text = urlsafe_b64encode(altered).decode().rstrip("=")
        async with client.socket() as socket:
            for id in (
                await socket.subscribe(MEDIA_EVENTS, after=text),
                await socket.subscribe(MEDIA_STATUS, id=requested.media_id, after=text),
            ):
                error = await socket.error(id)
                assert error["extensions"]["code"] == "BAD_USER_INPUT"
                assert "after" in error["message"]


@pytest.mark.parametrize("after", ["", "x", "nonsense", "🦊", "a" * 10_000])
async def test_what_was_never_a_cursor_is_refused(client: Client, after: str) -> None:
    async with client.socket() as socket:
        error = await socket.error(await socket.subscribe(MEDIA_EVENTS, after=after))
    assert error["message"] == (
        "`after` is not a cursor of this stream: give back one it sent, or leave it out."
    )


async def test_a_cursor_of_the_list_sends_the_client_back_to_the_list(client: Client) -> None:
    """It looks like one of a log that is gone."""
    await client.request()
    answer = await client.graphql("query { mediaItems { edges { cursor } } }")
    [edge] = answer["mediaItems"]["edges"]
    async with client.socket() as socket:
        event = await socket.event(await socket.subscribe(MEDIA_EVENTS, after=edge["cursor"]))
    assert event["type"] == "RESYNC"


async def test_a_filter_out_of_bounds_is_refused(client: Client) -> None:
    async with client.socket() as socket:
        error = await socket.error(await socket.subscribe(MEDIA_EVENTS, filter={"ids": ["x"] * 101}))
    assert error["message"] == "filter.ids must be at most 100, not 101."


async def test_what_is_nested_in_an_event_is_as_it_is_now(client: Client) -> None:
    """A socket lives long: a loader that remembered would show the first title for ever."""
    requested = await client.request()
    text = "subscription { mediaEvents { type media { title tags { slug } } } }"
    async with client.socket() as socket:
        id = await socket.subscribe(text)
        await socket.event(id)
        for number in range(3):
            await client.graphql(TAG, ids=[requested.media_id], tags=[f"tag {number}"])
            event = await socket.event(id)
            if event["type"] == "CREATED":  # its line was numbered only after the stream began
                event = await socket.event(id)
            assert len(event["media"]["tags"]) == number + 1
