"""Every call to the store goes through here: bounded in time, counted by the breaker, errors translated.

How long a call may take when the store hangs, with the timeouts of `S3Options` (3 s to connect, 30 s without
a byte of the answer):

    a call that moves no bytes       connect + read / 2 + 2 s, all tries together: 20 s
    copies and completions           three tries of connect + read, and the pauses: 105 s; 10 minutes where
                                     the store shows that it works on it
    a part of ours on its way        20 s and a second for each 128 KiB
    with an open breaker             nothing: refused at once
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from storage.errors import StorageError
from storage.s3_breaker import CircuitBreaker
from storage.s3_errors import is_silence, storage_error
from storage.s3_options import S3Options

SLOW_CALL_SECONDS = 600.0
"""S3 may take minutes to put parts together; it sends blanks meanwhile, so that silence is noticed before."""

SLOWEST_BYTES_PER_SECOND = 128 * 1024

#: A short call that was given up by its caller after that long without an answer is the store's failure. How
#: long a copy, a completion or bytes on their way take says nothing of a store's health.
PATIENCE = timedelta(seconds=3)

_FAILURES = (ClientError, BotoCoreError, ResponseParserError, aiohttp.ClientError, OSError, StorageError)

T = TypeVar("T")


class S3Client:
    """`client` is aiobotocore's; it tries a call three times by itself, with pauses, before it fails."""

    def __init__(self, client: Any, options: S3Options, *, breaker: CircuitBreaker) -> None:
        self._client = client
        self._breaker = breaker
        self.options = options
        self.bucket = options.bucket
        self.endpoint = _shown(client.meta.endpoint_url)

    async def call(self, operation: str, *, seconds: float | None = None, **params: Any) -> dict[str, Any]:
        """Make the call `operation` on the bucket and return its answer; raises errors of `storage`."""

        async def work() -> dict[str, Any]:
            return await self.raw(operation, **params)

        return await self.guarded(work, seconds=seconds or self.options.call_seconds)

    async def send(self, operation: str, body: bytes, **params: Any) -> dict[str, Any]:
        """Make a call that sends `body`."""
        return await self.call(operation, seconds=self.seconds_for(len(body)), Body=body, **params)

    async def raw(self, operation: str, **params: Any) -> dict[str, Any]:
        """The call itself, for use within `guarded`."""
        answer: dict[str, Any] = await getattr(self._client, operation)(Bucket=self.bucket, **params)
        return answer

    async def guarded(self, work: Callable[[], Awaitable[T]], *, seconds: float) -> T:
        """Run `work` for at most `seconds`, if the breaker lets it through.

        More than `S3Options.call_seconds` tells that it is a long one, which may take its time.
        """
        passed = self._breaker.admit()
        began = time.monotonic()
        try:
            result = await self.bounded(work, seconds=seconds)
        except StorageError as error:
            (self._breaker.failed if is_silence(error) else self._breaker.answered)(passed)
            raise
        except BaseException:
            is_short = seconds <= self.options.call_seconds
            silent = is_short and time.monotonic() - began >= PATIENCE.total_seconds()
            (self._breaker.failed if silent else self._breaker.abandoned)(passed)
            raise
        self._breaker.answered(passed)
        return result

    async def bounded(self, work: Callable[[], Awaitable[T]], *, seconds: float | None = None) -> T:
        """Run what goes on with a call that was let through; raises errors of `storage`."""
        try:
            async with asyncio.timeout(seconds or self.options.call_seconds):
                return await work()
        except _FAILURES as error:
            raise self._translated(error) from error

    def seconds_for(self, byte_size: int) -> float:
        """How long a call with so many bytes may take."""
        return self.options.call_seconds + byte_size / SLOWEST_BYTES_PER_SECOND

    def refusal(self, code: str) -> StorageError:
        """What a code means that stands within the answer to DeleteObjects."""
        return self._translated(ClientError({"Error": {"Code": code}}, "DeleteObjects"))

    def _translated(self, error: Exception) -> StorageError:
        return storage_error(error, bucket=self.bucket, endpoint=self.endpoint)


def _shown(endpoint: str) -> str:
    """The address as it may stand in a sentence: no user, no password, no path."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
