"""What belongs to somebody else is not there: for no root field, no mutation and no stream."""

from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from db.models import new_id
from schema.ids import global_id
from tests.api.client import Client, Json

pytestmark = pytest.mark.asyncio(loop_scope="session")

NODE = "query ($id: ID!) { node(id: $id) { __typename id } }"
UPDATE = """mutation ($id: ID!) { updateMedia(input: {id: $id, title: "mine"}) {
    media { id } userErrors { code path } } }"""
DELETE = "mutation ($id: ID!) { deleteMedia(id: $id) { deletedId userErrors { code path } } }"
FINALIZE = "mutation ($id: ID!) { finalizeUpload(uploadId: $id) { media { id } userErrors { code path } } }"
ABORT = "mutation ($id: ID!) { abortUpload(uploadId: $id) { upload { id } userErrors { code path } } }"
TAG = """mutation ($id: ID!) { tagMedia(mediaIds: [$id], tags: ["mine"]) {
    media { id } userErrors { code path } } }"""
RETRY = "mutation ($id: ID!) { retryProcessing(mediaId: $id) { media { id } userErrors { code path } } }"
CANCEL = "mutation ($id: ID!) { cancelProcessing(mediaId: $id) { media { id } userErrors { code path } } }"
RENAME_TAG = """mutation ($id: ID!) { renameTag(id: $id, name: "mine") {
    tag { id } userErrors { code path } } }"""
DELETE_TAG = "mutation ($id: ID!) { deleteTag(id: $id) { deletedId userErrors { code path } } }"
UNTAG = TAG.replace("tagMedia", "untagMedia").replace("mine", "theirs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Things:
    media: str
    upload: str
    tag: str
    rendition: str
    user: str


@pytest_asyncio.fixture(loop_scope="session")
async def theirs(stranger: Client) -> Things:
    requested = await stranger.request(tags=["theirs"])
    await stranger.put(requested.target)
    rendition = new_id()
    await stranger.service.execute(
        """INSERT INTO renditions
             (id, blob_id, recipe, name, role, mime_type, width, height, size, key, created_at)
           SELECT :id, blob_id, 'image-1', 'webp-1', 'IMAGE', 'image/webp', 1, 1, 1, 'x', now()
           FROM media WHERE owner_id = :owner""",
        id=rendition,
        owner=stranger.user.id,
    )
    answer = await stranger.graphql("query { viewer { id } mediaItems { nodes { tags { id } } } }")
    [media] = answer["mediaItems"]["nodes"]
    return Things(
        media=requested.media_id,
        upload=requested.upload_id,
        tag=media["tags"][0]["id"],
        rendition=global_id("Rendition", rendition),
        user=answer["viewer"]["id"],
    )


@pytest.mark.parametrize("kind", Things.__dataclass_fields__)
async def test_a_node_is_found_by_its_owner_alone(
    client: Client, stranger: Client, theirs: Things, kind: str
) -> None:
    id = getattr(theirs, kind)
    found = (await stranger.graphql(NODE, id=id))["node"]
    assert (found["__typename"], found["id"]) == (kind.title(), id)
    assert (await client.graphql(NODE, id=id))["node"] is None


async def test_a_media_is_found_by_its_owner_alone(client: Client, stranger: Client, theirs: Things) -> None:
    text = "query ($id: ID!) { media(id: $id) { id } }"
    assert (await stranger.graphql(text, id=theirs.media))["media"] == {"id": theirs.media}
    assert (await client.graphql(text, id=theirs.media))["media"] is None


async def test_lists_show_the_viewers_own_alone(client: Client, theirs: Things) -> None:
    text = """query ($ids: [ID!]) {
        mediaItems(filter: {ids: $ids}) { nodes { id } totalCount }
        tags { nodes { id } totalCount } }"""
    answer = await client.graphql(text, ids=[theirs.media])
    assert answer == {
        "mediaItems": {"nodes": [], "totalCount": 0},
        "tags": {"nodes": [], "totalCount": 0},
    }


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (UPDATE, "media"),
        (DELETE, "media"),
        (FINALIZE, "upload"),
        (ABORT, "upload"),
        (TAG, "media"),
        (UNTAG, "media"),
        (RETRY, "media"),
        (CANCEL, "media"),
        (RENAME_TAG, "tag"),
        (DELETE_TAG, "tag"),
    ],
    ids=[
        "updateMedia",
        "deleteMedia",
        "finalizeUpload",
        "abortUpload",
        "tagMedia",
        "untagMedia",
        "retryProcessing",
        "cancelProcessing",
        "renameTag",
        "deleteTag",
    ],
)
async def test_no_mutation_reaches_what_is_not_ones_own(
    client: Client, stranger: Client, theirs: Things, text: str, kind: str
) -> None:
    state = "query { mediaItems { nodes { id version status title tags { slug } upload { status } } } }"
    before = (await stranger.graphql(state), await client.service.row_counts())
    [payload] = (await client.graphql(text, id=getattr(theirs, kind))).values()
    errors = as_one(payload).pop("userErrors")
    assert [error["code"] for error in errors] == ["NOT_FOUND"]
    assert list(as_one(payload).values()) == [None]
    assert (await stranger.graphql(state), await client.service.row_counts()) == before


