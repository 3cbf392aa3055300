"""A media followed live over a real socket, whatever happens to socket, server and database."""

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest

from tests import pictures
from tests.service import proc
from tests.service.client import Client, Requested, RequestFailedError, Stream
from tests.service.conftest import StartService
from tests.service.patience import until
from tests.service.service import Service

WHOLE_LIFE = ["UPLOADING", "PROCESSING", "READY"]
#: The third version is what the inspection found, which is no transition.
ITS_VERSIONS = [1, 2, 4]

SMALL = pictures.png(640, 480)
#: Takes a second of processor time or more to render.
SLOW = pictures.noise_png(1920, 1080)

#: From the end of PostgreSQL to the first request that it answers again.
RECOVERY_SECONDS = 15.0


def seen(count: int) -> Callable[[Stream], bool]:
    return lambda stream: len(stream.events) >= count


def ended(*media_ids: str) -> Callable[[Stream], bool]:
    """All of these are READY or FAILED."""

    def is_so(stream: Stream) -> bool:
        over = {event.media_id for event in stream.events if event.status in {"READY", "FAILED"}}
        return over.issuperset(media_ids)

    return is_so


async def send(client: Client, requested: Requested, data: bytes) -> None:
    stored = await client.put(requested, data)
    assert stored.status_code == 200, stored.text
    assert await client.finalize(requested) == "PROCESSING"


async def test_one_media_is_seen_through_its_whole_life(client: Client) -> None:
    picture = pictures.unlike_all_others(SMALL)
    requested = await client.request_upload(picture)
    stream = client.follow_media(requested.media_id)
    following = asyncio.create_task(stream.to_the_end())
    await until(lambda: stream.events, why="There is no snapshot.")
    await send(client, requested, picture)
    await following
    assert stream.told == WHOLE_LIFE
    assert stream.versions(requested.media_id) == ITS_VERSIONS
    assert [event.type for event in stream.events] == ["SNAPSHOT", "STATUS_CHANGED", "STATUS_CHANGED"]
    assert [event.previous_status for event in stream.events] == [None, "UPLOADING", "PROCESSING"]
    assert (stream.sockets, stream.completed) == (1, True)


async def test_what_happened_while_the_socket_was_cut_is_told_afterwards(client: Client) -> None:
    picture = pictures.unlike_all_others(SMALL)
    requested = await client.request_upload(picture)
    stream = client.follow_media(requested.media_id)
    await stream.read(seen(1))
    await send(client, requested, picture)
    await stream.read(seen(2))
    await client.becomes_ready(requested.media_id)
    await stream.to_the_end()
    assert stream.told == WHOLE_LIFE
    assert stream.versions(requested.media_id) == ITS_VERSIONS
    assert stream.sockets == 3


async def test_a_socket_cut_twice_loses_and_repeats_nothing(client: Client) -> None:
    """Cut when so many events were seen; 0 is before the first, when there is no cursor to resume from."""
    for cuts in [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3)]:
        stream = await follow_with_cuts(client, cuts)
        assert stream.told == WHOLE_LIFE, cuts
        assert [event.version for event in stream.events] == ITS_VERSIONS, cuts
        assert stream.sockets == 3, cuts


async def follow_with_cuts(client: Client, cuts: Sequence[int]) -> Stream:
    picture = pictures.unlike_all_others(SMALL)
    requested = await client.request_upload(picture)
    stream = client.follow_media(requested.media_id)

    async def follow() -> None:
        for count in cuts:
            await stream.read(seen(count))
        await stream.to_the_end()

    following = asyncio.create_task(follow())
    await until(lambda: stream.events)
    await send(client, requested, picture)
    await following
    return stream


