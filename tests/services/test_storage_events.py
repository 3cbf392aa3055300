"""The storage's events from a real queue: uploads whose clients never finalize, and poison."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.sqs_queue import QueueAddress, region_of
from app.storage_events import AT_ONCE, Pauses, StorageEvents
from db.models import MediaStatus, User
from db.sessions import Sessions
from pubsub.doorbell import Doorbell
from services.errors import StorageUnavailable
from services.processing_steps import IMAGE_DAG, INSPECT
from services.uploads import Uploads
from storage.disk import DiskStore
from storage.errors import StorageUnavailableError
from storage.objects import ObjectInfo
from tests.live.conftest import doorbell as doorbell
from tests.ministack import AWS_ENVIRONMENT, aws_client, running_ministack
from tests.service.service import free_port
from tests.services.bucket_events import MAX_RECEIVES, BucketWithEvents, bucket_with_events
from tests.services.waiting_uploads import (
    BYTES,
    finalizing_of,
    request_uploads,
    statuses_of,
    transitions_of,
    uploads_of,
    work_of,
)
from tests.services.waiting_uploads import owner as owner
from tests.services.waiting_uploads import sessions as sessions

#: As long as a message is out of sight here; a second is the least that SQS knows.
VISIBLE_AFTER = 1

ONCE = [(1, MediaStatus.UPLOADING), (2, MediaStatus.PROCESSING)]


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def events(ministack: str) -> AsyncIterator[BucketWithEvents]:
    async with bucket_with_events(ministack) as events:
        yield events


class BucketStore(DiskStore):
    """Looks for objects in a bucket; `away` while it can't."""

    events: BucketWithEvents
    away = False

    async def head(self, key: str) -> ObjectInfo | None:
        if self.away:
            raise StorageUnavailableError
        try:
            found: dict[str, Any] = await self.events.s3.head_object(Bucket=self.events.bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            return None
        return ObjectInfo(
            key=key,
            byte_size=found["ContentLength"],
            etag=found["ETag"].strip('"'),
            modified_at=found["LastModified"],
        )


@pytest.fixture
def store(events: BucketWithEvents, tmp_path: Path) -> BucketStore:
    store = BucketStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    store.events = events
    return store


@pytest.fixture
def uploads(sessions: Sessions, store: BucketStore, doorbell: Doorbell) -> Uploads:
    return uploads_of(sessions, store, doorbell)


@asynccontextmanager
async def following(
    address: QueueAddress, arrived: Callable[[str], Awaitable[bool]], *, bucket: str | None = None
) -> AsyncIterator[StorageEvents]:
    follower = StorageEvents(
        arrived=arrived, bucket=bucket, visible_after=VISIBLE_AFTER, pauses=Pauses(0.05, 0.2)
    )
    task = asyncio.create_task(follower.follow(address))
    try:
        yield follower
    finally:
        await follower.stop(task)
        await asyncio.wait([task])


def created(bucket: str, key: str) -> str:
    stored = {"bucket": {"name": bucket}, "object": {"key": key}}
    return json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": stored}]})


@pytest.mark.parametrize("through", ["sqs", "sns", "eventbridge"])
async def test_an_upload_is_finalized_without_its_client(
    ministack: str, sessions: Sessions, doorbell: Doorbell, owner: User, tmp_path: Path, through: str
) -> None:
    async with bucket_with_events(ministack, through=through) as events:
        store = BucketStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
        store.events = events
        uploads = uploads_of(sessions, store, doorbell)
        waiting = await request_uploads(uploads, owner, 12)
        told: set[str] = set()
        all_told = asyncio.Event()

        async def arrived(key: str) -> bool:
            ended = await finalizing_of(uploads).arrived(key)
            told.add(key)
            if len(told) == len(waiting):
                all_told.set()
            return ended

        async with asyncio.timeout(30), following(events.address, arrived, bucket=events.bucket):
            for upload in waiting:
                await events.put(upload.key, BYTES)
            await all_told.wait()
            await events.is_empty()
        for upload in waiting:
            assert await transitions_of(sessions, upload.media_id) == ONCE
            assert await work_of(sessions, upload.media_id) == (sorted(IMAGE_DAG), [INSPECT])


async def test_events_that_come_again_change_nothing(
    events: BucketWithEvents, uploads: Uploads, sessions: Sessions, owner: User
) -> None:
    [upload] = await request_uploads(uploads, owner)
    async with following(events.address, finalizing_of(uploads).arrived):
        for _ in range(5):
            await events.put(upload.key, BYTES)
        await events.is_empty()
    assert await transitions_of(sessions, upload.media_id) == ONCE
    assert await work_of(sessions, upload.media_id) == (sorted(IMAGE_DAG), [INSPECT])


async def test_an_object_of_another_size_fails_its_media_and_its_message_is_dealt_with(
    events: BucketWithEvents, uploads: Uploads, sessions: Sessions, owner: User
) -> None:
    [upload] = await request_uploads(uploads, owner)
    async with following(events.address, finalizing_of(uploads).arrived):
        await events.put(upload.key, BYTES * 2)
        await events.is_empty()
    assert await statuses_of(sessions, [upload]) == [MediaStatus.FAILED]


class Killed(BaseException):
    """Nothing after this is run, as after a kill: no handler of ours catches it."""


@pytest.mark.parametrize("committed", [False, True])
async def test_whoever_is_killed_beside_the_commit_leaves_the_message(
    events: BucketWithEvents, uploads: Uploads, sessions: Sessions, owner: User, committed: bool
) -> None:
    """Deleted before the commit, it would be lost by the first kind; not deleted after it, kept for ever."""
    [upload] = await request_uploads(uploads, owner)

    async def die(key: str) -> bool:
        if committed:
            await finalizing_of(uploads).arrived(key)
        raise Killed

    await events.sqs.purge_queue(QueueUrl=events.address.url)
    await events.put(upload.key, BYTES)
    dying = StorageEvents(arrived=die, bucket=None, visible_after=VISIBLE_AFTER)
    with pytest.raises(BaseExceptionGroup) as killed:
        await dying.follow(events.address)
    assert killed.group_contains(Killed)
    assert await events.left() == 1
    async with following(events.address, finalizing_of(uploads).arrived):
        await events.is_empty()
    assert await transitions_of(sessions, upload.media_id) == ONCE
    assert await work_of(sessions, upload.media_id) == (sorted(IMAGE_DAG), [INSPECT])


async def test_a_message_waits_while_the_store_is_away(
    events: BucketWithEvents, store: BucketStore, uploads: Uploads, sessions: Sessions, owner: User
) -> None:
    [upload] = await request_uploads(uploads, owner)
    attempted = asyncio.Event()

    async def arrived(key: str) -> bool:
        attempted.set()
        return await finalizing_of(uploads).arrived(key)

    store.away = True
    with pytest.raises(StorageUnavailable):
        await finalizing_of(uploads).arrived(upload.key)
    async with following(events.address, arrived):
        await events.put(upload.key, BYTES)
        async with asyncio.timeout(20):
            await attempted.wait()
        await events.comes_to(1)  # the test event of the bucket is gone
        store.away = False
        await events.is_empty()
    assert await transitions_of(sessions, upload.media_id) == ONCE


async def test_a_message_that_takes_long_is_handed_out_to_nobody_else(
    events: BucketWithEvents, uploads: Uploads, sessions: Sessions, owner: User
) -> None:
    [upload] = await request_uploads(uploads, owner)
    taken = 0

    async def arrived(key: str) -> bool:
        nonlocal taken
        taken += 1
        await asyncio.sleep(4 * VISIBLE_AFTER)
        return await finalizing_of(uploads).arrived(key)

    await events.put(upload.key, BYTES)
    async with (
        following(events.address, arrived),
        following(events.address, arrived),
    ):
        await events.is_empty()
    assert taken == 1
    assert await transitions_of(sessions, upload.media_id) == ONCE


async def test_poison_goes_to_the_dead_letter_queue_and_holds_nothing_back(
    events: BucketWithEvents,
    uploads: Uploads,
    sessions: Sessions,
    owner: User,
    capsys: pytest.CaptureFixture[str],
) -> None:
    [upload] = await request_uploads(uploads, owner)
    async with following(events.address, finalizing_of(uploads).arrived):
        await events.send("a secret, and no JSON")
        await events.put(upload.key, BYTES)
        await events.is_empty()
    assert await events.buried() == ["a secret, and no JSON"]
    assert await statuses_of(sessions, [upload]) == [MediaStatus.PROCESSING]
    logged = capsys.readouterr().out
    assert logged.count("poison_message") == MAX_RECEIVES
    assert "a secret" not in logged


async def test_test_events_other_events_and_other_objects_are_removed(
    events: BucketWithEvents, uploads: Uploads, sessions: Sessions, owner: User
) -> None:
    """The first message of a queue is the test event that came with the notification's configuration."""
    assert await events.left() == 1
    [upload] = await request_uploads(uploads, owner)
    await events.send(created("other", upload.key))
    await events.send(json.dumps({"Records": [{"eventName": "ObjectRemoved:Delete"}]}))
    for key in ("never/heard/of", "Not A Key", upload.key + ".part"):
        await events.put(key, BYTES)
    async with following(events.address, finalizing_of(uploads).arrived, bucket=events.bucket):
        await events.is_empty()
    assert await events.buried() == []
    assert await statuses_of(sessions, [upload]) == [MediaStatus.UPLOADING]


async def test_a_message_that_takes_long_holds_no_other_back(events: BucketWithEvents) -> None:
    release = asyncio.Event()

    async def arrived(key: str) -> bool:
        if key == "the/slow":
            await release.wait()
        return False

    await events.send(created("media", "the/slow"))
    for number in range(15):
        await events.send(created("media", f"quick/{number}"))
    async with following(events.address, arrived):
        await events.comes_to(1, seconds=15)
        await events.send(created("media", "quick/later"))
        await events.comes_to(2)
        await events.comes_to(1, seconds=15)
        release.set()
        await events.is_empty()


async def test_a_message_that_fails_rests_nobody(events: BucketWithEvents) -> None:
    """Not for its first failure nor for its next ones: it comes again when it is visible again."""
    seen: list[str] = []

    async def arrived(key: str) -> bool:
        seen.append(key)
        if key == "the/failing":
            raise RuntimeError("a defect")
        return False

    follower = Restless(arrived=arrived, bucket=None, visible_after=VISIBLE_AFTER)
    follower.rests = []
    await events.send(created("media", "the/failing"))
    task = asyncio.create_task(follower.follow(events.address))
    async with asyncio.timeout(20):
        while seen.count("the/failing") < 3:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await events.send(created("media", "some/key"))
    async with asyncio.timeout(5):
        while "some/key" not in seen:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert follower.rests == []
    await follower.stop(task)


async def test_where_all_messages_fail_the_pauses_grow_until_one_is_dealt_with(
    events: BucketWithEvents,
) -> None:
    away = True

    async def arrived(key: str) -> bool:
        if away:
            raise StorageUnavailable("away")
        return False

    follower = Restless(arrived=arrived, bucket=None, visible_after=VISIBLE_AFTER)
    follower.rests = []
    for number in range(3 * AT_ONCE):
        await events.send(created("media", f"some/{number}"))
    task = asyncio.create_task(follower.follow(events.address))
    async with asyncio.timeout(20):
        while len(follower.rests) < 3:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert follower.rests[:3] == [1, 2, 4]
    away = False
    await events.is_empty()
    rests = len(follower.rests)
    await events.send(created("media", "some/more"))
    await events.is_empty()
    assert len(follower.rests) == rests
    await follower.stop(task)


class Restless(StorageEvents):
    """Notes how long it was to rest, and does not."""

    rests: list[float]

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        await asyncio.sleep(0)


async def test_a_queue_that_is_away_is_asked_after_pauses_that_grow_until_it_is_back() -> None:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    address = QueueAddress(url=f"{endpoint}/000000000000/uploads", endpoint_url=endpoint, region="us-east-1")
    seen = asyncio.Event()

    async def arrived(key: str) -> bool:
        seen.set()
        return False

    follower = Restless(arrived=arrived, bucket=None)
    follower.rests = []
    task = asyncio.create_task(follower.follow(address))
    async with asyncio.timeout(60):
        while len(follower.rests) < 8:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        assert follower.rests[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
        with running_ministack(port):
            async with aws_client(endpoint, "sqs") as sqs:
                await sqs.create_queue(QueueName="uploads")
                await sqs.send_message(QueueUrl=address.url, MessageBody=created("media", "some/key"))
                await seen.wait()
        await follower.stop(task)


async def test_the_end_does_not_wait_for_the_next_message(events: BucketWithEvents, uploads: Uploads) -> None:
    follower = StorageEvents(arrived=finalizing_of(uploads).arrived, bucket=None)
    task = asyncio.create_task(follower.follow(events.address))
    await events.is_empty()
    await asyncio.sleep(0.3)  # it waits for twenty seconds now
    async with asyncio.timeout(2):
        await follower.stop(task)
        await task


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-central-1.amazonaws.com/123456789012/uploads", "eu-central-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/uploads", "cn-north-1"),
        ("https://sqs.eu-west-3.api.aws/123456789012/uploads", "eu-west-3"),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/uploads", "eu-west-1"),
        ("http://127.0.0.1:4566/000000000000/uploads", None),
        ("https://queue.example.com/uploads", None),
    ],
)
def test_the_region_stands_in_the_address(url: str, region: str | None) -> None:
    assert region_of(url) == region
    assert QueueAddress.of(url, endpoint_url=None, region=None).region == (region or "us-east-1")
    assert QueueAddress.of(url, endpoint_url=None, region="eu-north-1").region == "eu-north-1"
