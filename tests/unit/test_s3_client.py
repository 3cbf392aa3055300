"""What a call tells the breaker when its caller gives up, on a client that answers nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from storage import s3_client, s3_multipart
from storage.errors import StorageUnavailableError
from storage.s3_breaker import CircuitBreaker
from storage.s3_client import S3Client
from storage.s3_options import S3Options

KEY = "0197/2026/11/20/film.mp4"


class Mute:
    """aiobotocore's client, of a store that takes every request and never says a word."""

    meta = SimpleNamespace(endpoint_url="https://s3.example.com")

    def __getattr__(self, operation: str) -> Any:
        async def call(**params: Any) -> None:
            await asyncio.Event().wait()

        return call


@pytest.fixture
def breaker(monkeypatch: pytest.MonkeyPatch) -> CircuitBreaker:
    monkeypatch.setattr(s3_client, "PATIENCE", timedelta(0))
    return CircuitBreaker(failures_to_open=1)


@pytest.fixture
def client(breaker: CircuitBreaker) -> S3Client:
    return S3Client(Mute(), S3Options(bucket="bucket"), breaker=breaker)


def _copy(client: S3Client) -> Awaitable[object]:
    return client.call("copy_object", seconds=s3_client.SLOW_CALL_SECONDS, Key=KEY)


def _copy_part(client: S3Client) -> Awaitable[object]:
    return s3_multipart.copy_part(client, KEY, "an-upload", 1, source="a", etag="b", offset=0, length=9)


def _complete(client: S3Client) -> Awaitable[object]:
    return client.call("complete_multipart_upload", seconds=s3_client.SLOW_CALL_SECONDS, Key=KEY)


def _send(client: S3Client) -> Awaitable[object]:
    return client.send("upload_part", b"bytes", Key=KEY)


async def give_up(work: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await work


@pytest.mark.parametrize("work", [_copy, _copy_part, _complete, _send])
async def test_who_gives_up_a_long_call_says_nothing_of_the_store(
    client: S3Client, breaker: CircuitBreaker, work: Callable[[S3Client], Awaitable[object]]
) -> None:
    await give_up(work(client))
    assert not breaker.is_open


async def test_who_gives_up_a_short_call_leaves_word_of_the_silence(
    client: S3Client, breaker: CircuitBreaker
) -> None:
    await give_up(client.call("head_object", Key=KEY))
    assert breaker.is_open


async def test_a_long_call_that_ran_out_of_its_own_time_is_silence(
    client: S3Client, breaker: CircuitBreaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_multipart, "SLOW_CALL_SECONDS", 0.01)
    with pytest.raises(StorageUnavailableError, match="did not answer in time"):
        await _copy_part(client)
    assert breaker.is_open


class Endless:
    """A store that has a part of the upload left, however often it is aborted, or after `aborts` none."""

    meta = Mute.meta

    def __init__(self, aborts: int) -> None:
        self._aborts = aborts
        self.asked = 0

    async def abort_multipart_upload(self, **params: Any) -> dict[str, Any]:
        self.asked += 1
        return {}

    async def list_parts(self, **params: Any) -> dict[str, Any]:
        return {"Parts": [{"PartNumber": 1}] if self.asked < self._aborts else []}


async def test_parts_that_no_abort_removes_are_told() -> None:
    store = Endless(aborts=99)
    client = S3Client(store, S3Options(bucket="bucket"), breaker=CircuitBreaker())
    with pytest.raises(StorageUnavailableError, match="abort it again"):
        await s3_multipart.abort(client, KEY, "an-upload")
    assert store.asked == 3


async def test_an_upload_is_aborted_until_no_part_is_left() -> None:
    store = Endless(aborts=2)
    client = S3Client(store, S3Options(bucket="bucket"), breaker=CircuitBreaker())
    await s3_multipart.abort(client, KEY, "an-upload")
    assert store.asked == 2
