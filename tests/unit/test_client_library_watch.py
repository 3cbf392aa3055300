"""The library's stream when it breaks, ends, or asks to read the list again."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from app.client.board import Board
from app.client.errors import UnreachableError
from app.client.library_api import LibraryApi, Page
from app.client.library_watch import follow_library
from app.client.live_table import LiveTable
from app.client.media import Kind, ListedMedia, Order, Status, Visibility
from app.client.selection import Selection
from app.client.subscription import Line, StreamBrokenError, Subscriber
from app.client.watch import TableWatch
from tests.serving import until


def node(id: str, version: int = 1) -> dict[str, Any]:
    return {
        "id": id,
        "version": version,
        "kind": "IMAGE",
        "status": "READY",
        "visibility": "PRIVATE",
        "filename": f"{id}.png",
        "title": None,
        "mimeType": "image/png",
        "size": 1,
        "createdAt": "2026-11-21T12:00:00+00:00",
        "updatedAt": "2026-11-21T12:00:00+00:00",
        "failure": None,
        "tags": [],
    }


def answer(cursor: str, id: str | None = None, type: str = "UPDATED") -> dict[str, Any]:
    return {
        "mediaEvents": {
            "cursor": cursor,
            "type": type,
            "mediaId": id,
            "version": 1,
            "status": "READY",
            "previousStatus": None,
            "matches": True,
            "occurredAt": "2026-11-21T12:00:00+00:00",
            "media": node(id) if id else None,
        }
    }


class ScriptedSubscriber(Subscriber):
    """Each stream gives its answers; then it breaks, or completes where the script says None.

    The last one stays open if `stays`.
    """

    def __init__(self, *streams: list[dict[str, Any] | None], stays: bool = False) -> None:
        self._streams = list(streams)
        self._stays = stays
        self.cursors: list[str | None] = []

    async def events(
        self, document: str, variables: Mapping[str, Any], line: Line, *, silence: float | None = None
    ) -> AsyncGenerator[dict[str, Any]]:
        self.cursors.append(variables["after"])
        line.tell(True)
        for each in self._streams.pop(0) if self._streams else []:
            if each is None:
                return
            yield each
        if self._stays and not self._streams:
            await asyncio.Event().wait()
        raise StreamBrokenError


class ScriptedApi(LibraryApi):
    """A list that has one more media each time it is read."""

    def __init__(self) -> None:
        self.reads = 0

    async def page(
        self, selection: Selection, *, first: int, after: str | None = None, order: Order = Order.NEWEST
    ) -> Page:
        self.reads += 1
        media = tuple(listed(f"listed {number}") for number in range(self.reads))
        return Page(media=media, next=None, live_cursor=f"live {self.reads}")

    async def counts(self, selection: Selection) -> dict[Status, int]:
        return dict.fromkeys(Status, 0)


class SilentTable(LiveTable):
    def __init__(self) -> None:
        self.connected = True

    def draw(self) -> None:
        pass


def listed(id: str) -> ListedMedia:
    return ListedMedia(
        id=id,
        version=1,
        kind=Kind.IMAGE,
        status=Status.READY,
        visibility=Visibility.PRIVATE,
        filename=f"{id}.png",
        title=None,
        mime_type="image/png",
        byte_size=1,
        created_at="2026-11-21T12:00:00+00:00",
        updated_at="2026-11-21T12:00:00+00:00",
        tags=(),
        failure=None,
    )


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.library_watch.PAUSE_SECONDS", 0)


async def test_a_stream_that_breaks_or_completes_is_taken_up_after_its_last_event() -> None:
    told: list[bool] = []
    subscriber = ScriptedSubscriber(
        [answer("1", "a"), answer("2", "b")], [], [answer("3", "c"), None], [answer("4")]
    )
    seen = []
    async with aclosing(follow_library(subscriber, Selection(), Line(told.append), after="0")) as events:
        async for event in events:
            seen.append(event.cursor)
            if event.cursor == "4":
                break
    assert seen == ["1", "2", "3", "4"]
    assert subscriber.cursors == ["0", "2", "2", "3"]
    assert told == [False, True] * 3


async def test_streams_that_tell_nothing_again_and_again_are_given_up() -> None:
    subscriber = ScriptedSubscriber()
    with pytest.raises(UnreachableError, match="breaks again and again"):
        async for _ in follow_library(subscriber, Selection(), Line(lambda alive: None)):
            pass
    assert len(subscriber.cursors) == 20


async def test_the_table_reads_the_list_again_when_changes_were_lost() -> None:
    lost: list[dict[str, Any] | None] = [answer("1", "a"), answer("2", type="RESYNC")]
    subscriber = ScriptedSubscriber(lost, [answer("3", "b")], stays=True)
    api, board = ScriptedApi(), Board()
    watching = asyncio.create_task(TableWatch(api, subscriber, Selection(), board, SilentTable()).run())
    await until(lambda: "b" in {each.id for each in board.latest(10)})
    watching.cancel()
    assert {each.id for each in board.latest(10)} == {"listed 0", "listed 1", "b"}
    assert subscriber.cursors == ["live 1", "live 2"]
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_the_table_ends_with_the_one_sentence_of_what_went_wrong() -> None:
    watch = TableWatch(ScriptedApi(), ScriptedSubscriber(), Selection(), Board(), SilentTable())
    with pytest.raises(UnreachableError, match="breaks again and again"):
        await watch.run()
