"""`tag` and `tags`, as people and scripts meet them."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.client.tagging import list_tags
from tests.client.service import Service, darkroom
from tests.client.terminal import in_terminal, plain, terminal
from tests.serving import serve

NO_SUCH = "There is no such media."


def tags_of(service: Service, media_id: str) -> set[str]:
    media = service.ask("query ($id: ID!) { media(id: $id) { tags { name } } }", id=media_id)["media"]
    return {tag["name"] for tag in media["tags"]}


def test_tags_are_put_on_and_taken_off(service: Service) -> None:
    ids = service.request_uploads("a.png", "b.png", tags=["Old", "kept"])
    said = darkroom(service.origin, "tag", *ids, "--add", "New", "--add", "newer", "--remove", "OLD")
    assert (said.code, said.stderr) == (0, "")
    assert said.stdout == "a.png: New, kept, newer\nb.png: New, kept, newer\n"
    assert all(tags_of(service, media_id) == {"New", "newer", "kept"} for media_id in ids)
    said = darkroom(service.origin, "tag", ids[0], "--remove", "new", "--remove", "newer", "--remove", "kept")
    assert said.stdout == "a.png: no tags\n"


def test_one_that_is_not_there_does_not_hold_back_the_others(service: Service) -> None:
    [media_id] = service.request_uploads("c.png")
    said = darkroom(service.origin, "tag", "nonsense", media_id, "--add", "x", "--remove", "y", "--json")
    assert said.code == 1
    assert said.stderr == f"nonsense: {NO_SUCH}\n"
    assert said.documents == [
        {"id": "nonsense", "error": NO_SUCH},
        {"id": media_id, "filename": "c.png", "tags": ["x"], "error": None},
    ]


def test_more_media_than_one_request_takes(service: Service) -> None:
    ids = service.request_uploads(*[f"{number}.png" for number in range(60)])
    ids += service.request_uploads(*[f"{number}.png" for number in range(60, 105)])
    said = darkroom(service.origin, "tag", *ids, "--add", "all of them", "--json")
    assert said.code == 0, said.stderr
    assert [document["id"] for document in said.documents] == ids
    [tag] = darkroom(service.origin, "tags", "--search", "All of", "--json").documents
    assert (tag["name"], tag["slug"], tag["mediaCount"]) == ("all of them", "all-of-them", 105)


def test_what_the_service_refuses_is_said_of_each(service: Service) -> None:
    ids = service.request_uploads("d.png", "e.png")
    said = darkroom(service.origin, "tag", *ids, "--add", "!?", "--json")
    assert said.code == 1
    assert [document["id"] for document in said.documents] == ids
    assert all("must contain a letter or a digit" in document["error"] for document in said.documents)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Say what to do: --add NAME puts a tag on, --remove NAME takes one off.\n"),
        (
            ("--add", "Sea side", "--remove", "sea-side"),
            "The tag sea-side can't be both added and removed.\n",
        ),
    ],
)
def test_what_can_not_be_meant_is_wrong_usage(
    service: Service, options: tuple[str, ...], sentence: str
) -> None:
    said = darkroom(service.origin, "tag", "x", *options)
    assert (said.code, said.stdout, said.stderr) == (2, "", sentence)


def test_tags_are_listed_with_how_many_media_carry_them(service: Service) -> None:
    service.request_uploads("f.png", "g.png", tags=["listed One"])
    service.request_uploads("h.png", tags=["Listed Two"])
    rows = [
        line.split("\t")
        for line in darkroom(service.origin, "tags", "--search", "listed").stdout.splitlines()
    ]
    assert [row[1:] for row in rows] == [["listed One", "listed-one", "2"], ["Listed Two", "listed-two", "1"]]
    code, output = in_terminal(service.origin, "tags", "--search", "listed")
    assert (code, plain(output)) == (0, "        2  listed One\n        1  Listed Two\n")


async def test_nothing_that_a_service_says_of_tags_moves_the_cursor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def answer(request: Request) -> Response:
        nodes = [{"id": "i\x1b[2J", "name": "n\u202e", "slug": "s\tlug\n", "mediaCount": 1}]
        tags = {"nodes": nodes, "pageInfo": {"hasNextPage": False, "endCursor": None}}
        return JSONResponse({"data": {"__typename": "Query", "tags": tags}})

    app = Starlette(routes=[Route("/graphql", answer, methods=["POST"])])
    async with serve(lambda origin: app) as origin:
        assert await list_tags(search=None, json=False, origin=origin) == 0
    assert capsys.readouterr().out == "i\\x1b[2J\tn\\u202e\ts\\tlug\\n\t1\n"


def test_more_tags_than_one_page_has(service: Service) -> None:
    for start in range(0, 120, 40):
        service.request_uploads("i.png", tags=[f"page {number:03}" for number in range(start, start + 40)])
    documents = darkroom(service.origin, "tags", "--search", "page", "--json").documents
    assert [document["name"] for document in documents] == [f"page {number:03}" for number in range(120)]


def test_that_there_are_none_is_said(service: Service) -> None:
    said = darkroom(service.origin, "tags", "--search", "nothing begins so")
    assert (said.code, said.stdout, said.stderr) == (0, "", "No tags match.\n")


def test_a_tag_is_renamed_on_all_its_media(service: Service) -> None:
    ids = service.request_uploads("j.png", "k.png", tags=["Old Name"])
    said = darkroom(service.origin, "tags", "--rename", "old name", "New Name")
    assert (said.code, said.stdout, said.stderr) == (0, "New Name\n", "")
    assert all(tags_of(service, media_id) == {"New Name"} for media_id in ids)
    said = darkroom(service.origin, "tags", "--rename", "New Name", "NEW name", "--json")
    [document] = said.documents
    assert (document["name"], document["slug"], document["mediaCount"]) == ("NEW name", "new-name", 2)


def test_a_renaming_that_is_refused_is_told(service: Service) -> None:
    service.request_uploads("l.png", tags=["one tag", "another tag"])
    said = darkroom(service.origin, "tags", "--rename", "one tag", "Another Tag")
    assert (said.code, said.stdout) == (1, "")
    assert said.stderr == "You have another tag with the slug another-tag already.\n"
    said = darkroom(service.origin, "tags", "--rename", "no\x1b[1m such", "x")
    assert (said.code, said.stderr) == (1, "There is no tag no\\x1b[1m such.\n")


def test_tags_are_deleted_once_somebody_has_said_yes(service: Service) -> None:
    [media_id] = service.request_uploads("m.png", tags=["doomed", "doomed too", "spared"])
    asking = ("tags", "--delete", "Doomed", "--delete", "doomed too")
    said = darkroom(service.origin, *asking)
    assert (said.code, said.stderr) == (2, "Nobody can be asked here whether to delete: say --yes.\n")
    for answer, code in (("n\n", 1), ("y\n", 0)):
        assert tags_of(service, media_id) == {"doomed", "doomed too", "spared"}
        with terminal(service.origin, *asking) as shown:
            shown.wait_for(lambda seen: "[y/N] " in seen)
            assert plain(shown.output) == (
                "  doomed  (1 media)\n  doomed too  (1 media)\n"
                "Delete these 2 tags, and take them off all media? [y/N] "
            )
            shown.type(answer)
            assert shown.finish() == code
    assert tags_of(service, media_id) == {"spared"}


def test_a_tag_that_is_not_there_does_not_hold_back_the_others(service: Service) -> None:
    service.request_uploads("n.png", tags=["listed for deletion"])
    options = ("--delete", "nothing", "--delete", "Listed for Deletion", "--yes")
    said = darkroom(service.origin, "tags", *options, "--json")
    assert (said.code, said.stderr) == (1, "There is no tag nothing.\n")
    assert said.documents == [
        {"name": "nothing", "error": "There is no tag nothing."},
        {"name": "Listed for Deletion", "error": None},
    ]


def test_one_thing_at_a_time_is_done_with_tags() -> None:
    said = darkroom("http://127.0.0.1:9", "tags", "--search", "x", "--delete", "y")
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr == "--search, --rename and --delete are three things: say one of them.\n"
