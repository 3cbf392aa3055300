"""Requests for an upload under a name of the client's: sent again, they give the same media."""

import asyncio
from typing import Any

import pytest

from tests.api.client import Client, Json
from tests.api.conftest import OwnService
from tests.api.test_changes import DELETE, lines

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUESTS = """
    mutation ($inputs: [RequestUploadInput!]!) { requestUploads(inputs: $inputs) {
      clientMutationId media { id version status } upload { id key }
      userErrors { __typename code message path ... on ConflictError { currentVersion } }
    } }
"""

INPUT: Json = {
    "clientMutationId": "first",
    "filename": "cat.jpg",
    "mimeType": "image/jpeg",
    "size": 10,
    "tags": ["cat", "red"],
    "metadata": {"a": {"x": 1, "y": 2}, "b": 2},
}


async def request(client: Client, *inputs: Json) -> list[Json]:
    answers: list[Json] = (await client.graphql(REQUESTS, inputs=list(inputs)))["requestUploads"]
    return answers


async def age(client: Client, interval: str) -> None:
    await client.service.execute(
        f"""UPDATE idempotency_keys SET created_at = created_at - interval '{interval}'
            WHERE owner_id = :owner""",
        owner=client.user.id,
    )


async def test_a_request_that_comes_again_gets_the_same_media_and_upload(client: Client) -> None:
    [first] = await request(client, INPUT)
    assert first["clientMutationId"] == "first"
    before = await client.service.row_counts()
    assert await request(client, INPUT) == [first]
    assert await client.service.row_counts() == before
    assert await lines(client) == ["CREATED 1"]


@pytest.mark.parametrize(
    "same",
    [
        dict(reversed(INPUT.items())),
        INPUT | {"metadata": {"b": 2, "a": {"y": 2, "x": 1}}},
        INPUT | {"tags": ["red", "cat"]},
        INPUT | {"tags": ["red", "cat", "cat"]},
        INPUT | {"mimeType": "IMAGE/JPEG"},
        INPUT | {"title": None, "visibility": "PRIVATE"},
    ],
)
async def test_the_same_claims_in_another_form_are_the_same_request(client: Client, same: Json) -> None:
    assert await request(client, INPUT) == await request(client, same)


@pytest.mark.parametrize(
    "change",
    [
        {"filename": "dog.jpg"},
        {"size": 11},
        {"tags": ["cat"]},
        {"tags": None},
        {"metadata": {"a": {"x": 1, "y": 2}, "b": 2.0}},
        {"visibility": "PUBLIC"},
        {"sha256": "0" * 64},
    ],
)
async def test_another_request_under_the_same_name_is_a_conflict(client: Client, change: Json) -> None:
    [first] = await request(client, INPUT)
    before = await client.service.row_counts()
    [answer] = await request(client, INPUT | change)
    assert answer == {
        "clientMutationId": "first",
        "media": None,
        "upload": None,
        "userErrors": [
            {
                "__typename": "ConflictError",
                "code": "CONFLICT",
                "message": "clientMutationId was given to another request within the last 24 hours: "
                "give each its own.",
                "path": ["clientMutationId"],
                "currentVersion": 1,
            }
        ],
    }
    assert await client.service.row_counts() == before
    assert await request(client, INPUT) == [first]


