"""Bytes on their way from a store that answers as each test wants."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.client.errors import TransferRefusedError, UnreachableError
from app.client.fetching import open_fetcher
from tests.serving import serve

CONTENT = bytes(range(256)) * 8192
ETAG = '"one"'

Behaviour = Callable[[Request, int], Awaitable[Response]]


class Store:
    """Remembers what was asked; `behave` decides the answer, given the request's number."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.origin = ""
        self.queries: list[str] = []
        self.ranges: list[tuple[str | None, str | None]] = []

    async def get(self, request: Request) -> Response:
        self.queries.append(request.scope["query_string"].decode())
        self.ranges.append((request.headers.get("range"), request.headers.get("if-range")))
        return await self._behave(request, len(self.queries))

    async def renew(self) -> str:
        return f"{self.origin}/o%2Fkey?type=image%2Fjpeg&signature=n{len(self.queries)}"


class Memory:
    """A sink that has `there` of the object `etag` already."""

    def __init__(self, there: bytes = b"", etag: str = ETAG) -> None:
        self._there = there
        self._etag = etag
        self.data = bytearray()

    async def begin(self, etag: str | None) -> int:
        self.data = bytearray(self._there if etag == self._etag else b"")
        return len(self.data)

    async def write(self, block: bytes) -> None:
        self.data += block

    async def restart(self) -> None:
        self.data.clear()


@asynccontextmanager
async def store_that(behave: Behaviour) -> AsyncIterator[Store]:
    store = Store(behave)
    app = Starlette(routes=[Route("/{key:path}", store.get)])
    async with serve(lambda origin: app) as store.origin:
        yield store


async def fetch(store: Store, sink: Memory) -> list[int]:
    """The progress that was reported."""
    progress: list[int] = []
    async with open_fetcher() as fetcher:
        await fetcher.fetch(store.renew, len(CONTENT), sink, progress.append)
    return progress


def part(request: Request, *, etag: str = ETAG) -> Response:
    """As a store with ranges answers."""
    wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
    if wanted is None or request.headers.get("if-range", etag) != etag:
        return Response(CONTENT, headers={"ETag": etag})
    start = int(wanted[1])
    headers = {"ETag": etag, "Content-Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"}
    return Response(CONTENT[start:], 206, headers)


def cut(length: int, *, etag: str | None = ETAG) -> Response:
    """Promises all and breaks after `length` bytes."""

    async def blocks() -> AsyncIterator[bytes]:
        yield CONTENT[:length]
        raise ConnectionError("The store breaks here.")

    headers = {"Content-Length": str(len(CONTENT))} | ({"ETag": etag} if etag else {})
    return StreamingResponse(blocks(), headers=headers)


async def test_the_bytes_come_whole_from_the_address_as_it_was_signed() -> None:
    async def give(request: Request, number: int) -> Response:
        return part(request)

    sink = Memory()
    async with store_that(give) as store:
        progress = await fetch(store, sink)
    assert bytes(sink.data) == CONTENT
    assert store.queries == ["type=image%2Fjpeg&signature=n0"]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, len(CONTENT))


async def test_what_breaks_off_goes_on_where_it_was_with_a_fresh_address() -> None:
    async def break_twice(request: Request, number: int) -> Response:
        return cut(700_000) if number == 1 else part(request)

    sink = Memory()
    async with store_that(break_twice) as store:
        progress = await fetch(store, sink)
    assert bytes(sink.data) == CONTENT
    assert store.ranges[0] == (None, None)
    [(wanted, condition)] = store.ranges[1:]
    assert (wanted, condition) == (f"bytes={progress_at_the_cut(progress)}-", ETAG)
    assert store.queries[1].endswith("n1")


def progress_at_the_cut(progress: list[int]) -> int:
    return max(received for received in progress if received <= 700_000)


