"""The list of media: its order, its filters, its cursors, and what it costs."""

from typing import Any
from uuid import UUID

import pytest

from db.models import Rendition, RenditionRole
from schema.ids import id_of
from tests.api.client import REQUEST_UPLOADS, Client, Json, Requested

pytestmark = pytest.mark.asyncio(loop_scope="session")

ITEMS = """
    query ($filter: MediaFilter, $first: Int, $after: String) {
      mediaItems(filter: $filter, first: $first, after: $after) {
        edges { cursor node { id } } nodes { id }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        liveCursor
      } }
"""
COUNT = "query ($filter: MediaFilter) { mediaItems(filter: $filter, first: 1) { totalCount nodes { id } } }"

EVERYTHING = """
    query ($first: Int) { mediaItems(first: $first) {
      edges { cursor }
      nodes {
        id version kind status failure { code } filename metadata details { __typename }
        tags { id name mediaCount }
        upload { id status target { ... on SingleUploadTarget { url } } }
        renditions { name url { url } }
        download { url }
        owner { id username }
      }
      pageInfo { endCursor } liveCursor
    } }
"""


async def page(client: Client, **variables: Any) -> Json:
    connection: Json = (await client.graphql(ITEMS, **variables))["mediaItems"]
    return connection


async def ids(client: Client, **filter: Any) -> list[str]:
    return [node["id"] for node in (await page(client, filter=filter))["nodes"]]


def media_ids(*requested: Requested) -> list[str]:
    return [each.media_id for each in requested]


async def test_the_newest_comes_first(client: Client) -> None:
    older, newer = await client.request(), await client.request()
    assert await ids(client) == media_ids(newer, older)


async def test_edges_and_nodes_are_the_same_media(client: Client) -> None:
    await client.request()
    await client.request()
    connection = await page(client)
    assert [edge["node"] for edge in connection["edges"]] == connection["nodes"]
    assert connection["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": connection["edges"][0]["cursor"],
        "endCursor": connection["edges"][1]["cursor"],
    }


async def test_an_empty_list_has_no_cursors_but_a_live_one(client: Client) -> None:
    connection = await page(client)
    assert connection["nodes"] == []
    assert connection["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": False,
        "startCursor": None,
        "endCursor": None,
    }
    assert connection["liveCursor"]


async def test_pages_chain_without_gap_or_repeat_while_media_are_added(client: Client) -> None:
    there = [await client.request() for _ in range(7)]
    seen: list[str] = []
    after, more = None, True
    while more:
        connection = await page(client, first=2, after=after)
        seen += [node["id"] for node in connection["nodes"]]
        assert connection["pageInfo"]["hasPreviousPage"] is (after is not None)
        more, after = connection["pageInfo"]["hasNextPage"], connection["pageInfo"]["endCursor"]
        await client.request()
    assert seen == media_ids(*reversed(there))


async def test_media_created_in_one_moment_are_told_apart_by_their_ids(client: Client) -> None:
    requested = [await client.request() for _ in range(4)]
    await client.service.execute(
        "UPDATE media SET created_at = '2026-01-01Z', version = version + 1 WHERE owner_id = :owner",
        owner=client.user.id,
    )
    first = await page(client, first=2)
    second = await page(client, first=2, after=first["pageInfo"]["endCursor"])
    assert [node["id"] for node in first["nodes"] + second["nodes"]] == media_ids(*reversed(requested))


async def test_a_page_has_20_media_unless_another_length_is_asked_for(client: Client) -> None:
    await client.graphql(
        REQUEST_UPLOADS, inputs=[{"filename": "a.gif", "mimeType": "image/gif", "size": 1}] * 21
    )
    assert len((await page(client))["nodes"]) == 20
    assert len((await page(client, first=100))["nodes"]) == 21


async def test_the_list_is_filtered_by_ids(client: Client, stranger: Client) -> None:
    first, second, _ = [await client.request() for _ in range(3)]
    theirs = await stranger.request()
    wanted = [*media_ids(first, second, theirs), "nonsense", first.upload_id]
    assert await ids(client, ids=wanted) == media_ids(second, first)
    assert await ids(client, ids=[]) == []
    assert len(await ids(client, ids=None)) == 3


