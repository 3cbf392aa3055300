"""Challenges: who proves to hold a file that somebody else has sent need not send it."""

import asyncio
import hashlib
import hmac
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from sqlmodel import select

from db.models import MediaStatus, PossessionChallenge
from schema.ids import id_of
from services.dedup import Dedup
from services.possession import MAX_CHALLENGES, MIN_CHALLENGED_BYTES, RANGE_BYTES, RANGES, READS_AT_ONCE
from storage.objects import ObjectStore
from tests.api.client import Client, Json
from tests.api.house import House, Opening, claims, media, original, send_ready
from tests.api.test_changes import DELETE
from tests.large_pictures import write_tiff
from tests.working import collect, run_steps

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUEST = """
    mutation ($inputs: [RequestUploadInput!]!) { requestUploads(inputs: $inputs) {
      media { id status } userErrors { code message }
      upload { id target { __typename
        ... on PossessionChallenge { nonce ranges { offset length } }
        ... on SingleUploadTarget { method url headers { name value } } } } } }
"""
TARGET = """
    query ($id: ID!) { node(id: $id) { ... on Upload { target { __typename
      ... on SingleUploadTarget { method url headers { name value } } } } } }
"""
ANSWER = """
    mutation ($id: ID!, $digest: String!) { answerPossessionChallenge(uploadId: $id, digest: $digest) {
      media { id status version } userErrors { code message path } } }
"""

