"""Five orders, forward and backward; places that hold while the list changes; cursors of one list only."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.models import Role
from schema.ids import id_of
from tests.api.client import REQUEST_UPLOADS, Client, Json
from tests.api.service import Service
from tests.api.test_tags import create, rename

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = """
    query ($filter: MediaFilter, $orderBy: MediaOrder,
           $first: Int, $after: String, $last: Int, $before: String) {
      mediaItems(filter: $filter, orderBy: $orderBy,
                 first: $first, after: $after, last: $last, before: $before) {
        nodes { id filename } edges { cursor }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      } }
"""
CHANGE = """mutation ($id: ID!, $title: String!) {
    updateMedia(input: {id: $id, title: $title}) { media { id } userErrors { message } } }"""
DELETE = "mutation ($id: ID!) { deleteMedia(id: $id) { deletedId } }"
MEDIA_OF_TAG = """query ($slug: String!, $first: Int, $after: String) { tag(slug: $slug) {
    mediaCount media(first: $first, after: $after) {
      nodes { id } totalCount liveCursor pageInfo { hasNextPage hasPreviousPage endCursor } } } }"""
NODE_OF_TAG = """query ($id: ID!, $first: Int, $after: String) { node(id: $id) { ... on Tag {
    id slug media(first: $first, after: $after) {
      nodes { id } totalCount pageInfo { hasNextPage endCursor } } } } }"""
MEDIA_OF_TAGS = """query ($tags: Int, $first: Int) { tags(first: $tags) {
    nodes { slug media(first: $first) { nodes { filename } totalCount liveCursor } } } }"""

ORDERS = ("CREATED_AT_DESC", "CREATED_AT_ASC", "UPDATED_AT_DESC", "FILENAME_ASC", "SIZE_DESC")

#: Names and sizes of eight media, with equals among them; capital and small letters of ASCII are the same.
SHELF = [
    ("b.jpg", 30),
    ("A.jpg", 10),
    ("a.jpg", 30),
    ("B.jpg", 20),
    ("é.jpg", 30),
    ("_.jpg", 10),
    ("b.jpg", 20),
    ("Z.jpg", 30),
]


async def page(client: Client, **variables: Any) -> Json:
    connection: Json = (await client.graphql(PAGE, **variables))["mediaItems"]
    return connection


async def fill(client: Client) -> list[str]:
    """The shelf's media; the second and third have one moment of creation, others one of change."""
    inputs = [{"filename": name, "mimeType": "image/jpeg", "size": size} for name, size in SHELF]
    answer = await client.graphql(REQUEST_UPLOADS, inputs=inputs)
    ids = [payload["media"]["id"] for payload in answer["requestUploads"]]
    for number, id in enumerate(ids):
        minute = max(number, 2) if number else 0
        await client.service.execute(
            """UPDATE media SET version = version + 1,
                 created_at = timestamptz '2026-01-01Z' + :minute * interval '1 minute',
                 updated_at = timestamptz '2026-01-02Z' + :change * interval '1 minute'
               WHERE id = :id""",
            id=id_of(id, "Media"),
            minute=minute,
            change=number * 7 % 5,
        )
    return ids


def in_order(ids: Sequence[str], order: str) -> list[str]:
    """What a client would make of it: by the key, and equal keys by the id."""
    keys: dict[str, Any] = {
        "CREATED_AT": lambda n: max(n, 2) if n else 0,
        "UPDATED_AT": lambda n: n * 7 % 5,
        "FILENAME": lambda n: "".join(c.lower() if c.isascii() else c for c in SHELF[n][0]).encode(),
        "SIZE": lambda n: SHELF[n][1],
    }
    name, _, direction = order.rpartition("_")
    numbers = sorted(
        range(len(ids)), key=lambda n: (keys[name](n), id_of(ids[n], "Media")), reverse=direction == "DESC"
    )
    return [ids[n] for n in numbers]