async def test_what_an_earlier_command_left_is_taken_up() -> None:
    async def give(request: Request, number: int) -> Response:
        return part(request)

    sink = Memory(there=CONTENT[:1_000_000])
    async with store_that(give) as store:
        await fetch(store, sink)
    assert bytes(sink.data) == CONTENT
    assert store.ranges == [(None, None), ("bytes=1000000-", ETAG)]


async def test_what_is_there_already_is_not_asked_for_again() -> None:
    async def give(request: Request, number: int) -> Response:
        return part(request)

    sink = Memory(there=CONTENT)
    async with store_that(give) as store:
        await fetch(store, sink)
    assert len(store.queries) == 1


async def test_an_object_that_changed_meanwhile_comes_anew() -> None:
    async def change(request: Request, number: int) -> Response:
        return cut(700_000) if number == 1 else part(request, etag='"two"')

    sink = Memory()
    async with store_that(change) as store:
        await fetch(store, sink)
    assert bytes(sink.data) == CONTENT
    assert store.ranges[1][1] == ETAG


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
async def test_without_a_tag_to_rely_on_no_part_is_asked_for(etag: str | None) -> None:
    async def break_once(request: Request, number: int) -> Response:
        return cut(700_000, etag=etag) if number == 1 else Response(CONTENT)

    sink = Memory()
    async with store_that(break_once) as store:
        await fetch(store, sink)
    assert bytes(sink.data) == CONTENT
    assert store.ranges == [(None, None)] * 2


async def test_a_store_that_breaks_at_the_same_place_each_time_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.client.attempts.ATTEMPTS", 3)

    async def always_break(request: Request, number: int) -> Response:
        return cut(300_000, etag=None)

    async with store_that(always_break) as store:
        with pytest.raises(UnreachableError, match="did not come in 3 attempts: the connection broke"):
            await fetch(store, Memory())
    assert len(store.queries) == 4


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_an_expired_address_or_a_store_in_trouble_is_asked_again(status: int) -> None:
    async def refuse_first(request: Request, number: int) -> Response:
        return Response(status_code=status) if number == 1 else part(request)

    sink = Memory()
    async with store_that(refuse_first) as store:
        await fetch(store, sink)
    assert bytes(sink.data) == CONTENT
    assert [query[-2:] for query in store.queries] == ["n0", "n1"]


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (307, 1), (403, 2), (206, 1)])
async def test_a_refusal_that_stays_is_told_without_the_address(status: int, requests: int) -> None:
    async def refuse(request: Request, number: int) -> Response:
        return Response(status_code=status, headers={"Location": "/elsewhere"})

    async with store_that(refuse) as store:
        with pytest.raises(TransferRefusedError) as refusal:
            await fetch(store, Memory())
    assert str(refusal.value) == f"The store answers {status}."
    assert len(store.queries) == requests


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"Content-Range": "bytes 0-99/2097152"}, "another part of the file"),
        ({"Content-Range": "bytes 500000-2097151/2097152", "ETag": '"two"'}, "another part of the file"),
        ({"Content-Range": "bytes 500000-2097152/2097153"}, "holds 2,097,153 bytes where there should be"),
    ],
)
async def test_another_part_than_was_asked_for_is_refused(headers: dict[str, str], sentence: str) -> None:
    async def answer(request: Request, number: int) -> Response:
        return part(request) if number == 1 else Response(b"x", 206, {"ETag": ETAG, **headers})

    async with store_that(answer) as store:
        with pytest.raises(TransferRefusedError, match=sentence):
            await fetch(store, Memory(there=CONTENT[:500_000]))


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x"], ids=["shorter", "longer"])
async def test_a_file_of_another_size_is_refused_before_a_byte_is_kept(content: bytes) -> None:
    async def answer(request: Request, number: int) -> Response:
        return Response(content, headers={"ETag": ETAG})

    sink = Memory()
    async with store_that(answer) as store:
        with pytest.raises(TransferRefusedError, match="where there should be 2,097,152"):
            await fetch(store, sink)
    assert not sink.data