SINGLE, CHALLENGE = "SingleUploadTarget", "PossessionChallenge"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("large") / "large.tiff"
    write_tiff(path, MIN_CHALLENGED_BYTES, stretch=RANGE_BYTES // 2)
    return path.read_bytes()


def tiff_claims(data: bytes) -> Json:
    return claims(data, filename="large.tiff", mimeType="image/tiff")


async def request(client: Client, data: bytes, *, times: int = 1) -> list[Json]:
    inputs = [tiff_claims(data)] * times
    answers: list[Json] = (await client.graphql(REQUEST, inputs=inputs))["requestUploads"]
    assert all(answer["userErrors"] == [] for answer in answers)
    return [{**answer["upload"], "media": answer["media"]["id"]} for answer in answers]


async def target(client: Client, upload: Json) -> Json:
    found: Json = (await client.graphql(TARGET, id=upload["id"]))["node"]["target"]
    return found


async def answer(client: Client, upload: Json, digest: str) -> Json:
    given: Json = (await client.graphql(ANSWER, id=upload["id"], digest=digest))["answerPossessionChallenge"]
    return given


def prove(upload: Json, data: bytes) -> str:
    """As the contract says it, written anew here."""
    challenge = upload["target"]
    text = b"".join(data[each["offset"] : each["offset"] + each["length"]] for each in challenge["ranges"])
    return hmac.new(challenge["nonce"].encode(), text, hashlib.sha256).hexdigest()


async def fast(house: Opening, large: bytes) -> House:
    """A house in which Anna has the file."""
    home = await house(dedup=Dedup.GLOBAL_FAST)
    await send_ready(home, large, filename="large.tiff", mimeType="image/tiff")
    return home


def code(given: Json) -> str:
    [error] = given["userErrors"]
    found: str = error["code"]
    return found


async def test_who_holds_the_bytes_need_not_send_them(anywhere_house: Opening, large: bytes) -> None:
    home = await fast(anywhere_house, large)
    [upload] = await request(home.bert, large)
    challenge = upload["target"]
    assert challenge["__typename"] == CHALLENGE
    assert len(challenge["ranges"]) == RANGES
    assert {each["length"] for each in challenge["ranges"]} == {RANGE_BYTES}
    assert all(0 <= each["offset"] <= len(large) - RANGE_BYTES for each in challenge["ranges"])
    given = await answer(home.bert, upload, prove(upload, large).upper())
    assert given["userErrors"] == []
    assert (given["media"]["status"], given["media"]["version"]) == ("READY", 2)
    assert await original(home.bert, upload["media"]) == large
    assert (await media(home.bert, upload["media"]))["renditions"]
    assert (await target(home.bert, upload))["__typename"] == "StoredUploadTarget"
    # The answer was lost: asked again, the same.
    assert (await answer(home.bert, upload, prove(upload, large)))["media"] == given["media"]
    # It is theirs now, whoever else deletes it.
    anna = (await home.anna.graphql("{ mediaItems { nodes { id } } }"))["mediaItems"]["nodes"][0]["id"]
    await home.anna.graphql(DELETE, id=anna)
    await collect(home.runtime)
    assert await original(home.bert, upload["media"]) == large
    assert len(await home.blobs()) == 1


async def test_each_challenge_is_another(house: Opening, large: bytes) -> None:
    home = await fast(house, large)
    uploads = await request(home.bert, large, times=5)
    assert len({upload["target"]["nonce"] for upload in uploads}) == 5
    assert len({upload["target"]["ranges"][0]["offset"] for upload in uploads}) > 1


async def test_a_wrong_answer_is_the_only_one(house: Opening, large: bytes) -> None:
    home = await fast(house, large)
    [upload] = await request(home.bert, large)
    assert code(await answer(home.bert, upload, "no digest")) == "INVALID_INPUT"
    assert code(await answer(home.bert, upload, "0" * 64)) == "CHALLENGE_FAILED"
    assert code(await answer(home.bert, upload, prove(upload, large))) == "CHALLENGE_FAILED"
    sent_to = await target(home.bert, upload)
    assert sent_to["__typename"] == SINGLE
    assert (await home.bert.put(sent_to, large)).status_code == 200
    assert (await home.bert.finalize(upload["id"]))["userErrors"] == []
    await run_steps(home.runtime)
    assert (await media(home.bert, upload["media"]))["status"] == "READY"


async def test_of_answers_at_once_one_counts(house: Opening, large: bytes) -> None:
    home = await fast(house, large)
    [upload] = await request(home.bert, large)
    wrong = [f"{number:064x}" for number in range(15)]
    given = await asyncio.gather(*[answer(home.bert, upload, digest) for digest in wrong])
    assert {code(each) for each in given} == {"CHALLENGE_FAILED"}
    assert len([each for each in given if "digest is not" in each["userErrors"][0]["message"]]) == 1


@pytest.mark.parametrize("what", ["owner", "global", "small", "unknown", "no hash", "size"])
async def test_nothing_is_asked_where_it_must_not_be(house: Opening, large: bytes, what: str) -> None:
    home = await house(dedup=Dedup(what) if what in ("owner", "global") else Dedup.GLOBAL_FAST)
    data = large[:-1] if what == "small" else large
    if what != "unknown":
        await send_ready(home, large, filename="large.tiff", mimeType="image/tiff")
    possible: dict[str, Json] = {"no hash": {"sha256": None}, "size": {"size": len(large) + 1}}
    asked = {**tiff_claims(data), **possible.get(what, {})}
    if what == "small":
        asked["sha256"] = tiff_claims(large)["sha256"]
    [answered] = (await home.bert.graphql(REQUEST, inputs=[asked]))["requestUploads"]
    assert answered["upload"]["target"]["__typename"] == SINGLE


async def test_who_has_the_file_is_asked_nothing(house: Opening, large: bytes) -> None:
    home = await fast(house, large)
    [upload] = await request(home.anna, large)
    assert upload["target"]["__typename"] == "StoredUploadTarget"


async def test_twenty_challenges_an_hour_are_enough(house: Opening, large: bytes) -> None:
    """At once or one after the other: the owner's row is locked while they are counted."""
    home = await fast(house, large)
    batches = await asyncio.gather(*[request(home.bert, large, times=6) for _ in range(5)])
    kinds = [upload["target"]["__typename"] for batch in batches for upload in batch]
    assert sorted(kinds) == [CHALLENGE] * MAX_CHALLENGES + [SINGLE] * 10
    await home.service.execute(
        "UPDATE possession_challenges SET created_at = created_at - interval '61 minutes'"
    )
    [upload] = await request(home.bert, large)
    assert upload["target"]["__typename"] == CHALLENGE


@pytest.mark.parametrize("end", ["aborted", "expired", "somebody else's"])
async def test_an_upload_that_has_ended_is_not_answered(house: Opening, large: bytes, end: str) -> None:
    home = await fast(house, large)
    [upload] = await request(home.bert, large)
    client, expected = home.bert, {"aborted": "CONFLICT", "expired": "UPLOAD_EXPIRED"}.get(end, "NOT_FOUND")
    if end == "aborted":
        await home.bert.abort(upload["id"])
    elif end == "expired":
        await home.service.execute("UPDATE uploads SET expires_at = now() - interval '1 second'")
    else:
        client = home.anna
    assert code(await answer(client, upload, prove(upload, large))) == expected


async def test_what_is_gone_meanwhile_is_sent(house: Opening, large: bytes) -> None:
    home = await fast(house, large)
    [upload] = await request(home.bert, large)
    anna = (await home.anna.graphql("{ mediaItems { nodes { id } } }"))["mediaItems"]["nodes"][0]["id"]
    await home.anna.graphql(DELETE, id=anna)
    await collect(home.runtime)
    assert code(await answer(home.bert, upload, prove(upload, large))) == "CHALLENGE_FAILED"
    assert (await target(home.bert, upload))["__typename"] == SINGLE


async def test_a_request_that_comes_again_is_asked_the_same(house: Opening, large: bytes) -> None:
    home = await fast(house, large)
    asked = {**tiff_claims(large), "clientMutationId": "once"}
    first, second = [
        (await home.bert.graphql(REQUEST, inputs=[asked]))["requestUploads"][0] for _ in range(2)
    ]
    assert first["upload"] == second["upload"]
    assert first["upload"]["target"]["__typename"] == CHALLENGE


async def test_old_challenges_are_forgotten(house: Opening, large: bytes, tmp_path: Path) -> None:
    home = await fast(house, large)
    await request(home.bert, large, times=2)
    await home.service.execute(
        """UPDATE possession_challenges SET created_at = now() - interval '25 hours'
           WHERE upload_id = (SELECT min(upload_id::text)::uuid FROM possession_challenges)"""
    )
    assert await home.runtime.services.possession.forget() == 1
    async with home.runtime.sessions() as session:
        assert len((await session.exec(select(PossessionChallenge))).all()) == 1


async def test_the_targets_of_many_uploads_cost_one_statement(house: Opening, large: bytes) -> None:
    home = await fast(house, large)
    await request(home.bert, large, times=15)
    asked = "{ mediaItems(first: 100) { nodes { upload { target { __typename } } } } }"
    with home.service.statements() as statements:
        nodes = (await home.bert.graphql(asked))["mediaItems"]["nodes"]
    assert [node["upload"]["target"]["__typename"] for node in nodes] == [CHALLENGE] * 15
    assert len([each for each in statements if "possession_challenges" in each]) == 1


class SlowStore:
    """Reads as the store below, the first ranges last, and knows how many were read at once."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._seconds = 0.2
        self.at_once = self.most_at_once = 0

    async def read(self, key: str, *, offset: int, length: int) -> bytes:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self._seconds *= 0.8
        await asyncio.sleep(self._seconds)
        self.at_once -= 1
        return await self._store.read(key, offset=offset, length=length)


async def test_ranges_are_read_eight_at_once_and_digested_in_order(house: Opening, large: bytes) -> None:
    home = await fast(house, large)
    [upload] = await request(home.bert, large)
    slow = SlowStore(home.runtime.store)
    possession = replace(home.runtime.services.possession, store=cast(ObjectStore, slow))
    upload_id = id_of(upload["id"], "Upload")
    assert upload_id is not None
    shown = await possession.answer(home.bert.user, upload_id, prove(upload, large))
    assert shown.status is MediaStatus.READY
    assert slow.most_at_once == READS_AT_ONCE