async def test_a_request_that_comes_many_times_at_once_makes_one_media(client: Client) -> None:
    before = await client.service.row_counts()
    answers = await asyncio.gather(*(request(client, INPUT) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0]["userErrors"] == []
    after = await client.service.row_counts()
    assert (after["media"], after["uploads"]) == (before["media"] + 1, before["uploads"] + 1)
    assert await lines(client) == ["CREATED 1"]


async def test_several_names_in_any_order_at_once_wait_for_each_other_in_no_circle(client: Client) -> None:
    inputs = [INPUT | {"clientMutationId": f"name {number}"} for number in range(10)]
    answers = await asyncio.gather(*(request(client, *order) for order in [inputs, inputs[::-1]] * 5))
    made = {answer["clientMutationId"]: answer for answer in answers[0]}
    for each in answers:
        assert {answer["clientMutationId"]: answer for answer in each} == made
    assert len({answer["media"]["id"] for answer in made.values()}) == 10


async def test_a_name_counts_within_one_call_as_well(client: Client) -> None:
    other = INPUT | {"filename": "dog.jpg"}
    first, again, conflict, unnamed = await request(
        client, INPUT, INPUT, other, other | {"clientMutationId": None}
    )
    assert first == again
    assert [error["code"] for error in conflict["userErrors"]] == ["CONFLICT"]
    assert unnamed["media"]["id"] != first["media"]["id"]


async def test_a_refused_request_does_not_take_its_name(client: Client) -> None:
    [refused] = await request(client, INPUT | {"size": 0})
    assert [error["path"] for error in refused["userErrors"]] == [["size"]]
    [made] = await request(client, INPUT)
    assert made["userErrors"] == []


async def test_names_are_each_owners_own(client: Client, stranger: Client) -> None:
    [[mine], [theirs]] = [await request(each, INPUT) for each in (client, stranger)]
    assert mine["media"]["id"] != theirs["media"]["id"]
    assert theirs["userErrors"] == []


async def test_a_name_is_free_again_after_a_day(client: Client) -> None:
    [first] = await request(client, INPUT)
    await age(client, "23 hours 59 minutes")
    assert await request(client, INPUT) == [first]
    await age(client, "1 minute")
    [second] = await request(client, INPUT | {"filename": "dog.jpg"})
    assert second["userErrors"] == []
    assert second["media"]["id"] != first["media"]["id"]
    assert await request(client, INPUT | {"filename": "dog.jpg"}) == [second]


async def test_old_names_are_forgotten(client: Client) -> None:
    await request(client, INPUT, INPUT | {"clientMutationId": "second"})
    forget = client.service.runtime.services.housekeeping.forget_keys
    await forget()
    await age(client, "24 hours")
    [kept] = await request(client, INPUT | {"clientMutationId": "third"})
    assert await forget() == 2
    assert await forget() == 0
    assert await request(client, INPUT | {"clientMutationId": "third"}) == [kept]


async def test_a_repeated_request_is_answered_with_how_its_media_stands_now(client: Client) -> None:
    [first] = await request(client, INPUT)
    await client.abort(first["upload"]["id"])
    [again] = await request(client, INPUT)
    assert again["media"] == {"id": first["media"]["id"], "version": 2, "status": "FAILED"}
    assert again["upload"] == first["upload"]


async def test_a_request_whose_media_was_deleted_makes_no_other_one(client: Client) -> None:
    [first] = await request(client, INPUT)
    await client.graphql(DELETE, id=first["media"]["id"])
    [[again], [other]] = [await request(client, INPUT), await request(client, INPUT | {"size": 11})]
    [error] = again["userErrors"]
    assert (error["__typename"], error["message"], error["path"]) == (
        "NotFoundError",
        "The media that was requested under this clientMutationId was deleted.",
        ["clientMutationId"],
    )
    [error] = other["userErrors"]
    assert (error["__typename"], error["code"], error["path"]) == (
        "GenericError",
        "CONFLICT",
        ["clientMutationId"],
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "1 to 255 characters, not 0."),
        ("x" * 256, "1 to 255 characters, not 256."),
        ("a\0b", "must not contain control characters."),
    ],
)
async def test_a_name_out_of_bounds_is_refused(client: Client, name: str, words: str) -> None:
    [answer] = await request(client, INPUT | {"clientMutationId": name})
    [error] = answer["userErrors"]
    assert (error["code"], error["path"]) == ("INVALID_INPUT", ["clientMutationId"])
    assert words in error["message"]
    [answer] = await request(client, INPUT | {"clientMutationId": "x" * 255})
    assert answer["userErrors"] == []


async def test_a_request_that_is_lost_before_its_commit_leaves_its_name_free(own: OwnService) -> None:
    """A trigger that can't go on stands for whatever ends a transaction between the name and the commit."""
    service, client = own.service, own.client
    await service.execute("""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'lost'; END $$
    """)
    await service.execute("CREATE TRIGGER lost BEFORE INSERT ON uploads EXECUTE FUNCTION fail()")
    [error] = await client.errors(REQUESTS, inputs=[INPUT])
    assert error["extensions"]["code"] == "INTERNAL"
    await service.execute("DROP TRIGGER lost ON uploads")
    counts: dict[str, Any] = await service.row_counts()
    assert {counts[table] for table in ("media", "uploads", "blobs", "tags", "media_events")} == {0}
    [made] = await request(client, INPUT | {"filename": "dog.jpg"})
    assert made["userErrors"] == []
