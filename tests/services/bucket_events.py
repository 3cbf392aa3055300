"""A bucket whose events go to a queue, by one of the three ways there are, and a queue for what is poison."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from app.sqs_queue import QueueAddress
from tests.ministack import REGION, aws_client, fresh_bucket

MAX_RECEIVES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketWithEvents:
    bucket: str
    address: QueueAddress
    dead_letters: str
    s3: Any
    sqs: Any

    async def put(self, key: str, body: bytes) -> None:
        await self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    async def send(self, body: str) -> None:
        await self.sqs.send_message(QueueUrl=self.address.url, MessageBody=body)

    async def left(self) -> int:
        """How many messages are in the queue, waiting or handed out."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = await self.sqs.get_queue_attributes(QueueUrl=self.address.url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    async def is_empty(self) -> None:
        await self.comes_to(0)

    async def comes_to(self, count: int, *, seconds: float = 30) -> None:
        """Wait until so many messages are left."""
        deadline = time.monotonic() + seconds
        while (left := await self.left()) != count:
            assert time.monotonic() < deadline, f"{left} messages are left after {seconds:g} s."
            await asyncio.sleep(0.05)

    async def buried(self) -> list[str]:
        """What came to the dead-letter queue by now."""
        answer = await self.sqs.receive_message(QueueUrl=self.dead_letters, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]


@asynccontextmanager
async def bucket_with_events(endpoint: str, *, through: str = "sqs") -> AsyncIterator[BucketWithEvents]:
    """`through` is sqs, sns or eventbridge."""
    async with AsyncExitStack() as stack:
        bucket = await stack.enter_async_context(fresh_bucket(endpoint))
        s3 = await stack.enter_async_context(aws_client(endpoint, "s3"))
        sqs = await stack.enter_async_context(aws_client(endpoint, "sqs"))
        dead_letters, dead_letters_arn = await _queue(sqs)
        redrive = {"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": MAX_RECEIVES}
        url, arn = await _queue(sqs, RedrivePolicy=json.dumps(redrive))
        await _notify(endpoint, s3, bucket, arn, through)
        yield BucketWithEvents(
            bucket=bucket,
            address=QueueAddress(url=url, endpoint_url=endpoint, region=REGION),
            dead_letters=dead_letters,
            s3=s3,
            sqs=sqs,
        )
        for queue in (url, dead_letters):
            await sqs.delete_queue(QueueUrl=queue)


async def _queue(sqs: Any, **attributes: str) -> tuple[str, str]:
    made = await sqs.create_queue(QueueName=f"test-{uuid4().hex}", Attributes=attributes)
    found = await sqs.get_queue_attributes(QueueUrl=made["QueueUrl"], AttributeNames=["QueueArn"])
    return made["QueueUrl"], found["Attributes"]["QueueArn"]


async def _notify(endpoint: str, s3: Any, bucket: str, queue_arn: str, through: str) -> None:
    events = ["s3:ObjectCreated:*"]
    match through:
        case "sqs":
            configuration: dict[str, Any] = {
                "QueueConfigurations": [{"QueueArn": queue_arn, "Events": events}]
            }
        case "sns":
            async with aws_client(endpoint, "sns") as sns:
                topic = (await sns.create_topic(Name=bucket))["TopicArn"]
                await sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
            configuration = {"TopicConfigurations": [{"TopicArn": topic, "Events": events}]}
        case _:
            async with aws_client(endpoint, "events") as bus:
                pattern = json.dumps({"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}})
                await bus.put_rule(Name=bucket, EventPattern=pattern)
                await bus.put_targets(Rule=bucket, Targets=[{"Id": "queue", "Arn": queue_arn}])
            configuration = {"EventBridgeConfiguration": {}}
    await s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