@pytest.mark.slow
async def test_a_server_killed_while_processing_goes_on_where_it_was(
    service: Service, client: Client
) -> None:
    picture = pictures.unlike_all_others(SLOW)
    requested = await client.request_upload(picture)
    stream = client.follow_media(requested.media_id)
    following = asyncio.create_task(stream.to_the_end(seconds=90))
    await until(lambda: stream.events)
    await send(client, requested, picture)
    child = await service.stops_while_rendering()
    await until(lambda: stream.told == WHOLE_LIFE[:2])

    service.kill9()
    await until(lambda: proc.state_of(child) in {"", "Z"}, why="It outlived its server.")
    await service.restart()
    await following

    assert stream.told == WHOLE_LIFE
    assert stream.versions(requested.media_id) == ITS_VERSIONS
    assert stream.sockets >= 2
    assert await attempts(service) == {"inspect": 1, "renditions": 2}
    assert len(service.workspaces()) == 1


@pytest.mark.slow
async def test_a_list_and_its_stream_join_without_a_gap_while_uploads_go_on(client: Client) -> None:
    before = await client.upload(SMALL)
    uploads = [asyncio.create_task(client.upload(SMALL)) for _ in range(4)]
    await asyncio.sleep(0.05)
    stream = client.follow_library(await client.live_cursor())
    uploads += [asyncio.create_task(client.upload(SMALL)) for _ in range(8)]
    for count in (0, 3, 10, 25):
        await stream.read_through(seen(count))
    media_ids = await asyncio.gather(*uploads)
    await stream.read_through(ended(*media_ids))
    for media_id in media_ids[4:]:
        assert stream.versions(media_id) == [1, 2, 3, 4]
    for media_id in (before, *media_ids[:4]):
        seen_versions = stream.versions(media_id)
        assert seen_versions == [1, 2, 3, 4][4 - len(seen_versions) :]
    assert stream.dropped == 0


async def test_a_killed_postgresql_comes_back_under_the_service(service: Service, client: Client) -> None:
    stream = client.follow_library(await client.live_cursor())
    first, later = await client.upload(SMALL), [""]
    await client.becomes_ready(first)
    following = asyncio.create_task(stream.read_through(lambda stream: ended(first, *later)(stream)))
    proc.kill(service.postmaster())
    began = time.monotonic()
    recovered = await upload_when_possible(client)
    assert time.monotonic() - began < RECOVERY_SECONDS
    later[:] = [recovered, await client.upload(SMALL)]
    await following
    for media_id in (first, *later):
        assert stream.versions(media_id) == [1, 2, 3, 4]


@pytest.mark.slow
async def test_a_postgresql_killed_in_the_middle_of_a_step_costs_no_picture(
    service: Service, client: Client
) -> None:
    picture = pictures.unlike_all_others(SLOW)
    requested = await client.request_upload(picture)
    stream = client.follow_media(requested.media_id)
    following = asyncio.create_task(stream.to_the_end(seconds=90))
    await until(lambda: stream.events)
    await send(client, requested, picture)
    child = await service.stops_while_rendering()
    proc.kill(service.postmaster())
    proc.go_on(child)
    await following
    assert stream.told == WHOLE_LIFE
    assert stream.versions(requested.media_id) == ITS_VERSIONS


@pytest.mark.slow
async def test_streams_of_two_servers_tell_the_same(
    service: Service, client: Client, start_service: StartService
) -> None:
    """Each is rung by the other's changes."""
    other = start_service(service.data_dir)
    await other.start()
    async with Client(other.origin) as elsewhere:
        cursor = await client.live_cursor()
        streams = [client.follow_library(cursor), elsewhere.follow_library(cursor)]
        media_ids = await asyncio.gather(
            *(uploader.upload(SMALL) for uploader in (client, elsewhere) for _ in range(3))
        )
        for stream in streams:
            await stream.read_through(ended(*media_ids))
        one, two = [[(event.media_id, event.version) for event in stream.events] for stream in streams]
        assert one == two
        assert len(one) == 4 * len(media_ids)


async def upload_when_possible(client: Client) -> str:
    """A client that tries again as long as the service says that something went wrong inside."""
    while True:
        try:
            return await client.upload(SMALL)
        except RequestFailedError:
            await asyncio.sleep(0.1)


async def attempts(service: Service) -> dict[str, int]:
    """Of the steps of the only media that there is."""
    rows = await service.fetch("SELECT name, attempt FROM processing_steps")
    return {row["name"]: row["attempt"] for row in rows}
