"""Renaming, deleting and counting tags, and what tagging many media costs."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from schema.ids import global_id, parse_id
from services import library, tag_deletion
from tests.api.client import REQUEST_UPLOADS, Client, Json
from tests.api.test_changes import CREATE_TAG, DELETE, TAG, UNTAG, lines

pytestmark = pytest.mark.asyncio(loop_scope="session")

RENAME = """
    mutation ($id: ID!, $name: String!) { renameTag(id: $id, name: $name) {
      tag { id name slug mediaCount } userErrors { __typename code message path } } }
"""
DELETE_TAG = """
    mutation ($id: ID!) { deleteTag(id: $id) { deletedId userErrors { __typename code message path } } }
"""
FOUND = """
    query ($filter: MediaFilter) { mediaItems(filter: $filter) { nodes { id tags { slug } } totalCount } }
"""
TAG_NODE = "query ($id: ID!) { node(id: $id) { id ... on Tag { name slug mediaCount } } }"

#: Each tag whose counter is not the number of its links.
MISCOUNTED = """
    SELECT tags.slug, tags.media_count, count(media_tags.media_id) FROM tags
    LEFT JOIN media_tags ON media_tags.tag_id = tags.id
    GROUP BY tags.id HAVING tags.media_count <> count(media_tags.media_id)
"""

#: Each media whose newest line of the log tells other tags than it carries.
MISTOLD = """
    WITH newest AS (
        SELECT DISTINCT ON (media_id) media_id, tags FROM media_events WHERE owner_id = :owner
        ORDER BY media_id, version DESC
    ), carried AS (
        SELECT id, array(
            SELECT slug FROM media_tags JOIN tags ON tags.id = tag_id
            WHERE media_id = media.id AND deleted_at IS NULL ORDER BY slug COLLATE "C"
        ) AS slugs
        FROM media WHERE owner_id = :owner
    )
    SELECT id, tags, slugs FROM carried JOIN newest ON media_id = id WHERE tags <> slugs
"""


async def create(client: Client, name: str) -> str:
    """The tag's id."""
    id: str = (await client.graphql(CREATE_TAG, name=name))["createTag"]["tag"]["id"]
    return id


async def rename(client: Client, id: str, name: str) -> Json:
    payload: Json = (await client.graphql(RENAME, id=id, name=name))["renameTag"]
    return payload


async def delete(client: Client, id: str) -> Json:
    payload: Json = (await client.graphql(DELETE_TAG, id=id))["deleteTag"]
    return payload


async def found(client: Client, **filter: Any) -> list[str]:
    nodes = (await client.graphql(FOUND, filter=filter))["mediaItems"]["nodes"]
    return [node["id"] for node in nodes]


