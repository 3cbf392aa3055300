"""Changing and deleting: each change is exactly one version and one line of the log, or none at all."""

from typing import Any

import pytest
from sqlalchemy import text

from services.keys import renditions_prefix
from tests.api.client import PICTURE, Client, Json
from tests.api.test_uploads import store_directly

pytestmark = pytest.mark.asyncio(loop_scope="session")

UPDATE = """
    mutation ($input: UpdateMediaInput!) { updateMedia(input: $input) {
      media { id version title description metadata updatedAt }
      userErrors { __typename code message path ... on ConflictError { currentVersion } }
    } }
"""
TAG = """
    mutation ($ids: [ID!]!, $tags: [String!]!) { tagMedia(mediaIds: $ids, tags: $tags) {
      media { id version tags { slug } } userErrors { code message path } } }
"""
UNTAG = TAG.replace("tagMedia", "untagMedia")
DELETE = "mutation ($id: ID!) { deleteMedia(id: $id) { deletedId userErrors { code message path } } }"
CREATE_TAG = """
    mutation ($name: String!) { createTag(name: $name) {
      tag { id name slug mediaCount } userErrors { code message path } } }
"""
TAGS = """
    query ($search: String, $first: Int, $after: String) {
      tags(search: $search, first: $first, after: $after) {
        nodes { slug } edges { cursor } totalCount pageInfo { hasNextPage hasPreviousPage endCursor } } }
"""


async def update(client: Client, id: str, **fields: Any) -> Json:
    payload: Json = (await client.graphql(UPDATE, input={"id": id, **fields}))["updateMedia"]
    return payload


async def lines(client: Client) -> list[str]:
    """The viewer's lines of the log, oldest first, as "type version"."""
    statement = text("SELECT type || ' ' || version FROM media_events WHERE owner_id = :owner ORDER BY id")
    async with client.service.runtime.engine.connect() as connection:
        return list((await connection.execute(statement, {"owner": client.user.id})).scalars())


async def test_a_field_that_is_absent_stays_and_one_that_is_null_is_cleared(client: Client) -> None:
    requested = await client.request(title="Cat", description="A cat.", metadata={"a": 1})
    media = (await update(client, requested.media_id, title="Dog"))["media"]
    assert (media["title"], media["description"], media["metadata"]) == ("Dog", "A cat.", {"a": 1})
    media = (await update(client, requested.media_id, title=None, metadata=None))["media"]
    assert (media["title"], media["description"], media["metadata"]) == (None, "A cat.", {})
    assert media["version"] == 3
    assert await lines(client) == ["CREATED 1", "UPDATED 2", "UPDATED 3"]


async def test_several_fields_change_in_one_version(client: Client) -> None:
    requested = await client.request()
    media = (await update(client, requested.media_id, title="Cat", description="A cat."))["media"]
    assert media["version"] == 2
    assert await lines(client) == ["CREATED 1", "UPDATED 2"]


@pytest.mark.parametrize(
    "fields", [{}, {"title": "Cat"}, {"metadata": {"b": 2, "a": 1}}, {"description": None}]
)
async def test_a_change_of_nothing_makes_no_version(client: Client, fields: Json) -> None:
    requested = await client.request(title="Cat", metadata={"a": 1, "b": 2})
    media = (await update(client, requested.media_id, **fields))["media"]
    assert media["version"] == 1
    assert await lines(client) == ["CREATED 1"]


@pytest.mark.parametrize("value", [True, 1.0, "1", [1], None])
async def test_metadata_of_another_json_type_is_a_change(client: Client, value: Any) -> None:
    """1, 1.0 and true are equal in Python."""
    requested = await client.request(metadata={"a": 1})
    await update(client, requested.media_id, metadata={"a": value})
    answer = await client.graphql(
        "query ($id: ID!) { media(id: $id) { version metadata } }", id=requested.media_id
    )
    assert repr(answer["media"]) == repr({"version": 2, "metadata": {"a": value}})