def as_one(payload: Any) -> Json:
    """Mutations of many media answer with a list; here it has one entry."""
    [found] = payload if isinstance(payload, list) else [payload]
    one: Json = found
    return one


async def test_no_stream_tells_of_what_is_not_ones_own(
    client: Client, stranger: Client, theirs: Things
) -> None:
    async with client.socket() as socket:
        status = await socket.subscribe(
            "subscription ($id: ID!) { mediaStatus(id: $id) { type } }", id=theirs.media
        )
        assert (await socket.error(status))["extensions"]["code"] == "BAD_USER_INPUT"
        everything = await socket.subscribe("subscription { mediaEvents { type mediaId } }")
        assert (await socket.event(everything))["type"] == "CURSOR"
        await stranger.abort(theirs.upload)
        mine = await client.request()
        assert await socket.event(everything) == {"type": "CREATED", "mediaId": mine.media_id}


async def test_tags_of_one_name_are_different_for_each_owner(client: Client, stranger: Client) -> None:
    text = 'mutation { createTag(name: "cat") { tag { id mediaCount } } }'
    await stranger.request(tags=["cat"])
    mine = (await client.graphql(text))["createTag"]["tag"]
    other = (await stranger.graphql(text))["createTag"]["tag"]
    assert mine["id"] != other["id"]
    assert (mine["mediaCount"], other["mediaCount"]) == (0, 1)


async def test_the_renditions_of_a_deleted_media_are_out_of_sight(stranger: Client, theirs: Things) -> None:
    await stranger.graphql(DELETE, id=theirs.media)
    assert (await stranger.graphql(NODE, id=theirs.rendition))["node"] is None


async def test_nodes_come_in_the_order_asked_with_null_for_what_is_not_there(
    client: Client, theirs: Things
) -> None:
    first, second = await client.request(), await client.request()
    ids = [second.media_id, "nonsense", theirs.media, first.upload_id, first.media_id, second.media_id, ""]
    text = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    found = [node and node["id"] for node in (await client.graphql(text, ids=ids))["nodes"]]
    assert found == [second.media_id, None, None, first.upload_id, first.media_id, second.media_id, None]


async def test_more_than_a_hundred_nodes_are_refused(client: Client) -> None:
    text = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert await client.refusal(text, ids=["x"] * 101) == "ids must be at most 100, not 101."


@pytest.mark.parametrize("id", ["", "nonsense", "🦊", "TWVkaWE6MQ==", "Tm90aGluZzow", "\0", "a" * 10_000])
async def test_what_is_no_id_finds_nothing(client: Client, id: str) -> None:
    answer = await client.graphql(
        "query ($id: ID!) { node(id: $id) { id } media(id: $id) { id } nodes(ids: [$id]) { id } }", id=id
    )
    assert answer == {"node": None, "media": None, "nodes": [None]}
    for text in (UPDATE, DELETE, TAG, UNTAG):
        [payload] = (await client.graphql(text, id=id)).values()
        assert [error["code"] for error in as_one(payload)["userErrors"]] == ["NOT_FOUND"]


async def test_the_viewer_is_who_asks(client: Client) -> None:
    viewer = (await client.graphql("query { viewer { id username role createdAt } }"))["viewer"]
    assert (viewer["username"], viewer["role"]) == (client.user.username, "EDITOR")
    assert viewer["createdAt"].endswith("+00:00")