async def rows(client: Client, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    async with client.service.runtime.engine.connect() as connection:
        return [tuple(row) for row in (await connection.execute(text(statement), values)).all()]


async def told_tags(client: Client, media_id: str) -> list[tuple[Any, ...]]:
    """Of each line of a media: its version, the tags before and after."""
    statement = "SELECT version, previous_tags, tags FROM media_events WHERE media_id = :id ORDER BY version"
    return await rows(client, statement, id=parse_id(media_id)[1])


async def add_media(client: Client, number: int, tag_id: str) -> None:
    """So many media that carry the tag, past the service: requesting them takes its time."""
    await client.service.execute(
        """
        WITH made AS (
            INSERT INTO media (id, owner_id, blob_id, version, kind, status, visibility, filename, mime_type,
                               size, sha256_verified, created_at, updated_at)
            SELECT gen_random_uuid(), owner_id, blob_id, 1, kind, status, visibility, filename, mime_type,
                   size, false, now(), now()
            FROM media, generate_series(1, :number) WHERE owner_id = :owner
            RETURNING id
        )
        INSERT INTO media_tags (media_id, tag_id) SELECT id, :tag FROM made
        """,
        number=number,
        owner=client.user.id,
        tag=parse_id(tag_id)[1],
    )


# --- renaming --------------------------------------------------------------------------------------


async def test_a_renamed_tag_keeps_its_media_which_do_not_change(client: Client) -> None:
    requested = await client.request(tags=["cat"])
    id = await create(client, "cat")
    payload = await rename(client, id, " Wild  Dogs ")
    assert payload == {
        "tag": {"id": id, "name": "Wild  Dogs", "slug": "wild-dogs", "mediaCount": 1},
        "userErrors": [],
    }
    assert await found(client, search="dogs") == [requested.media_id]
    assert await found(client, search="cat wild") == [requested.media_id], "the filename is cat.jpg"
    assert await found(client, tags={"all": ["wild-dogs"]}) == [requested.media_id]
    assert await found(client, tags={"all": ["cat"]}) == []
    assert await lines(client) == ["CREATED 1"]


async def test_the_old_words_of_a_renamed_tag_find_nothing(client: Client) -> None:
    await client.request(filename="1.jpg", tags=["cat"])
    await rename(client, await create(client, "cat"), "dog")
    assert await found(client, search="cat") == []
    assert await create(client, "cat") != await create(client, "dog")


async def test_another_spelling_of_the_same_slug_changes_the_name_alone(client: Client) -> None:
    id = await create(client, "summer holiday")
    payload = await rename(client, id, "Summer-Holiday")
    assert (payload["tag"]["name"], payload["tag"]["slug"]) == ("Summer-Holiday", "summer-holiday")
    assert (await rename(client, id, "Summer-Holiday"))["tag"] == payload["tag"]


async def test_the_slug_of_another_tag_is_a_conflict(client: Client, stranger: Client) -> None:
    await create(stranger, "dog")
    id = await create(client, "cat")
    assert (await rename(client, id, "dog"))["userErrors"] == [], "somebody else's is no hindrance"
    await create(client, "cat")
    payload = await rename(client, id, "CAT")
    assert payload["tag"] is None
    assert payload["userErrors"] == [
        {
            "__typename": "GenericError",
            "code": "CONFLICT",
            "message": "You have another tag with the slug cat already.",
            "path": ["name"],
        }
    ]
    assert (await client.graphql(TAG_NODE, id=id))["node"]["slug"] == "dog"


@pytest.mark.parametrize("name", ["", "x" * 65, "…", "a\0b"])
async def test_a_name_that_no_tag_can_have_is_refused(client: Client, name: str) -> None:
    [error] = (await rename(client, await create(client, "cat"), name))["userErrors"]
    assert (error["__typename"], error["path"]) == ("InvalidInputError", ["name"])


@pytest.mark.parametrize("swapped", [False, True])
async def test_of_two_that_rename_to_one_slug_at_once_one_wins(client: Client, swapped: bool) -> None:
    """Swapped, each wants the other's slug: both are refused, and neither waits for the other."""
    for attempt in range(10):
        names = [f"one {attempt}", f"two {attempt}"]
        ids = [await create(client, name) for name in names]
        wanted = names[::-1] if swapped else [f"three {attempt}"] * 2
        payloads = await asyncio.gather(
            *(rename(client, id, name) for id, name in zip(ids, wanted, strict=True))
        )
        codes = sorted(error["code"] for payload in payloads for error in payload["userErrors"])
        assert codes == (["CONFLICT"] * 2 if swapped else ["CONFLICT"])


async def test_a_slug_that_is_taken_while_another_tag_gets_it_is_a_conflict_or_the_same_tag(
    client: Client,
) -> None:
    for attempt in range(10):
        id = await create(client, f"old {attempt}")
        requested = await client.request()
        renamed, [tagged] = await asyncio.gather(
            rename(client, id, f"new {attempt}"), tag(client, [requested.media_id], [f"new {attempt}"])
        )
        assert [each["slug"] for each in tagged["media"]["tags"]] == [f"new-{attempt}"]
        made_first = [error["code"] for error in renamed["userErrors"]] == ["CONFLICT"]
        count = (await client.graphql(TAG_NODE, id=id))["node"]["mediaCount"]
        assert count == (0 if made_first else 1)


UPDATE = """mutation ($id: ID!, $title: String = "Another") {
    updateMedia(input: {id: $id, title: $title}) { userErrors { message } } }"""
WAITING = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND NOT granted"


class Renaming:
    """Wraps a function that writes lines: after them a rename begins, which waits or comes to its end."""

    def __init__(self, client: Client, tag_id: str, writes: Callable[..., Awaitable[None]]) -> None:
        self.client, self.tag_id, self.writes = client, tag_id, writes
        self.task: asyncio.Task[Json] | None = None
        self.waits = False

    async def __call__(self, session: AsyncSession, *arguments: Any, **values: Any) -> None:
        await self.writes(session, *arguments, **values)
        if self.task is None:
            self.task = asyncio.create_task(rename(self.client, self.tag_id, "dog"))
            while not self.task.done() and not self.waits:
                self.waits = await rows(self.client, WAITING) != []


@pytest.mark.parametrize("what", ["change", "delete", "unlink"])
async def test_no_tag_is_renamed_between_a_line_that_tells_it_and_the_commit(
    client: Client, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Whoever subscribes by the new slug after the rename would never hear of that line."""
    requested = await client.request(tags=["cat", "red"])
    module, name = {
        "change": (library, "change_media"),
        "delete": (library, "delete_media"),
        "unlink": (tag_deletion, "retag_media"),
    }[what]
    if what == "unlink":
        monkeypatch.setattr(tag_deletion, "BATCH", 0)
        red = await create(client, "red")
        await delete(client, red)
        monkeypatch.setattr(tag_deletion, "BATCH", 1)
    renaming = Renaming(client, await create(client, "cat"), getattr(module, name))
    monkeypatch.setattr(module, name, renaming)
    match what:
        case "change":
            await client.graphql(UPDATE, id=requested.media_id)
        case "delete":
            await client.graphql(DELETE, id=requested.media_id)
        case "unlink":
            assert await unlink(client, red) == 1
    assert renaming.waits
    assert renaming.task is not None
    assert (await renaming.task)["tag"]["slug"] == "dog"
    told = {"change": ["cat", "red"], "delete": ["cat", "red"], "unlink": ["cat"]}[what]
    assert [tags for _, _, tags in await told_tags(client, requested.media_id)][-1] == told


# --- finding ---------------------------------------------------------------------------------------


TAGS = "query ($search: String) { tags(search: $search) { nodes { id slug } } }"


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        ("x" * 65, "search must have at most 64 characters, not 65."),
        ("…", "search must contain a letter or a digit."),
    ],
)
async def test_an_unfit_search_for_tags_is_refused_as_a_search(
    client: Client, search: str, sentence: str
) -> None:
    assert await client.refusal(TAGS, search=search) == sentence


async def test_a_search_for_tags_is_spelled_as_their_names_are(client: Client) -> None:
    id = await create(client, "Summer Holiday")
    await create(client, "sun")
    for search in ("SUMMER", "summer  h", " summer-holiday ", "summ"):
        assert (await client.graphql(TAGS, search=search))["tags"]["nodes"] == [
            {"id": id, "slug": "summer-holiday"}
        ]
    for empty in (None, "", "  "):
        assert len((await client.graphql(TAGS, search=empty))["tags"]["nodes"]) == 2


async def test_a_tag_of_somebody_else_is_shown_by_a_public_media_alone(
    client: Client, stranger: Client
) -> None:
    requested = await stranger.request(tags=["cat"], visibility="PUBLIC")
    text = "query ($id: ID!) { media(id: $id) { tags { id slug } } }"
    [tag] = (await client.graphql(text, id=requested.media_id))["media"]["tags"]
    assert tag["slug"] == "cat"
    assert (await client.graphql(TAG_NODE, id=tag["id"]))["node"] is None
    assert (await stranger.graphql(TAG_NODE, id=tag["id"]))["node"]["mediaCount"] == 1


# --- deleting --------------------------------------------------------------------------------------


async def tag(client: Client, ids: list[str], tags: list[str]) -> list[Json]:
    answers: list[Json] = (await client.graphql(TAG, ids=ids, tags=tags))["tagMedia"]
    return answers


async def test_a_deleted_tag_is_gone_from_everywhere(client: Client) -> None:
    requested = await client.request(filename="1.jpg", tags=["cat", "red"])
    other = await client.request(filename="2.jpg", tags=["red"])
    id = await create(client, "cat")
    assert await delete(client, id) == {"deletedId": id, "userErrors": []}
    assert await rows(client, "SELECT 1 FROM tags WHERE id = :id", id=parse_id(id)[1]) == []
    assert (await client.graphql(TAG_NODE, id=id))["node"] is None
    assert await found(client, tags={"all": ["cat"]}) == await found(client, search="cat") == []
    assert await told_tags(client, requested.media_id) == [
        (1, None, ["cat", "red"]),
        (2, ["cat", "red"], ["red"]),
    ]
    assert await told_tags(client, other.media_id) == [(1, None, ["red"])]
    assert await rows(client, MISTOLD, owner=client.user.id) == []


async def test_deleting_a_tag_again_says_that_it_is_not_there(client: Client, stranger: Client) -> None:
    id = await create(client, "cat")
    assert await create(stranger, "cat") != id
    refused = [await delete(stranger, id), await delete(client, id), await delete(client, id)]
    refused += [await rename(client, id, "dog"), await delete(client, "nonsense")]
    errors = [each["userErrors"] for each in refused]
    assert errors.pop(1) == []
    for [error] in errors:
        assert (error["__typename"], error["message"], error["path"]) == (
            "NotFoundError",
            "There is no such tag.",
            ["id"],
        )


async def test_of_many_that_delete_one_tag_at_once_one_wins(client: Client) -> None:
    requested = [await client.request(tags=["cat"]) for _ in range(3)]
    id = await create(client, "cat")
    payloads = await asyncio.gather(*(delete(client, id) for _ in range(8)))
    assert sorted(len(payload["userErrors"]) for payload in payloads) == [0] + [1] * 7
    for each in requested:
        assert [version for version, *_ in await told_tags(client, each.media_id)] == [1, 2]


async def unlink(client: Client, id: str) -> int:
    """Run the jobs of a deleted tag as a worker does; how many there were."""
    done = 0
    statement = """
        DELETE FROM pgqueuer WHERE entrypoint = 'unlink_tag' AND encode(payload, 'escape') LIKE :id
        RETURNING 1
    """
    while True:
        async with client.service.runtime.engine.begin() as connection:
            jobs = (await connection.execute(text(statement), {"id": f"%{parse_id(id)[1]}%"})).all()
        if not jobs:
            return done
        for _ in jobs:
            await client.service.runtime.services.tag_deletion.unlink_batch(parse_id(id)[1])
            done += 1


async def test_a_tag_on_many_media_is_out_of_sight_at_once_and_taken_off_in_batches(client: Client) -> None:
    requested = await client.request(filename="1.jpg", tags=["cat"])
    id = await create(client, "cat")
    await add_media(client, 2 * tag_deletion.BATCH, id)
    assert (await client.graphql(TAG_NODE, id=id))["node"]["mediaCount"] == 1_001
    assert (await delete(client, id))["userErrors"] == []

    answer = (await client.graphql(FOUND, filter={"search": "1"}))["mediaItems"]
    assert {len(node["tags"]) for node in answer["nodes"]} == {0}
    assert await found(client, tags={"all": ["cat"]}) == await found(client, search="cat") == []
    assert (await client.graphql(TAG_NODE, id=id))["node"] is None
    assert await lines(client) == ["CREATED 1"]

    assert await unlink(client, id) == 3
    assert await rows(client, "SELECT 1 FROM tags WHERE id = :id", id=parse_id(id)[1]) == []
    assert await told_tags(client, requested.media_id) == [(1, None, ["cat"]), (2, ["cat"], [])]
    assert len(await lines(client)) == 1_002


async def test_a_media_that_carries_a_new_tag_of_the_same_slug_shows_no_change(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_deletion, "BATCH", 1)
    kept, left = [await client.request(tags=["cat"]) for _ in range(2)]
    old = await create(client, "cat")
    await delete(client, old)
    [tagged] = await tag(client, [kept.media_id], ["Cat"])
    assert tagged["media"]["version"] == 2
    new = await create(client, "cat")
    assert new != old
    assert await unlink(client, old) == 2
    assert await told_tags(client, kept.media_id) == [(1, None, ["cat"]), (2, [], ["cat"])]
    assert await told_tags(client, left.media_id) == [(1, None, ["cat"]), (2, ["cat"], [])]
    assert (await client.graphql(TAG_NODE, id=new))["node"]["mediaCount"] == 1
    assert await found(client, tags={"all": ["cat"]}) == [kept.media_id]


async def test_batches_that_are_done_by_several_workers_at_once_or_twice_are_told_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_deletion, "BATCH", 3)
    requested = [await client.request(tags=["cat"]) for _ in range(10)]
    id = await create(client, "cat")
    await delete(client, id)
    batch = client.service.runtime.services.tag_deletion.unlink_batch
    for _ in range(4):
        await asyncio.gather(*(batch(parse_id(id)[1]) for _ in range(4)))
    assert await rows(client, "SELECT 1 FROM tags WHERE id = :id", id=parse_id(id)[1]) == []
    for each in requested:
        assert [version for version, *_ in await told_tags(client, each.media_id)] == [1, 2]
    await unlink(client, id)


async def test_a_deleted_tag_whose_job_has_vanished_gets_another_one(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_deletion, "BATCH", 1)
    for _ in range(2):
        await client.request(tags=["cat"])
    id = await create(client, "cat")
    await delete(client, id)
    requeue = client.service.runtime.services.tag_deletion.requeue_stranded
    await client.service.execute(
        "UPDATE tags SET deleted_at = deleted_at - interval '31 s' WHERE deleted_at < now()"
    )
    assert await requeue() == 0, "its job is there"
    await client.service.execute("DELETE FROM pgqueuer WHERE entrypoint = 'unlink_tag'")
    assert await requeue() == 1
    assert await requeue() == 0
    assert await unlink(client, id) == 2


# --- many at once ----------------------------------------------------------------------------------


async def test_tagging_costs_the_same_few_statements_for_any_number_of_media(client: Client) -> None:
    await client.request(tags=["cat"])
    await add_media(client, 99, await create(client, "cat"))
    nodes = (await client.graphql("{ mediaItems(first: 100) { nodes { id } } }"))["mediaItems"]["nodes"]
    ids = [node["id"] for node in nodes]
    counts: dict[str, set[int]] = {}
    for number in (1, 10, 100):
        for name, document in (("tagged", TAG), ("untagged", UNTAG)):
            with client.service.statements() as statements:
                await client.graphql(document, ids=ids[:number], tags=[f"a {number}", f"b {number}"])
            counts.setdefault(name, set()).add(len(statements))
    assert all(len(numbers) == 1 for numbers in counts.values()), counts
    assert max(map(max, counts.values())) <= 12, counts
    told = "SELECT type, count(*) FROM media_events WHERE owner_id = :owner GROUP BY type"
    assert dict(await rows(client, told, owner=client.user.id)) == {"CREATED": 1, "UPDATED": 2 * 111}


@pytest.mark.parametrize("renaming", [False, True])
async def test_writers_of_every_kind_at_once_meet_no_error_and_count_right(
    client: Client, monkeypatch: pytest.MonkeyPatch, renaming: bool
) -> None:
    """A deadlock would be an error; PostgreSQL ends one after a second."""
    monkeypatch.setattr(tag_deletion, "BATCH", 4)
    writers = [Writer(client, random.Random(number), renaming=renaming) for number in range(6)]
    await asyncio.gather(*(writer.write(20) for writer in writers))
    for _ in range(100):
        deleted = "SELECT id FROM tags WHERE owner_id = :owner AND deleted_at IS NOT NULL"
        if not (left := await rows(client, deleted, owner=client.user.id)):
            break
        for [id] in left:
            await client.service.runtime.services.tag_deletion.unlink_batch(id)
    else:
        raise AssertionError("A deleted tag stays.")
    assert await rows(client, MISCOUNTED) == []
    if renaming:  # No line tells of it: each media's next one is right again.
        for [id] in await rows(client, "SELECT id FROM media WHERE owner_id = :owner", owner=client.user.id):
            await client.graphql(UPDATE, id=global_id("Media", id), title="The last")
    assert await rows(client, MISTOLD, owner=client.user.id) == []
    await client.service.execute("DELETE FROM pgqueuer WHERE entrypoint = 'unlink_tag'")


class Writer:
    """Does whatever has to do with tags, with few tags and media so that writers meet."""

    slugs = ("a", "b", "c", "d", "e", "f")

    def __init__(self, client: Client, chance: random.Random, *, renaming: bool) -> None:
        self.client = client
        self.chance = chance
        self.actions = [self.request, self.request, self.tag, self.tag, self.untag, self.delete_media]
        self.actions += [self.create_tag, self.delete_tag, self.unlink]
        if renaming:
            self.actions += [self.rename_tag, self.rename_tag, self.update_media]

    async def write(self, times: int) -> None:
        for _ in range(times):
            await self.chance.choice(self.actions)()

    def some_slugs(self) -> list[str]:
        return self.chance.sample(self.slugs, self.chance.randint(1, 4))

    async def some_media(self) -> list[str]:
        nodes = (await self.client.graphql("{ mediaItems(first: 12) { nodes { id } } }"))["mediaItems"][
            "nodes"
        ]
        return [node["id"] for node in self.chance.sample(nodes, min(5, len(nodes)))]

    async def some_tag(self) -> str:
        nodes = (await self.client.graphql("{ tags { nodes { id } } }"))["tags"]["nodes"]
        return self.chance.choice(nodes)["id"] if nodes else "none"

    async def request(self) -> None:
        inputs = [
            {"filename": "1.jpg", "mimeType": "image/jpeg", "size": 1, "tags": self.some_slugs()}
            for _ in "123"
        ]
        assert len((await self.client.graphql(REQUEST_UPLOADS, inputs=inputs))["requestUploads"]) == 3

    async def tag(self) -> None:
        await self.client.graphql(TAG, ids=await self.some_media(), tags=self.some_slugs())

    async def untag(self) -> None:
        await self.client.graphql(UNTAG, ids=await self.some_media(), tags=self.some_slugs())

    async def delete_media(self) -> None:
        for id in (await self.some_media())[:1]:
            await self.client.graphql(DELETE, id=id)

    async def create_tag(self) -> None:
        await create(self.client, self.chance.choice(self.slugs))

    async def delete_tag(self) -> None:
        await delete(self.client, await self.some_tag())

    async def rename_tag(self) -> None:
        await rename(self.client, await self.some_tag(), self.chance.choice(self.slugs))

    async def update_media(self) -> None:
        for id in await self.some_media():
            await self.client.graphql(UPDATE, id=id, title=str(self.chance.random()))

    async def unlink(self) -> None:
        statement = "SELECT id FROM tags WHERE owner_id = :owner AND deleted_at IS NOT NULL"
        for [id] in await rows(self.client, statement, owner=self.client.user.id):
            await self.client.service.runtime.services.tag_deletion.unlink_batch(id)
