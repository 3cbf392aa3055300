"""Apollo Client 4 and urql follow a library through lost connections: what they show is what there is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.javascript.node import HOME, Program, installed, running
from tests.service.changing_library import FILTER, OTHER_FILTER, Library, Told
from tests.service.client import Client
from tests.service.service import Service

#: Program and who renews its connection; with "replay" graphql-ws does, and asks for everything again.
GALLERIES = [("apollo", "cursor"), ("urql", "cursor"), ("apollo", "replay")]

#: After so many events a gallery's connection breaks; 0 is before the first.
CUTS = [0, 1, 4, 9, 16, 25]

PAGE = 3

Media = dict[str, Any]


@dataclass(slots=True)
class Gallery:
    """A program that reads the list and follows it, one step at a time, and what it told of each."""

    name: str
    resume: str
    program: Program
    #: The `liveCursor` of the first page.
    cursor: str = ""
    #: The version of each media that was listed.
    listed: dict[str, int] = field(default_factory=dict)
    #: The list in the end.
    shown: list[Media] = field(default_factory=list)
    #: The events that were news, and how many came in all.
    told: list[Told] = field(default_factory=list)
    received: int = 0
    sockets: int = 0

    async def reads_the_first_page(self) -> None:
        said = await self.program.step("first page")
        assert len(said["list"]) == PAGE
        self.cursor = said["liveCursor"]

    async def reads_the_other_pages(self) -> None:
        await self.program.tell()
        said = await self.program.step("list")
        self.listed = {media["id"]: media["version"] for media in said["list"]}

    async def begins_to_follow(self) -> None:
        await self.program.tell()

    async def follows_until(self, last: Told) -> None:
        await self.program.tell(**last)
        said = await self.program.step("end")
        self.shown = [without_typenames(media) for media in said["list"]]
        self.told, self.received, self.sockets = said["told"], said["received"], said["sockets"]
        await self.program.ends_well()


@pytest.fixture(scope="module")
def node() -> Path:
    return installed()


@asynccontextmanager
async def opened(node: Path, service: Service) -> AsyncIterator[list[Gallery]]:
    async with AsyncExitStack() as stack:
        galleries = []
        for name, resume in GALLERIES:
            task = {
                "origin": service.origin,
                "filter": FILTER,
                "otherFilter": OTHER_FILTER,
                "first": PAGE,
                "cuts": CUTS,
                "resume": resume,
            }
            program = await stack.enter_async_context(running(node, name, task))
            galleries.append(Gallery(name, resume, program))
        yield galleries


@pytest.mark.slow
async def test_lists_and_their_streams_miss_nothing_while_uploads_go_on(
    node: Path, service: Service, client: Client
) -> None:
    library = Library(service, client)
    await library.fill()
    async with opened(node, service) as galleries:
        await asyncio.gather(*(gallery.reads_the_first_page() for gallery in galleries))
        await library.change_while_it_is_read()
        await asyncio.gather(*(gallery.reads_the_other_pages() for gallery in galleries))
        await library.change_before_it_is_followed()
        followed_from = await library.end_of_log()
        await asyncio.gather(*(gallery.begins_to_follow() for gallery in galleries))
        await library.change_while_it_is_followed()
        last = await library.settle()
        await asyncio.gather(*(gallery.follows_until(last) for gallery in galleries))

    present = await present_list(client)
    for gallery in galleries:
        cursor = await library.position_of(gallery.cursor)
        assert followed_from - cursor > 10, "Nothing fell between the list and its stream."
        assert_nothing_is_missing(gallery, await library.log_after(cursor))
        assert gallery.shown == present, gallery.name


def assert_nothing_is_missing(gallery: Gallery, log: list[Told]) -> None:
    """Of the log since the first page, the gallery was told all that its list did not show yet, in order."""
    who = f"{gallery.name}, {gallery.resume}"
    news = [line for line in log if line["version"] > gallery.listed.get(line["mediaId"], 0)]
    assert gallery.told == news, who
    assert gallery.sockets == len(CUTS) + 1, who
    repeated = gallery.received - len(log)
    assert repeated > 0 if gallery.resume == "replay" else repeated == 0, who
    # Else this would not show what it is there to show.
    assert len(news) < len(log), "No change fell between two pages."
    assert {line["type"] for line in news} == {"CREATED", "STATUS_CHANGED", "UPDATED", "DELETED"}
    assert {line["status"] for line in news} == {"UPLOADING", "PROCESSING", "READY", "FAILED"}


async def present_list(client: Client) -> list[Media]:
    """What the programs' own documents show to somebody who comes now, on one page."""
    texts = [(HOME / "documents" / f"{name}.graphql").read_text() for name in ("media_list", "media_row")]
    answer = await client.ask("".join(texts), filter=FILTER, first=100)
    return [without_typenames(edge["node"]) for edge in answer["mediaItems"]["edges"]]


def without_typenames(value: Any) -> Any:
    """Clients ask for more of them than the documents do."""
    match value:
        case dict():
            return {name: without_typenames(part) for name, part in value.items() if name != "__typename"}
        case list():
            return [without_typenames(part) for part in value]
        case _:
            return value