@pytest.mark.parametrize("order", ORDERS)
async def test_each_order_is_the_same_forward_and_backward_also_among_equals(
    client: Client, order: str
) -> None:
    expected = in_order(await fill(client), order)
    for size in (1, 3, 8):
        forward: list[str] = []
        backward: list[str] = []
        after = before = None
        while len(forward) < 8:
            shown = await page(client, orderBy=order, first=size, after=after)
            forward += [node["id"] for node in shown["nodes"]]
            after = shown["pageInfo"]["endCursor"]
            assert shown["pageInfo"]["hasNextPage"] is (len(forward) < 8)
        while len(backward) < 8:
            shown = await page(client, orderBy=order, last=size, before=before)
            backward[:0] = [node["id"] for node in shown["nodes"]]
            assert shown["pageInfo"]["hasPreviousPage"] is (len(backward) < 8)
            assert shown["pageInfo"]["hasNextPage"] is (before is not None)
            before = shown["pageInfo"]["startCursor"]
        assert forward == backward == expected


@pytest.mark.parametrize("order", ORDERS)
async def test_a_page_between_two_cursors_has_neither_of_them(client: Client, order: str) -> None:
    expected = in_order(await fill(client), order)
    cursors = [edge["cursor"] for edge in (await page(client, orderBy=order))["edges"]]
    for ask in ({"first": 20}, {"last": 20}, {"first": 2}, {"last": 2}):
        shown = await page(client, orderBy=order, after=cursors[1], before=cursors[6], **ask)
        between = expected[2:6]
        cut = between[:2] if ask.get("first") == 2 else between[-2:] if ask.get("last") == 2 else between
        assert [node["id"] for node in shown["nodes"]] == cut


async def test_both_ends_at_once_are_refused(client: Client) -> None:
    words = "first and last exclude each other: ask for one end of the list."
    assert await client.refusal(PAGE, first=1, last=1) == words


@pytest.mark.parametrize("last", [0, -1, 101])
async def test_a_last_out_of_range_is_refused_with_the_limit(client: Client, last: int) -> None:
    assert await client.refusal(PAGE, last=last) == f"last must be from 1 to 100, not {last:,}."


@pytest.mark.parametrize("ask", [{"first": 3}, {"last": 3}])
async def test_an_empty_page_has_no_cursors(client: Client, ask: Json) -> None:
    info = (await page(client, filter={"search": "nothing"}, **ask))["pageInfo"]
    assert info == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }


@pytest.mark.parametrize("order", ORDERS)
async def test_a_cursor_of_another_order_is_refused_in_both_directions(client: Client, order: str) -> None:
    await fill(client)
    cursor = (await page(client, orderBy=order))["pageInfo"]["startCursor"]
    for other in set(ORDERS) - {order}:
        for name in ("after", "before"):
            words = await client.refusal(PAGE, orderBy=other, **{name: cursor})
            assert words.startswith(f"{name} is not a cursor of this list")


@pytest.mark.parametrize(
    "filter",
    [
        {"scope": "PUBLIC"},
        {"kind": ["IMAGE"]},
        {"status": ["UPLOADING"]},
        {"tags": {"none": ["x"]}},
        {"search": "jpg"},
        {"visibility": "PUBLIC"},
        {"createdAfter": "2020-01-01T00:00:00Z"},
        {"createdBefore": "2040-01-01T00:00:00Z"},
        {"metadata": {"a": 1}},
    ],
)
async def test_a_cursor_of_another_filter_is_refused(client: Client, filter: Json) -> None:
    await client.request(visibility="PUBLIC", metadata={"a": 1})
    plain, filtered = await page(client), await page(client, filter=filter)
    assert "not a cursor" in await client.refusal(PAGE, filter=filter, after=plain["pageInfo"]["endCursor"])
    assert "not a cursor" in await client.refusal(PAGE, after=filtered["pageInfo"]["endCursor"])


async def test_a_cursor_of_a_list_that_all_may_see_is_its_viewers_still(
    client: Client, stranger: Client
) -> None:
    requested = await client.request(visibility="PUBLIC")
    shown = {"filter": {"scope": "PUBLIC", "ids": [requested.media_id]}}
    cursor = (await page(client, **shown))["pageInfo"]["endCursor"]
    assert len((await page(stranger, **shown))["nodes"]) == 1
    assert "not a cursor of this list" in await stranger.refusal(PAGE, after=cursor, **shown)