async def test_an_outdated_version_is_a_conflict_that_names_the_present_one(client: Client) -> None:
    requested = await client.request()
    assert (await update(client, requested.media_id, title="Cat", ifVersion=1))["media"]["version"] == 2
    payload = await update(client, requested.media_id, title="Dog", ifVersion=1)
    assert payload["media"] is None
    [error] = payload["userErrors"]
    assert (error["__typename"], error["path"], error["currentVersion"]) == (
        "ConflictError",
        ["ifVersion"],
        2,
    )
    assert (await update(client, requested.media_id))["media"]["title"] == "Cat"


async def test_all_fields_that_are_wrong_are_reported_at_once_and_none_is_changed(client: Client) -> None:
    requested = await client.request()
    payload = await update(
        client, requested.media_id, title="x" * 301, description="\0", metadata={"a": "x" * 17_000}
    )
    assert [error["path"] for error in payload["userErrors"]] == [["title"], ["description"], ["metadata"]]
    assert payload["userErrors"][0]["message"] == "title must have at most 300 characters, not 301."
    assert await lines(client) == ["CREATED 1"]


async def test_tagging_answers_for_each_media_in_the_order_given(client: Client) -> None:
    first, second = await client.request(tags=["Cat"]), await client.request()
    ids = [second.media_id, "nonsense", first.media_id]
    answers = (await client.graphql(TAG, ids=ids, tags=["cat", "Red"]))["tagMedia"]
    assert [answer["media"] and answer["media"]["id"] for answer in answers] == [ids[0], None, ids[2]]
    assert [answer["media"]["version"] for answer in answers if answer["media"]] == [2, 2]
    for answer in (answers[0], answers[2]):
        assert {tag["slug"] for tag in answer["media"]["tags"]} == {"cat", "red"}
    assert answers[1]["userErrors"] == [
        {"code": "NOT_FOUND", "message": "There is no such media.", "path": ["mediaIds"]}
    ]


async def test_tagging_twice_changes_a_media_once(client: Client) -> None:
    requested = await client.request()
    for _ in range(2):
        [answer] = (await client.graphql(TAG, ids=[requested.media_id], tags=["cat", "CAT"]))["tagMedia"]
        assert (answer["media"]["version"], answer["media"]["tags"]) == (2, [{"slug": "cat"}])
    assert await lines(client) == ["CREATED 1", "UPDATED 2"]


async def test_one_media_named_twice_is_changed_once(client: Client) -> None:
    requested = await client.request()
    answers = (await client.graphql(TAG, ids=[requested.media_id] * 2, tags=["cat"]))["tagMedia"]
    assert [answer["media"]["version"] for answer in answers] == [2, 2]
    assert await lines(client) == ["CREATED 1", "UPDATED 2"]


async def test_untagging_ignores_tags_that_are_not_there(client: Client) -> None:
    requested = await client.request(tags=["cat", "red"])
    [answer] = (await client.graphql(UNTAG, ids=[requested.media_id], tags=["Cat", "none"]))["untagMedia"]
    assert (answer["media"]["version"], answer["media"]["tags"]) == (2, [{"slug": "red"}])
    [answer] = (await client.graphql(UNTAG, ids=[requested.media_id], tags=["Cat", "none"]))["untagMedia"]
    assert answer["media"]["version"] == 2
    assert await lines(client) == ["CREATED 1", "UPDATED 2"]
    slugs = [node["slug"] for node in (await client.graphql(TAGS))["tags"]["nodes"]]
    assert slugs == ["cat", "red"]


async def test_a_media_that_would_carry_too_many_tags_is_refused_and_no_tag_is_made(client: Client) -> None:
    requested = await client.request(tags=[f"tag {number}" for number in range(50)])
    before = await client.service.row_counts()
    [answer] = (await client.graphql(TAG, ids=[requested.media_id], tags=["one more"]))["tagMedia"]
    assert answer["media"] is None
    assert answer["userErrors"][0]["message"] == "A media carries at most 50 tags; this one would have 51."
    assert await client.service.row_counts() == before