async def test_the_list_is_filtered_by_kind(client: Client) -> None:
    requested = await client.request()
    assert await ids(client, kind=["IMAGE", "VIDEO"]) == [requested.media_id]
    assert await ids(client, kind=["VIDEO"]) == []
    assert await ids(client, kind=[]) == []


async def test_the_list_is_filtered_by_status(client: Client) -> None:
    waiting, given_up = await client.request(), await client.request()
    await client.abort(given_up.upload_id)
    assert await ids(client, status=["UPLOADING"]) == [waiting.media_id]
    assert await ids(client, status=["FAILED", "READY"]) == [given_up.media_id]
    assert await ids(client, status=[]) == []


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"all": ["cat", "red"]}, ["both"]),
        ({"any": ["cat", "red"]}, ["red", "both", "cat"]),
        ({"none": ["cat"]}, ["plain", "red"]),
        ({"any": ["cat", "red"], "none": ["red"]}, ["cat"]),
        ({"all": ["cat"], "any": ["red", "blue"]}, ["both"]),
        ({"all": ["unknown"]}, []),
        ({"none": ["unknown"]}, ["plain", "red", "both", "cat"]),
        ({"all": []}, ["plain", "red", "both", "cat"]),
        ({"any": []}, []),
        ({"none": []}, ["plain", "red", "both", "cat"]),
        ({}, ["plain", "red", "both", "cat"]),
    ],
)
async def test_the_list_is_filtered_by_tags(client: Client, tags: Json, expected: list[str]) -> None:
    names = {}
    for name, given in (("cat", ["Cat"]), ("both", ["cat", "red"]), ("red", ["Red"]), ("plain", [])):
        names[(await client.request(tags=given)).media_id] = name
    assert [names[id] for id in await ids(client, tags=tags)] == expected


async def test_every_given_filter_must_match(client: Client) -> None:
    requested = await client.request(tags=["cat"])
    await client.request()
    assert await ids(client, tags={"any": ["cat"]}, status=["UPLOADING"]) == [requested.media_id]
    assert await ids(client, tags={"any": ["cat"]}, status=["READY"]) == []


async def test_the_total_counts_what_the_filter_matches(client: Client) -> None:
    for tags in (["cat"], ["cat"], []):
        await client.request(tags=tags)
    assert (await client.graphql(COUNT))["mediaItems"]["totalCount"] == 3
    cats = await client.graphql(COUNT, filter={"tags": {"any": ["cat"]}})
    assert (cats["mediaItems"]["totalCount"], len(cats["mediaItems"]["nodes"])) == (2, 1)


async def test_the_total_is_counted_only_when_it_is_asked_for(client: Client) -> None:
    with client.service.statements() as statements:
        await page(client)
    assert not any("count(" in statement for statement in statements)
    with client.service.statements() as counting:
        await client.graphql(COUNT)
    assert len(counting) == len(statements) + 1
    assert any("count(" in statement for statement in counting)


async def test_a_page_costs_the_same_few_statements_whatever_its_length(client: Client) -> None:
    """The log's end and the rows; then tags, counts, uploads, renditions, blobs and owners, once each."""
    inputs = [
        {"filename": "a.gif", "mimeType": "image/gif", "size": 1, "tags": ["cat", f"tag {number % 7}"]}
        for number in range(100)
    ]
    answer = await client.graphql(REQUEST_UPLOADS, inputs=inputs)
    await finish(client, [payload["media"]["id"] for payload in answer["requestUploads"]])
    costs = {}
    for first in (1, 20, 100):
        with client.service.statements() as statements:
            nodes = (await client.graphql(EVERYTHING, first=first))["mediaItems"]["nodes"]
        assert len(nodes) == first
        assert all(len(node["tags"]) == 2 and node["renditions"] and node["download"] for node in nodes)
        costs[first] = len(statements)
    assert costs == {1: 7, 20: 7, 100: 7}


@pytest.mark.parametrize("first", [0, -1, 101, 10_001])
async def test_a_length_out_of_range_is_refused_with_the_limit(client: Client, first: int) -> None:
    assert await client.refusal(ITEMS, first=first) == f"first must be from 1 to 100, not {first:,}."


