"""What callers see of a store that is away, hangs, breaks off or refuses: soon, and in a sentence."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.errors import ObjectMissingError, StorageUnavailableError
from storage.objects import Disposition
from storage.s3 import S3Store, open_s3_store
from storage.s3_breaker import CircuitBreaker
from storage.s3_options import S3Options
from tests.contracts.object_store import FIVE_MINUTES, sha256
from tests.contracts.s3_relay import StoreRelay, silent_server
from tests.contracts.s3_store import s3_options
from tests.ministack import bucket, ministack
from tests.service.service import free_port

__all__ = ["bucket", "ministack"]

KEY = "0197/2026/11/20/blob.jpg"
SHORT = {"connect_timeout": timedelta(seconds=0.5), "read_timeout": timedelta(seconds=0.5)}
SECRET = "canary-secret-4711"

Open = Callable[..., Awaitable[S3Store]]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens stores that go with the test."""
    async with AsyncExitStack() as stack:

        async def open_store(options: S3Options, **others: Any) -> S3Store:
            return await stack.enter_async_context(open_s3_store(options, **others))

        yield open_store


@pytest.fixture
async def relay(ministack: str) -> AsyncIterator[StoreRelay]:
    async with StoreRelay(ministack).running() as relay:
        yield relay


async def seconds_of_failure(work: Awaitable[object]) -> float:
    began = time.monotonic()
    with pytest.raises(StorageUnavailableError):
        await work
    return time.monotonic() - began


@pytest.mark.parametrize("method", ["head", "put_file", "fetch", "list", "list_parts", "delete", "check"])
async def test_a_store_that_hangs_is_given_up_in_time(opened: Open, method: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"abc")
    async with silent_server() as endpoint:
        options = s3_options(endpoint, "bucket", **SHORT)
        store = await opened(options)
        work: dict[str, Callable[[], Awaitable[object]]] = {
            "head": lambda: store.head(KEY),
            "put_file": lambda: store.put_file(KEY, tmp_path / "source", content_type="image/png"),
            "fetch": lambda: store.fetch(KEY, tmp_path / "target"),
            "list": lambda: anext(aiter(store.list(""))),
            "list_parts": lambda: store.list_parts(KEY, "an-upload"),
            "delete": lambda: store.delete([KEY]),
            "check": store.check,
        }
        assert await seconds_of_failure(work[method]()) < options.call_seconds + 1
    assert not (tmp_path / "target").exists()


async def test_after_some_failures_callers_are_told_at_once(opened: Open) -> None:
    store = await opened(s3_options(f"http://127.0.0.1:{free_port()}", "bucket", **SHORT))
    for _ in range(5):
        with pytest.raises(StorageUnavailableError, match="can't be reached"):
            await store.head(KEY)
    for work in (store.head(KEY), store.check(), store.delete([KEY]), store.read(KEY, offset=0, length=1)):
        assert await seconds_of_failure(work) < 0.25  # no network: the shortest attempt takes longer


async def test_a_store_that_comes_back_is_noticed(opened: Open, relay: StoreRelay, bucket: str) -> None:
    breaker = CircuitBreaker(failures_to_open=2, pause=timedelta(seconds=0.2))
    store = await opened(s3_options(relay.endpoint, bucket, **SHORT), breaker=breaker)
    await store.check()
    relay.silent = True
    for _ in range(2):
        await seconds_of_failure(store.head(KEY))
    assert breaker.is_open
    relay.silent = False
    await asyncio.sleep(0.3)
    assert await store.head(KEY) is None
    assert not breaker.is_open


async def test_a_caller_that_gives_up_leaves_word_of_the_silence(opened: Open) -> None:
    breaker = CircuitBreaker(failures_to_open=1)
    async with silent_server() as endpoint:
        store = await opened(s3_options(endpoint, "bucket"), breaker=breaker)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await store.head(KEY)
        assert not breaker.is_open
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3.1):
                await store.head(KEY)
        assert breaker.is_open


async def test_refusals_and_missing_objects_are_answers(opened: Open, ministack: str, bucket: str) -> None:
    breaker = CircuitBreaker(failures_to_open=1)
    store = await opened(s3_options(ministack, bucket), breaker=breaker)
    assert await store.head(KEY) is None
    with pytest.raises(ObjectMissingError):
        await store.read(KEY, offset=0, length=1)
    assert not breaker.is_open


async def test_without_a_bucket_nothing_counts_as_missing(opened: Open, ministack: str) -> None:
    store = await opened(s3_options(ministack, "no-such-bucket"))
    for work in (store.head(KEY), store.check(), store.read(KEY, offset=0, length=1), anext(store.list(""))):
        with pytest.raises(StorageUnavailableError, match=r"no bucket no-such-bucket.*bucket init"):
            await work


async def test_no_sentence_holds_a_secret(opened: Open) -> None:
    store = await opened(
        s3_options(f"http://127.0.0.1:{free_port()}", "bucket", secret_access_key=SECRET, **SHORT)
    )
    with pytest.raises(StorageUnavailableError) as caught:
        await store.head(KEY)
    assert SECRET not in str(caught.value)
    assert "?" not in str(caught.value).removesuffix("?")
    assert SECRET not in repr(s3_options("http://127.0.0.1:1", "bucket", secret_access_key=SECRET))


async def test_signing_needs_no_store(opened: Open) -> None:
    store = await opened(s3_options(f"http://127.0.0.1:{free_port()}", "bucket"))
    signed = store.sign_get(
        KEY,
        disposition=Disposition.INLINE,
        filename="a",
        content_type="image/png",
        expires_in=FIVE_MINUTES,
    )
    assert "X-Amz-Signature=" in signed.url


async def test_a_download_that_breaks_off_goes_on_where_it_was(
    opened: Open, relay: StoreRelay, bucket: str, tmp_path: Path
) -> None:
    data = random.Random(5).randbytes(9_000_000)
    (tmp_path / "source").write_bytes(data)
    store = await opened(s3_options(relay.endpoint, bucket))
    await store.put_file(KEY, tmp_path / "source", content_type="image/png")
    relay.cut_after, relay.cuts = 2_000_000, 3
    fetched = await store.fetch(KEY, tmp_path / "target", block_size=1024**2)
    assert relay.cuts == 0
    assert (fetched.byte_size, fetched.sha256) == (len(data), sha256(data))
    assert (tmp_path / "target").read_bytes() == data
    assert len(fetched.block_sha256s) == 9


async def test_a_store_that_always_breaks_off_is_given_up(
    opened: Open, relay: StoreRelay, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(bytes(1_000_000))
    store = await opened(s3_options(relay.endpoint, bucket))
    await store.put_file(KEY, tmp_path / "source", content_type="image/png")
    relay.cut_after, relay.cuts = 100, 1_000
    with pytest.raises(StorageUnavailableError):
        await store.fetch(KEY, tmp_path / "target")
    assert not (tmp_path / "target").exists()
