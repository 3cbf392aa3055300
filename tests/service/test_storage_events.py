"""Whole processes that follow a queue: an upload becomes READY although its client never finalizes it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests import pictures
from tests.ministack import AWS_ENVIRONMENT, aws_client
from tests.ministack import ministack as ministack
from tests.service.client import Client
from tests.service.conftest import StartService


class Queue:
    def __init__(self, sqs: Any, url: str) -> None:
        self._sqs = sqs
        self.url = url

    async def tell(self, key: str) -> None:
        """As a bucket does of a new object."""
        stored = {"bucket": {"name": "media"}, "object": {"key": key}}
        body = json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": stored}]})
        await self._sqs.send_message(QueueUrl=self.url, MessageBody=body)


@pytest.fixture
async def queue(ministack: str) -> AsyncIterator[Queue]:
    async with aws_client(ministack, "sqs") as sqs:
        url = (await sqs.create_queue(QueueName=f"test-{uuid4().hex}"))["QueueUrl"]
        yield Queue(sqs, url)
        await sqs.delete_queue(QueueUrl=url)


@pytest.mark.parametrize("command", ["serve", "events"])
async def test_what_the_store_tells_of_becomes_ready(
    data_dir: Path,
    start_service: StartService,
    monkeypatch: pytest.MonkeyPatch,
    ministack: str,
    queue: Queue,
    command: str,
) -> None:
    for name, value in AWS_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    follower = start_service(
        data_dir, command=command, DARKROOM_SQS_URL=queue.url, DARKROOM_SQS_ENDPOINT_URL=ministack
    )
    service = follower if command == "serve" else start_service(data_dir)
    await service.start()
    if follower is not service:
        follower.launch()
    async with Client(service.origin) as client:
        picture = pictures.jpeg(320, 240)
        requested = await client.request_upload(picture)
        assert (await client.put(requested, picture)).status_code == 200
        [row] = await service.fetch("SELECT key FROM uploads")
        await queue.tell(row["key"])
        await client.becomes_ready(requested.media_id)
    assert await follower.stop() == 0
    assert [line["queue"] for line in follower.logged("following_storage_events")] == [queue.url]


async def test_without_a_queue_there_is_nothing_to_follow(
    data_dir: Path, start_service: StartService
) -> None:
    follower = start_service(data_dir, command="events")
    follower.launch()
    assert await follower.ends() == 1
    assert "set DARKROOM_SQS_URL" in follower.stderr
