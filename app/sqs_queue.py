"""A queue of Amazon SQS, or of what speaks like it."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

log = structlog.get_logger()

#: All that a queue that is out of reach, or refuses us, may raise.
QUEUE_ERRORS = (BotoCoreError, ClientError, OSError, TimeoutError)

#: The longest that SQS waits for a message before it answers that there is none.
WAIT_SECONDS = 20

_DEFAULT_REGION = "us-east-1"
_REGION_IN_HOST = re.compile(
    r"(?:^|\.)sqs\.([a-z0-9-]+)\.(?:amazonaws\.|api\.aws)|^([a-z0-9-]+)\.queue\.amaz"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueAddress:
    """Where a queue is, and who asks: without a key, whom Amazon's tools find (environment, files, roles)."""

    url: str
    endpoint_url: str | None = None
    region: str
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str, *, endpoint_url: str | None, region: str | None) -> Self:
        return cls(url=url, endpoint_url=endpoint_url, region=region or region_of(url) or _DEFAULT_REGION)


def region_of(url: str) -> str | None:
    """The region that stands in the address of a queue of Amazon's."""
    found = _REGION_IN_HOST.search(urlsplit(url).hostname or "")
    return found and (found[1] or found[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`receipt` is what deletes this delivery of it; `receives` counts the deliveries, 0 if unknown."""

    id: str
    receipt: str
    body: str
    receives: int


@dataclass(frozen=True, slots=True)
class SqsQueue:
    """A connection to one queue. Every method raises QUEUE_ERRORS."""

    client: Any
    url: str

    @classmethod
    @asynccontextmanager
    async def connect(cls, address: QueueAddress) -> AsyncIterator[Self]:
        """Nothing is sent yet. What fails is not tried again here: the caller knows how long to pause."""
        config = AioConfig(
            connect_timeout=5, read_timeout=WAIT_SECONDS + 10, retries={"total_max_attempts": 1}
        )
        async with get_session().create_client(
            "sqs",
            region_name=address.region,
            endpoint_url=address.endpoint_url,
            aws_access_key_id=address.access_key_id,
            aws_secret_access_key=address.secret_access_key,
            config=config,
        ) as client:
            yield cls(client, address.url)

    async def receive(self, *, at_most: int, visible_after: int) -> list[Message]:
        """At most so many messages, from 1 to 10, after 20 s at the latest.

        Each is handed out again after so many seconds.
        """
        answer = await self.client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=at_most,
            WaitTimeSeconds=WAIT_SECONDS,
            VisibilityTimeout=visible_after,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return [
            Message(
                id=message["MessageId"],
                receipt=message["ReceiptHandle"],
                body=message["Body"],
                receives=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 0)),
            )
            for message in answer.get("Messages", [])
        ]

    async def keep(self, messages: Sequence[Message], *, visible_after: int) -> None:
        """Hand these out again so many seconds from now, no sooner; one for which that fails comes sooner."""
        await self.client.change_message_visibility_batch(
            QueueUrl=self.url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": message.receipt, "VisibilityTimeout": visible_after}
                for number, message in enumerate(messages)
            ],
        )

    async def delete(self, messages: Sequence[Message]) -> None:
        """One that can't be deleted is logged, and comes again."""
        if not messages:
            return
        answer = await self.client.delete_message_batch(
            QueueUrl=self.url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": message.receipt}
                for number, message in enumerate(messages)
            ],
        )
        for failure in answer.get("Failed", []):
            log.warning(
                "message_not_deleted", message=messages[int(failure["Id"])].id, code=failure.get("Code")
            )