@pytest.mark.parametrize(
    ("media", "tags", "words"),
    [
        (101, ["cat"], "mediaIds must be at most 100, not 101."),
        (1, ["x"] * 51, "tags must be at most 50, not 51."),
        (1, [""], "1 to 64 characters (tags)"),
        (1, ["x" * 65], "1 to 64 characters (tags)"),
        (1, ["?!"], "a letter or a digit (tags)"),
        (1, ["a\0"], "tags must not contain control characters."),
    ],
)
@pytest.mark.parametrize("text", [TAG, UNTAG], ids=["tagMedia", "untagMedia"])
async def test_tagging_out_of_bounds_is_refused_as_a_whole(
    client: Client, text: str, media: int, tags: list[str], words: str
) -> None:
    requested = await client.request()
    before = await client.service.row_counts()
    assert words in await client.refusal(text, ids=[requested.media_id] * media, tags=tags)
    assert await client.service.row_counts() == before


async def test_a_tag_that_is_there_is_found_by_creating_it_again(client: Client) -> None:
    first = (await client.graphql(CREATE_TAG, name="Summer Holiday"))["createTag"]["tag"]
    again = (await client.graphql(CREATE_TAG, name="summer-HOLIDAY"))["createTag"]["tag"]
    assert first == again
    assert (first["name"], first["slug"], first["mediaCount"]) == ("Summer Holiday", "summer-holiday", 0)


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "…", "a\0b"])
async def test_a_name_that_no_tag_can_have_is_refused(client: Client, name: str) -> None:
    payload = (await client.graphql(CREATE_TAG, name=name))["createTag"]
    assert payload["tag"] is None
    [error] = payload["userErrors"]
    assert (error["code"], error["path"]) == ("INVALID_INPUT", ["name"])


