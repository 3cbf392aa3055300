"""How much a user's files may hold: reserved when they are announced, released when nothing comes of them."""

import asyncio

import pytest

from tests.api.client import PICTURE, Client, Json
from tests.api.house import House, Opening, claims, send_new
from tests.api.test_changes import DELETE
from tests.working import run_steps

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE = len(PICTURE)

REQUEST = """
    mutation ($inputs: [RequestUploadInput!]!) { requestUploads(inputs: $inputs) {
      media { id } upload { id target { ... on SingleUploadTarget { method url headers { name value } } } }
      userErrors { __typename code message path ... on QuotaExceededError { limit used } } } }
"""
ACCOUNT = "{ viewer { usedBytes quotaBytes } }"


async def request(client: Client, *inputs: Json) -> list[Json]:
    answers: list[Json] = (await client.graphql(REQUEST, inputs=list(inputs)))["requestUploads"]
    return answers


async def used(client: Client) -> int:
    found: int = (await client.graphql(ACCOUNT))["viewer"]["usedBytes"]
    return found


def codes(answers: list[Json]) -> list[str]:
    return [error["code"] for answer in answers for error in answer["userErrors"]]


async def test_of_a_hundred_requests_at_once_the_one_that_fits_wins(house: Opening) -> None:
    home = await house(quota_bytes=2 * SIZE - 1)
    asked = [claims(sha256=None, tags=["cat"]) for _ in range(100)]
    answers = [each for [each] in await asyncio.gather(*[request(home.anna, each) for each in asked])]
    assert sum(answer["media"] is not None for answer in answers) == 1
    assert codes(answers) == ["QUOTA_EXCEEDED"] * 99
    account = (await home.anna.graphql(ACCOUNT))["viewer"]
    assert account == {"usedBytes": SIZE, "quotaBytes": 2 * SIZE - 1}
    assert len(await home.blobs()) == 1


async def test_within_one_call_the_first_that_fit_are_taken(house: Opening) -> None:
    home = await house(quota_bytes=2 * SIZE)
    answers = await request(home.anna, *[claims(sha256=None) for _ in range(3)])
    assert [answer["media"] is not None for answer in answers] == [True, True, False]
    [error] = answers[2]["userErrors"]
    assert error["__typename"] == "QuotaExceededError"
    assert (error["limit"], error["used"], error["path"]) == (2 * SIZE, 2 * SIZE, ["size"])


async def test_known_bytes_count_in_full(house: Opening) -> None:
    home = await house(quota_bytes=2 * SIZE)
    await send_new(home.anna)
    await run_steps(home.runtime)
    answers = [(await request(home.anna, claims()))[0] for _ in range(2)]
    assert codes(answers) == ["QUOTA_EXCEEDED"]
    assert await used(home.anna) == 2 * SIZE
    assert len(await home.blobs()) == 1


async def test_one_quota_is_not_anothers(house: Opening) -> None:
    home = await house(quota_bytes=SIZE)
    await send_new(home.anna)
    await send_new(home.bert)
    await home.service.execute(
        "UPDATE users SET quota_bytes = :more WHERE id = :id", more=2 * SIZE, id=home.bert.user.id
    )
    assert codes(await request(home.anna, claims())) == ["QUOTA_EXCEEDED"]
    assert codes(await request(home.bert, claims())) == []


@pytest.mark.parametrize("end", ["abort", "expire", "delete", "size mismatch", "checksum mismatch"])
async def test_what_comes_to_nothing_is_released(house: Opening, end: str) -> None:
    home = await house(quota_bytes=SIZE)
    [answer] = await request(home.anna, claims(sha256=None))
    assert codes(await request(home.anna, claims(sha256=None))) == ["QUOTA_EXCEEDED"]
    await _end(home, answer, end)
    assert await used(home.anna) == 0
    assert codes(await request(home.anna, claims(sha256=None))) == []


async def _end(home: House, answer: Json, end: str) -> None:
    upload, owner = answer["upload"], home.anna
    match end:
        case "abort":
            await owner.abort(upload["id"])
            await owner.abort(upload["id"])  # releases once
        case "expire":
            await home.service.execute("UPDATE uploads SET expires_at = now() - interval '1 second'")
            await home.runtime.services.upload_endings.expire()
        case "delete":
            await owner.graphql(DELETE, id=answer["media"]["id"])
        case _:
            assert (await owner.put(upload["target"], PICTURE)).status_code == 200
            # As if the store had let other bytes pass.
            column = "size = size + 1" if end == "size mismatch" else f"sha256 = '{'0' * 64}'"
            await home.service.execute(f"UPDATE media SET {column}, version = version + 1")
            await owner.finalize(upload["id"])
            await run_steps(home.runtime)


async def test_a_request_that_comes_twice_in_one_call_is_refused_twice_for_the_same(house: Opening) -> None:
    home = await house(quota_bytes=SIZE - 1)
    asked = claims(sha256=None, clientMutationId="twice")
    assert codes(await request(home.anna, asked, asked)) == ["QUOTA_EXCEEDED", "QUOTA_EXCEEDED"]


async def test_a_refused_request_that_comes_again_is_answered_anew(house: Opening) -> None:
    home = await house(quota_bytes=SIZE)
    [first] = await request(home.anna, claims(sha256=None))
    asked = claims(sha256=None, clientMutationId="again")
    assert codes(await request(home.anna, asked)) == ["QUOTA_EXCEEDED"]
    assert codes(await request(home.anna, asked)) == ["QUOTA_EXCEEDED"]
    await home.anna.graphql(DELETE, id=first["media"]["id"])
    [second] = await request(home.anna, asked)
    assert second["userErrors"] == []
    [third] = await request(home.anna, asked)
    assert third["media"] == second["media"]
    assert await used(home.anna) == SIZE