@pytest.mark.parametrize("order", ORDERS)
async def test_an_altered_cursor_is_refused_in_every_order(client: Client, order: str) -> None:
    await client.request()
    cursor = (await page(client, orderBy=order))["pageInfo"]["endCursor"]
    for position in range(0, len(cursor), 9):
        other = "A" if cursor[position] != "A" else "B"
        altered = cursor[:position] + other + cursor[position + 1 :]
        assert "not a cursor" in await client.refusal(PAGE, orderBy=order, before=altered)


async def request_some(client: Client, number: int) -> list[str]:
    inputs = [{"filename": "a.jpg", "mimeType": "image/jpeg", "size": 1}] * number
    answer = await client.graphql(REQUEST_UPLOADS, inputs=inputs)
    return [payload["media"]["id"] for payload in answer["requestUploads"]]


#: What happens after a page: of "change" and "delete", to which of the media there are.
Event = tuple[str, int]
events = st.tuples(st.sampled_from(["insert", "change", "delete"]), st.integers(0, 30))


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.sampled_from(["CREATED_AT_DESC", "CREATED_AT_ASC"]),
    backward=st.booleans(),
    size=st.integers(1, 4),
    filtered=st.booleans(),
    script=st.lists(st.lists(events, max_size=3), max_size=6),
)
async def test_a_media_that_is_there_throughout_is_seen_exactly_once(
    service: Service,
    http: httpx.AsyncClient,
    order: str,
    backward: bool,
    size: int,
    filtered: bool,
    script: list[list[Event]],
) -> None:
    """By order of creation, whatever is inserted, changed and deleted between the pages."""
    client = Client(service=service, user=await service.add_user(), http=http)
    present = await request_some(client, 8)
    made = list(present)
    throughout, gone, seen = set(present), set[str](), list[str]()
    filter = {"status": ["UPLOADING"], "search": "a"} if filtered else None
    cursor, more = None, True
    while more:
        ask = {"last": size, "before": cursor} if backward else {"first": size, "after": cursor}
        shown = await page(client, orderBy=order, filter=filter, **ask)
        nodes = [node["id"] for node in shown["nodes"]]
        assert gone.isdisjoint(nodes)
        seen += reversed(nodes) if backward else nodes
        info = shown["pageInfo"]
        more = info["hasPreviousPage"] if backward else info["hasNextPage"]
        cursor = info["startCursor"] if backward else info["endCursor"]
        for what, which in script.pop(0) if script else ():
            if what == "insert":
                new = await request_some(client, 1)
                present, made = present + new, made + new
            elif present and what == "change":
                id = present[which % len(present)]
                await client.graphql(CHANGE, id=id, title=f"Changed {len(seen)} {which}")
            elif present:
                id = present.pop(which % len(present))
                await client.graphql(DELETE, id=id)
                gone.add(id)
    assert len(seen) == len(set(seen))
    assert throughout - gone <= set(seen)
    descending = (order == "CREATED_AT_DESC") is not backward
    assert seen == sorted(seen, key=made.index, reverse=descending)


async def test_the_media_of_a_tag_are_paged_the_newest_first(client: Client) -> None:
    ids = [(await client.request(tags=["Cat"])).media_id for _ in range(5)]
    await client.request(tags=["dog"])
    seen: list[str] = []
    after = None
    for left in (3, 1, 0):
        tag = (await client.graphql(MEDIA_OF_TAG, slug="cat", first=2, after=after))["tag"]
        assert tag["media"]["pageInfo"]["hasPreviousPage"] is (after is not None)
        assert tag["media"]["pageInfo"]["hasNextPage"] is (left > 0)
        assert (tag["mediaCount"], tag["media"]["totalCount"]) == (5, 5)
        after = tag["media"]["pageInfo"]["endCursor"]
        seen += [node["id"] for node in tag["media"]["nodes"]]
    assert seen == ids[::-1]
    assert "not a cursor" in await client.refusal(MEDIA_OF_TAG, slug="dog", after=after)
    assert "not a cursor" in await client.refusal(PAGE, filter={"tags": {"all": ["cat"]}}, after=after)