async def test_tags_are_listed_by_slug_in_pages(client: Client) -> None:
    await client.request(tags=["delta", "Alpha", "charlie", "bravo"])
    first = (await client.graphql(TAGS, first=3))["tags"]
    assert [node["slug"] for node in first["nodes"]] == ["alpha", "bravo", "charlie"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (4, True)
    rest = (await client.graphql(TAGS, first=3, after=first["pageInfo"]["endCursor"]))["tags"]
    assert [node["slug"] for node in rest["nodes"]] == ["delta"]
    assert rest["pageInfo"]["hasPreviousPage"]


async def test_tags_are_found_by_the_beginning_of_their_slug(client: Client) -> None:
    await client.request(tags=["Summer 1", "summer 2", "100%", "100x"])
    assert [n["slug"] for n in (await client.graphql(TAGS, search="SUMM"))["tags"]["nodes"]] == [
        "summer-1",
        "summer-2",
    ]
    found = (await client.graphql(TAGS, search="summer 1"))["tags"]
    assert ([n["slug"] for n in found["nodes"]], found["totalCount"]) == (["summer-1"], 1)
    cursor = found["edges"][0]["cursor"]
    assert "not a cursor of this list" in await client.refusal(TAGS, after=cursor)
    assert await client.refusal(TAGS, first=0) == "first must be from 1 to 100, not 0."


async def test_a_deleted_media_is_gone_and_deleting_it_again_says_so(client: Client) -> None:
    requested = await client.upload(tags=["cat"])
    payload = (await client.graphql(DELETE, id=requested.media_id))["deleteMedia"]
    assert payload == {"deletedId": requested.media_id, "userErrors": []}
    [error] = (await client.graphql(DELETE, id=requested.media_id))["deleteMedia"]["userErrors"]
    assert (error["code"], error["path"]) == ("NOT_FOUND", ["id"])
    assert await lines(client) == ["CREATED 1", "STATUS_CHANGED 2", "DELETED 3"]
    assert (await client.graphql(CREATE_TAG, name="cat"))["createTag"]["tag"]["mediaCount"] == 0


async def test_each_change_of_any_kind_is_one_version_and_one_line(client: Client) -> None:
    requested = await client.upload()
    await update(client, requested.media_id, title="Cat")
    await client.graphql(TAG, ids=[requested.media_id], tags=["cat"])
    await client.graphql(UNTAG, ids=[requested.media_id], tags=["cat"])
    await client.graphql(DELETE, id=requested.media_id)
    assert await lines(client) == [
        "CREATED 1",
        "STATUS_CHANGED 2",
        "UPDATED 3",
        "UPDATED 4",
        "UPDATED 5",
        "DELETED 6",
    ]


# --- what is deleted for good ----------------------------------------------------------------------


async def collect(client: Client) -> int:
    return await client.service.runtime.services.housekeeping.collect()


async def let_the_grace_pass(client: Client) -> None:
    await client.service.execute(
        """UPDATE deletion_outbox SET not_before = now() - interval '1 second'
           WHERE blob_id IN (SELECT id FROM blobs WHERE owner_id = :owner)""",
        owner=client.user.id,
    )


async def stored(client: Client) -> list[str]:
    return [found.key async for found in client.service.runtime.store.list(f"{client.user.id}/")]


async def test_the_objects_of_a_deleted_media_stay_for_the_grace_and_are_removed_then(client: Client) -> None:
    requested = await client.upload()
    rendition = f"{renditions_prefix(requested.key)}image-1/webp-320.webp"
    await store_directly(client, rendition, PICTURE)
    await client.graphql(DELETE, id=requested.media_id)
    assert await collect(client) == 0
    assert sorted(await stored(client)) == sorted([requested.key, rendition])
    await let_the_grace_pass(client)
    assert await collect(client) == 1
    assert await stored(client) == []
    assert await collect(client) == 0


async def test_the_collector_leaves_what_a_media_shows(client: Client) -> None:
    requested = await client.upload()
    await client.service.execute(
        """INSERT INTO deletion_outbox (blob_id, key, not_before)
           SELECT id, key, now() - interval '1 day' FROM blobs WHERE owner_id = :owner""",
        owner=client.user.id,
    )
    assert await collect(client) == 1
    assert await stored(client) == [requested.key]
    assert await collect(client) == 0


async def test_bytes_that_arrive_after_an_abort_are_collected(client: Client) -> None:
    requested = await client.request()
    await client.abort(requested.upload_id)
    assert (await client.put(requested.target)).status_code == 200
    assert await collect(client) == 0
    await let_the_grace_pass(client)
    assert await collect(client) == 1
    assert await stored(client) == []
    answer = await client.graphql(
        "query ($id: ID!) { media(id: $id) { status download { url } } }", id=requested.media_id
    )
    assert answer["media"] == {"status": "FAILED", "download": None}
    assert (await client.graphql(DELETE, id=requested.media_id))["deleteMedia"]["userErrors"] == []


async def test_bytes_that_arrive_after_the_deletion_of_their_media_are_collected(client: Client) -> None:
    requested = await client.request()
    await client.graphql(DELETE, id=requested.media_id)
    assert (await client.put(requested.target)).status_code == 200
    await let_the_grace_pass(client)
    assert await collect(client) == 1
    assert await stored(client) == []


async def test_each_mutation_of_one_document_answers_what_is_true_after_it(client: Client) -> None:
    requested = await client.request()
    answers = await client.graphql(
        """
        mutation ($id: ID!, $ids: [ID!]!) {
          a: tagMedia(mediaIds: $ids, tags: ["x"]) { media { version tags { slug } } }
          b: tagMedia(mediaIds: $ids, tags: ["y"]) { media { version tags { slug } } }
          c: untagMedia(mediaIds: $ids, tags: ["x"]) { media { version tags { slug } } }
          d: updateMedia(input: {id: $id, title: "Cat"}) { media { version upload { status } } }
        }
        """,
        id=requested.media_id,
        ids=[requested.media_id],
    )
    told = [
        (media["version"], [tag["slug"] for tag in media["tags"]])
        for media in (answers[name][0]["media"] for name in "abc")
    ]
    assert told == [(2, ["x"]), (3, ["x", "y"]), (4, ["y"])]
    assert answers["d"]["media"] == {"version": 5, "upload": {"status": "PENDING"}}