async def test_a_cursor_of_another_filter_is_refused(client: Client) -> None:
    requested = await client.request()
    cursor = (await page(client))["pageInfo"]["endCursor"]
    assert (await page(client, after=cursor, filter={}))["nodes"] == []
    for filter in ({"ids": [requested.media_id]}, {"status": ["UPLOADING"]}, {"tags": {"none": ["x"]}}):
        assert "not a cursor of this list" in await client.refusal(ITEMS, after=cursor, filter=filter)


async def test_the_order_of_a_filters_values_makes_no_other_list(client: Client) -> None:
    await client.request()
    cursor = (await page(client, filter={"status": ["READY", "UPLOADING"]}))["pageInfo"]["endCursor"]
    again = await page(client, filter={"status": ["UPLOADING", "READY"]}, after=cursor)
    assert again["nodes"] == []


async def test_a_cursor_of_somebody_else_is_refused(client: Client, stranger: Client) -> None:
    await stranger.request()
    theirs = (await page(stranger))["pageInfo"]["endCursor"]
    assert "not a cursor of this list" in await client.refusal(ITEMS, after=theirs)


async def test_an_altered_cursor_is_refused(client: Client) -> None:
    await client.request()
    cursor = (await page(client))["pageInfo"]["endCursor"]
    for position in range(0, len(cursor), 7):
        other = "A" if cursor[position] != "A" else "B"
        altered = cursor[:position] + other + cursor[position + 1 :]
        assert "not a cursor of this list" in await client.refusal(ITEMS, after=altered)


@pytest.mark.parametrize("change", ["{}=", "{}!", "{}\n", " {}", "{}A", "{}🦊"])
async def test_a_cursor_with_anything_added_is_refused(client: Client, change: str) -> None:
    await client.request()
    cursor = (await page(client))["pageInfo"]["endCursor"]
    assert "not a cursor of this list" in await client.refusal(ITEMS, after=change.format(cursor))


@pytest.mark.parametrize("cursor", ["", "x", "nonsense", "🦊", "=" * 100, "a" * 10_000])
async def test_what_was_never_a_cursor_is_refused(client: Client, cursor: str) -> None:
    assert "after is not a cursor of this list" in await client.refusal(ITEMS, after=cursor)


async def test_a_cursor_of_the_stream_is_none_of_the_list(client: Client) -> None:
    cursor = (await page(client))["liveCursor"]
    assert "not a cursor of this list" in await client.refusal(ITEMS, after=cursor)


@pytest.mark.parametrize(
    ("filter", "words"),
    [
        ({"ids": ["x"] * 101}, "filter.ids must be at most 100, not 101."),
        ({"tags": {"all": ["x"] * 101}}, "filter.tags.all must be at most 100, not 101."),
        ({"tags": {"any": ["\0"]}}, "filter.tags.any must not contain control characters."),
    ],
)
async def test_a_filter_out_of_bounds_is_refused(client: Client, filter: Json, words: str) -> None:
    assert await client.refusal(ITEMS, filter=filter) == words


async def finish(client: Client, ids: list[str]) -> None:
    """Give each media a stored original and two renditions, as a worker would."""
    async with client.service.runtime.sessions.begin() as session:
        for id in ids:
            media_id = id_of(id, "Media")
            assert media_id is not None
            blob_id = await _blob_id(client, media_id)
            session.add_all(
                Rendition(
                    blob_id=blob_id,
                    recipe="image-1",
                    name=f"webp-{width}",
                    role=RenditionRole.IMAGE,
                    mime_type="image/webp",
                    width=width,
                    height=width,
                    size=1,
                    key=f"{blob_id}/image-1/{width}.webp",
                )
                for width in (320, 640)
            )
    await client.service.execute(
        "UPDATE blobs SET etag = 'etag' WHERE owner_id = :owner", owner=client.user.id
    )
    await client.service.execute(
        "UPDATE media SET status = 'READY', version = version + 1 WHERE owner_id = :owner",
        owner=client.user.id,
    )


async def _blob_id(client: Client, media_id: UUID) -> UUID:
    found = await client.service.runtime.services.lookups.media(client.user, [media_id])
    return found[media_id].blob_id
