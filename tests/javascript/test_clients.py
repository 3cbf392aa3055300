"""Apollo Client 4 and urql follow a library through lost connections: what they show is what there is."""

from pathlib import Path
from typing import Any

import pytest

from tests.javascript.library import FILTER, OTHER_FILTER, Library
from tests.javascript.node import HOME, running
from tests.service.client import Client
from tests.service.service import Service

#: After so many events the client's connection breaks; 0 is before the first.
CUTS = [0, 1, 4, 9, 16, 25]

PAGE = 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "resume"), [("apollo", "cursor"), ("urql", "cursor"), ("apollo", "replay")]
)
async def test_a_list_and_its_stream_miss_nothing_while_uploads_go_on(
    node: Path, service: Service, client: Client, program: str, resume: str
) -> None:
    """`replay`: the connection is renewed by graphql-ws, which asks for everything since the list again."""
    library = Library(service, client)
    await library.fill()
    task = {
        "origin": service.origin,
        "filter": FILTER,
        "otherFilter": OTHER_FILTER,
        "first": PAGE,
        "cuts": CUTS,
        "resume": resume,
    }
    async with running(node, program, task) as gallery:
        first_page = await gallery.step("first page")
        assert len(first_page["list"]) == PAGE
        await library.change_while_it_is_read()
        await gallery.tell()
        listed = {media["id"]: media["version"] for media in (await gallery.step("list"))["list"]}
        await library.change_before_it_is_followed()
        followed_from = await library.end_of_log()
        await gallery.tell()
        await library.change_while_it_is_followed()
        await gallery.tell(**await library.settle())
        end = await gallery.step("end")
        await gallery.ends_well()

    cursor = await library.position_of(first_page["liveCursor"])
    log = await library.log_after(cursor)
    news = [line for line in log if line["version"] > listed.get(line["mediaId"], 0)]
    assert end["told"] == news
    assert [without_typenames(media) for media in end["list"]] == await present_list(client)
    assert_everything_happened(log, news, followed_from - cursor)
    assert end["sockets"] == len(CUTS) + 1
    if resume == "cursor":
        assert end["received"] == len(log)
    else:
        assert end["received"] > len(log)


async def present_list(client: Client) -> list[dict[str, Any]]:
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


def assert_everything_happened(
    log: list[dict[str, object]], news: list[dict[str, object]], before_the_stream: int
) -> None:
    """Else the test would not show what it is there to show."""
    assert len(news) < len(log), "No change fell between two pages."
    assert before_the_stream > 10, "Nothing fell between the list and its stream."
    assert {line["type"] for line in news} == {"CREATED", "STATUS_CHANGED", "UPDATED", "DELETED"}
    assert {line["status"] for line in news} == {"UPLOADING", "PROCESSING", "READY", "FAILED"}
