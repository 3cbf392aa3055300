"""Bytes on their way to a store that answers as each test wants."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.client.errors import FileProblemError, TransferRefusedError, UnreachableError
from app.client.files import BLOCK_BYTES, LocalFile, inspect
from app.client.targets import Target
from app.client.transfer import open_transfers
from tests.serving import serve

CONTENT = bytes(range(256)) * (5 * BLOCK_BYTES // 256) + b"the rest"

Behaviour = Callable[[Request, int], Awaitable[Response]]


class Store:
    """Counts attempts and keeps whole bodies; `behave` decides the answer, given the attempt's number."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.origin = ""
        self.queries: list[str] = []
        self.stored: list[bytes] = []
        self.renewals = 0

    async def put(self, request: Request) -> Response:
        self.queries.append(request.scope["query_string"].decode())
        response = await self._behave(request, len(self.queries))
        with suppress(ClientDisconnect):
            self.stored.append(await request.body())
        return response

    async def renew(self, upload_id: str) -> Target | None:
        self.renewals += 1
        return self.target()

    def target(self) -> Target:
        url = f"{self.origin}/o%2Fkey?type=image%2Fjpeg&signature=n{self.renewals}"
        headers = {"Content-Type": "image/jpeg"}
        return Target(method="PUT", url=url, headers=headers, received_at=time.monotonic())


@asynccontextmanager
async def store_that(behave: Behaviour) -> AsyncIterator[Store]:
    store = Store(behave)
    app = Starlette(routes=[Route("/{key:path}", store.put, methods=["PUT"])])
    async with serve(lambda origin: app) as store.origin:
        yield store


@pytest.fixture
async def file(tmp_path: Path) -> LocalFile:
    path = tmp_path / "photo.jpg"
    path.write_bytes(CONTENT)
    return await inspect(path)


async def send(store: Store, file: LocalFile) -> list[int]:
    """The progress that was reported."""
    progress: list[int] = []
    async with open_transfers(store.renew, no_parts, connections=4) as transfers:
        await transfers.send(file, "u", store.target(), progress.append)
    return progress


async def no_parts(upload_id: str, numbers: Sequence[int]) -> dict[int, Target]:
    raise AssertionError("This file goes as a whole.")


async def accept(request: Request, attempt: int) -> Response:
    return Response()


async def test_the_bytes_arrive_whole_under_the_address_as_it_was_signed(file: LocalFile) -> None:
    async with store_that(accept) as store:
        progress = await send(store, file)
    assert store.stored == [CONTENT]
    assert store.queries == ["type=image%2Fjpeg&signature=n0"]
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, len(CONTENT))


async def test_what_is_stored_already_is_well(file: LocalFile) -> None:
    async def stored_already(request: Request, attempt: int) -> Response:
        return Response(status_code=412)

    async with store_that(stored_already) as store:
        await send(store, file)
    assert (len(store.queries), store.renewals) == (1, 0)


async def test_an_outage_is_told_by_attempt_and_host_and_never_by_address(
    file: LocalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.client.attempts._WAIT_SECONDS", (0.0, 0.0))

    async def fail(request: Request, attempt: int) -> Response:
        return Response(status_code=503)

    said: list[str] = []
    async with store_that(fail) as store:
        host = store.origin.removeprefix("http://")
        async with open_transfers(store.renew, no_parts, connections=4, say=said.append) as transfers:
            with pytest.raises(UnreachableError) as given_up:
                await transfers.send(file, "u", store.target(), lambda done: None)
    assert said == [f"waiting for {host}: attempt {number} of 9" for number in range(2, 10)]
    assert str(given_up.value) == (
        f"The bytes did not get through to {host} in 9 attempts: the store answers 503. "
        "Upload the file again once it answers."
    )


@pytest.mark.parametrize("status", [403, 409, 500, 503])
async def test_an_expired_address_or_a_store_in_trouble_is_asked_again_with_a_fresh_address(
    file: LocalFile, status: int
) -> None:
    async def refuse_first(request: Request, attempt: int) -> Response:
        return Response(status_code=status if attempt == 1 else 200)

    async with store_that(refuse_first) as store:
        await send(store, file)
    assert [query[-2:] for query in store.queries] == ["n0", "n1"]


async def test_a_connection_that_breaks_in_the_middle_is_made_again(file: LocalFile) -> None:
    async def break_first(request: Request, attempt: int) -> Response:
        if attempt == 1:
            await anext(request.stream())
            raise ConnectionError("The store breaks here.")
        return Response()

    async with store_that(break_first) as store:
        await send(store, file)
    assert store.stored == [CONTENT]


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (403, {"code": "SIGNATURE_INVALID", "message": "No."}, "The store answers 403: No."),
        (413, {"code": "X", "message": "Too \x1b[1m large."}, "The store answers 413: Too \\x1b[1m large."),
        (404, {"code": "X", "message": "Gone."}, "The store answers 404: Gone."),
        (307, {}, "The store answers 307."),
    ],
)
async def test_a_refusal_that_stays_is_told_without_the_address(
    file: LocalFile, status: int, error: dict[str, str], sentence: str
) -> None:
    async def refuse(request: Request, attempt: int) -> Response:
        return JSONResponse({"error": error}, status, {"Location": "/elsewhere"})

    async with store_that(refuse) as store:
        with pytest.raises(TransferRefusedError) as refusal:
            await send(store, file)
    assert str(refusal.value) == sentence
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


async def test_a_file_that_changed_before_or_while_it_is_sent_is_not_stored(file: LocalFile) -> None:
    async def change(request: Request, attempt: int) -> Response:
        with file.path.open("r+b") as changed:
            changed.write(b"other")
        return Response()

    async with store_that(change) as store:
        with pytest.raises(FileProblemError, match="changed while it was being sent"):
            await send(store, file)
        with pytest.raises(FileProblemError, match="changed while it was being sent"):
            await send(store, file)
    assert store.stored == []
    assert store.renewals == 0


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"error": {"code": "CHECKSUM_MISMATCH", "message": "Other bytes."}}, 400),
        Response("<?xml version='1.0'?><Error><Code>BadDigest</Code><Message>No.</Message></Error>", 400),
    ],
    ids=["ours", "S3"],
)
async def test_a_checksum_that_differs_means_that_the_file_changed(file: LocalFile, answer: Response) -> None:
    async def differ(request: Request, attempt: int) -> Response:
        return answer

    async with store_that(differ) as store:
        with pytest.raises(FileProblemError, match="changed while it was being sent"):
            await send(store, file)