@pytest.mark.parametrize("taken", [False, True])
async def test_the_pages_of_a_tag_go_on_when_it_is_renamed_between_them(client: Client, taken: bool) -> None:
    """Also where another tag takes its slug."""
    ids = [(await client.request(tags=["cat"])).media_id for _ in range(5)]
    tag = (await client.graphql(NODE_OF_TAG, id=await create(client, "cat"), first=2))["node"]
    seen = [node["id"] for node in tag["media"]["nodes"]]
    assert (await rename(client, tag["id"], "lion"))["userErrors"] == []
    if taken:
        await client.request(tags=["cat"])
    while (info := tag["media"]["pageInfo"])["hasNextPage"]:
        tag = (await client.graphql(NODE_OF_TAG, id=tag["id"], first=2, after=info["endCursor"]))["node"]
        assert (tag["slug"], tag["media"]["totalCount"]) == ("lion", 5)
        seen += [node["id"] for node in tag["media"]["nodes"]]
    assert seen == ids[::-1]


async def test_the_media_of_all_tags_cost_the_same_few_statements(client: Client) -> None:
    """The tags; the log's end, then the media of all of them."""
    inputs = [
        {"filename": f"{n}.jpg", "mimeType": "image/jpeg", "size": 1, "tags": [f"t{n % 20:02}", "all"]}
        for n in range(60)
    ]
    await client.graphql(REQUEST_UPLOADS, inputs=inputs)
    costs = {}
    for number in (1, 5, 20):
        with client.service.statements() as statements:
            tags = (await client.graphql(MEDIA_OF_TAGS, tags=number, first=5))["tags"]["nodes"]
        costs[number] = len(statements)
        assert len(tags) == number
        [log, rows] = [n for n, text in enumerate(statements) if "event_log" in text or "LATERAL" in text]
        assert "event_log" in statements[log]
        assert log < rows
    assert costs == {1: 3, 5: 3, 20: 3}
    by_slug = {tag["slug"]: tag["media"] for tag in tags}
    assert [node["filename"] for node in by_slug["all"]["nodes"]] == [f"{n}.jpg" for n in range(59, 54, -1)]
    assert [node["filename"] for node in by_slug["t07"]["nodes"]] == ["47.jpg", "27.jpg", "7.jpg"]
    assert (by_slug["all"]["totalCount"], by_slug["t07"]["totalCount"]) == (60, 3)
    assert len({media["liveCursor"] for media in by_slug.values()}) == 1


async def test_pages_of_two_lengths_of_one_tag_are_not_mixed_up(client: Client) -> None:
    for _ in range(4):
        await client.request(tags=["cat"])
    text = """{ tags { nodes { one: media(first: 1) { nodes { id } pageInfo { hasNextPage } }
                               all: media { nodes { id } pageInfo { hasNextPage } } } } }"""
    [tag] = (await client.graphql(text))["tags"]["nodes"]
    assert (len(tag["one"]["nodes"]), tag["one"]["pageInfo"]["hasNextPage"]) == (1, True)
    assert (len(tag["all"]["nodes"]), tag["all"]["pageInfo"]["hasNextPage"]) == (4, False)


async def test_a_foreign_tag_has_no_media_of_the_viewers(client: Client, stranger: Client) -> None:
    """Though the viewer has a tag of the same name."""
    mine = await client.request(tags=["cat"])
    theirs = await stranger.request(tags=["cat"], visibility="PUBLIC")
    text = """query ($ids: [ID!]) { mediaItems(filter: {scope: PUBLIC, ids: $ids}) { nodes { tags {
        slug mediaCount media { nodes { id } totalCount } } } } }"""
    [node] = (await client.graphql(text, ids=[mine.media_id, theirs.media_id]))["mediaItems"]["nodes"]
    assert node["tags"] == [{"slug": "cat", "mediaCount": 0, "media": {"nodes": [], "totalCount": 0}}]


async def test_an_admin_pages_through_the_media_of_all(
    service: Service, http: httpx.AsyncClient, client: Client
) -> None:
    admin = Client(service=service, user=await service.add_user(Role.ADMIN), http=http)
    ids = await fill(client)
    shown = await page(admin, filter={"scope": "ALL", "ids": ids}, orderBy="SIZE_DESC")
    assert [node["id"] for node in shown["nodes"]] == in_order(ids, "SIZE_DESC")
