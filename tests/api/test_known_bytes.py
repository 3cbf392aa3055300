"""Files that are stored already: shown at once to who has them, and to nobody else before they were sent."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import column, func, table, text, update
from sqlmodel import col, select

from db.models import Blob, DeletionOutbox, Media, ProcessingStep, Rendition
from pipeline.recipe import RECIPE
from schema.ids import id_of
from services.dedup import Dedup
from services.reconciliation import Difference, Reconciliation, Report
from storage.errors import StorageUnavailableError
from tests import pictures
from tests.api.client import PICTURE
from tests.api.house import (
    LINES,
    USED,
    House,
    Opening,
    claims,
    kind_of_target,
    media,
    original,
    request,
    send,
    send_new,
    send_ready,
)
from tests.api.test_changes import DELETE, lines
from tests.working import collect, run_steps, settle_publications

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHA256 = hashlib.sha256(PICTURE).hexdigest()
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


async def test_bytes_that_their_owner_has_are_ready_at_once(house: Opening) -> None:
    home = await house()
    first = await send_new(home.anna)
    await run_steps(home.runtime)
    [answer] = await request(home.anna, claims(filename="again.jpg", tags=["cat"]))
    again = answer["media"]
    assert answer["upload"]["status"] == "COMPLETED"
    assert answer["upload"]["target"] == {"__typename": "StoredUploadTarget", "mediaId": again["id"]}
    known = await media(home.anna, first)
    assert again["id"] != first
    assert (again["status"], again["version"], again["sha256Verified"]) == ("READY", 2, True)
    for field in ("kind", "detectedMimeType", "details", "sha256", "size"):
        assert again[field] == known[field], field
    assert again["details"]["thumbhash"]
    assert again["renditions"]
    assert [each["name"] for each in again["renditions"]] == [each["name"] for each in known["renditions"]]
    assert await original(home.anna, again["id"]) == PICTURE
    assert (await home.anna.graphql(USED))["viewer"]["usedBytes"] == 2 * len(PICTURE)
    async with home.runtime.engine.connect() as connection:
        told = await connection.execute(
            text(LINES),
            {"id": id_of(again["id"], "Media")},
        )
        assert [tuple(line) for line in told] == [
            ("CREATED", None, "UPLOADING", ["cat"]),
            ("STATUS_CHANGED", "UPLOADING", "READY", ["cat"]),
        ]
    finalized = await home.anna.finalize(answer["upload"]["id"])
    assert (finalized["media"]["status"], finalized["userErrors"]) == ("READY", [])


async def test_a_media_lives_on_when_another_with_the_same_bytes_is_deleted(anywhere_house: Opening) -> None:
    home = await anywhere_house()
    first = await send_new(home.anna)
    await run_steps(home.runtime)
    [answer] = await request(home.anna, claims())
    second = answer["media"]["id"]
    await home.anna.graphql(DELETE, id=first)
    await collect(home.runtime)
    assert await original(home.anna, second) == PICTURE
    for rendition in (await media(home.anna, second))["renditions"]:
        assert (await home.anna.http.get(rendition["url"]["url"])).status_code == 200
    await home.anna.graphql(DELETE, id=second)
    await collect(home.runtime)
    assert await home.objects() == []
    assert await home.blobs() == []
    assert (await home.anna.graphql(USED))["viewer"]["usedBytes"] == 0


async def test_bytes_that_wait_for_the_collector_are_found_again(house: Opening) -> None:
    home = await house()
    await home.anna.graphql(DELETE, id=await send_ready(home))
    [answer] = await request(home.anna, claims())
    assert answer["media"]["status"] == "READY"
    await collect(home.runtime)
    assert await original(home.anna, answer["media"]["id"]) == PICTURE


async def test_bytes_that_were_collected_are_asked_for_again(anywhere_house: Opening) -> None:
    home = await anywhere_house()
    await home.anna.graphql(DELETE, id=await send_ready(home))
    await collect(home.runtime)
    [answer] = await request(home.anna, claims())
    assert kind_of_target(answer) == "SingleUploadTarget"


@pytest.mark.parametrize("seen_by", ["request", "reconciler"])
async def test_lost_bytes_are_asked_for_again(house: Opening, seen_by: str) -> None:
    """Also those that another media shares, which goes on missing them."""
    home = await house()
    await send_ready(home)
    [shared] = await request(home.anna, claims())
    [lost] = await home.blobs()
    await home.runtime.store.delete([lost.key])
    if seen_by == "reconciler":
        report = await reconcile(home)
        assert report.found[Difference.MISSING_ORIGINAL].count == 1
        [blob] = await home.blobs()
        assert (blob.sha256, blob.verified_at, blob.facts) == (None, None, None)
    await home.anna.graphql(DELETE, id=shared["media"]["id"])
    [answer] = await request(home.anna, claims())
    assert kind_of_target(answer) == "SingleUploadTarget"
    await send(home.anna, answer)
    await run_steps(home.runtime)
    again = answer["media"]["id"]
    assert (await media(home.anna, again))["status"] == "READY"
    assert await original(home.anna, again) == PICTURE
    [third] = await request(home.anna, claims())
    assert third["media"]["status"] == "READY"
    assert await home.blob_of(third["media"]["id"]) == await home.blob_of(again) != lost.id


@pytest.mark.parametrize("dedup", [Dedup.OWNER, Dedup.GLOBAL])
async def test_nothing_is_linked_to_lost_bytes(house: Opening, dedup: Dedup) -> None:
    home = await house(dedup=dedup)
    await send_ready(home)
    sender = home.bert if dedup.is_global else home.anna
    second = await send_new(sender, sha256=None)
    [lost, copy] = await home.blobs()
    await home.runtime.store.delete([lost.key])
    await run_steps(home.runtime)
    assert await home.blob_of(second) == copy.id
    assert await original(sender, second) == PICTURE
    await collect(home.runtime)
    assert await original(sender, second) == PICTURE


async def test_lost_renditions_are_made_again_of_the_same_bytes(house: Opening) -> None:
    home = await house()
    first = await send_ready(home)
    made = (await media(home.anna, first))["renditions"]
    async with home.runtime.sessions() as session:
        keys = (await session.exec(select(Rendition.key))).all()
    await home.runtime.store.delete(keys[:1])
    report = await reconcile(home)
    assert report.found[Difference.MISSING_RENDITION].count == 1
    shown = (await media(home.anna, first))["renditions"]
    assert [each["name"] for each in shown] == [each["name"] for each in made]
    [answer] = await request(home.anna, claims())
    assert answer["media"]["status"] == "PROCESSING"
    await run_steps(home.runtime)
    assert set(keys) <= set(await home.objects())
    assert (await reconcile(home)).left == 0
    for media_id in (first, answer["media"]["id"]):
        for rendition in (await media(home.anna, media_id))["renditions"]:
            assert (await home.anna.http.get(rendition["url"]["url"])).status_code == 200
    [third] = await request(home.anna, claims())
    assert third["media"]["status"] == "READY"


@pytest.mark.parametrize("store", ["fails", "hangs"])
async def test_bytes_that_can_not_be_looked_for_are_asked_for_and_stay_known(
    house: Opening, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    home = await house()
    await send_ready(home)

    async def head(*_: object) -> None:
        if store == "fails":
            raise StorageUnavailableError("The store does not answer.")
        await asyncio.sleep(60)

    monkeypatch.setattr("services.lost_bytes.LOOK_SECONDS", 0.2)
    with monkeypatch.context() as broken:
        broken.setattr(type(home.runtime.store), "head", head)
        [answer] = await request(home.anna, claims())
    assert kind_of_target(answer) == "SingleUploadTarget"
    [again] = await request(home.anna, claims())
    assert again["media"]["status"] == "READY"


async def test_bytes_that_are_not_worked_on_yet_are_worked_on_for_both(house: Opening) -> None:
    home = await house()
    first = await send_new(home.anna)
    async with home.runtime.sessions() as session:
        [step] = (
            await session.exec(select(ProcessingStep).where(col(ProcessingStep.name) == "inspect"))
        ).all()
    await home.runtime.services.processing.run_step(step.id, expected_attempt=0, job_id=step.job_id or 0)
    answers = await request(home.anna, claims(), claims(visibility="PUBLIC"))
    assert [answer["media"]["status"] for answer in answers] == ["PROCESSING"] * 2
    assert [answer["media"]["renditions"] for answer in answers] == [[], []]
    await run_steps(home.runtime)
    shown = [await media(home.anna, id) for id in (first, *[answer["media"]["id"] for answer in answers])]
    assert [each["status"] for each in shown] == ["READY"] * 3
    assert len({each["details"]["thumbhash"] for each in shown}) == 1
    async with home.runtime.sessions() as session:
        renditions = (await session.exec(select(Rendition))).all()
    assert sorted(each["name"] for each in shown[2]["renditions"]) == sorted(row.name for row in renditions)
    assert len(await home.blobs()) == 1


async def test_two_media_render_the_same_bytes_at_once(house: Opening) -> None:
    """Both got as far as their renditions; each makes the same files under the same keys."""
    home = await house()
    await send_new(home.anna)
    async with home.runtime.sessions() as session:
        [step] = (
            await session.exec(select(ProcessingStep).where(col(ProcessingStep.name) == "inspect"))
        ).all()
    processing = home.runtime.services.processing
    await processing.run_step(step.id, expected_attempt=0, job_id=step.job_id or 0)
    await request(home.anna, claims())
    for name in ("inspect", "renditions"):
        due = select(ProcessingStep).where(
            col(ProcessingStep.name) == name, col(ProcessingStep.status) == "QUEUED"
        )
        async with home.runtime.sessions() as session:
            steps = (await session.exec(due)).all()
        async with asyncio.TaskGroup() as tasks:
            for step in steps:
                tasks.create_task(processing.run_step(step.id, expected_attempt=0, job_id=step.job_id or 0))
    assert len(steps) == 2
    async with home.runtime.sessions() as session:
        assert {row.status for row in (await session.exec(select(Media))).all()} == {"READY"}


@pytest.mark.parametrize("what", ["unprocessed", "another size", "broken", "never sent", "claimed"])
async def test_only_what_the_service_itself_has_hashed_is_known(house: Opening, what: str) -> None:
    home = await house()
    data = pictures.cut(PICTURE) if what == "broken" else PICTURE
    asked = claims(data)
    if what == "claimed":  # a hash that the file has not
        lie = hashlib.sha256(b"other").hexdigest()
        [answer] = await request(home.anna, claims(pictures.png(), sha256=None))
        await send(home.anna, answer, pictures.png())
        asked = claims(pictures.png(), sha256=lie)
    elif what != "never sent":
        await send_new(home.anna, data)
    if what in ("broken", "another size", "claimed"):
        await run_steps(home.runtime)
    if what == "another size":
        asked["size"] += 1
    [answer] = await request(home.anna, asked)
    assert kind_of_target(answer) == "SingleUploadTarget"
    assert answer["media"]["status"] == "UPLOADING"


async def test_bytes_of_another_hash_are_refused_whenever_they_are_finalized(house: Opening) -> None:
    home = await house()
    [answer] = await request(home.anna, claims())
    await send(home.anna, answer)
    async with home.runtime.sessions.begin() as session:  # as where a store checks no hash
        await session.exec(update(Media).values(sha256="0" * 64, version=3))
    await run_steps(home.runtime)
    payload = await home.anna.finalize(answer["upload"]["id"])
    assert payload == {
        "media": None,
        "userErrors": [
            {
                "__typename": "ChecksumMismatchError",
                "code": "CHECKSUM_MISMATCH",
                "message": f"The stored file has the SHA-256 {SHA256}, and {'0' * 64} was announced.",
                "path": ["uploadId"],
                "expected": "0" * 64,
                "actual": SHA256,
            }
        ],
    }
    assert await home.anna.finalize(answer["upload"]["id"]) == payload


async def test_one_call_and_calls_at_once_may_name_the_same_bytes(house: Opening) -> None:
    home = await house()
    await send_ready(home)
    batches = await asyncio.gather(*[request(home.anna, claims(), claims()) for _ in range(8)])
    answers = [answer for batch in batches for answer in batch]
    assert {answer["media"]["status"] for answer in answers} == {"READY"}
    assert len({answer["media"]["id"] for answer in answers}) == 16
    assert len(await home.blobs()) == 1


async def test_known_bytes_are_public_as_soon_as_they_are_copied(house: Opening) -> None:
    home = await house()
    await send_ready(home)
    [answer] = await request(home.anna, claims(visibility="PUBLIC"))
    async with home.runtime.engine.connect() as connection:
        queued = "SELECT count(*) FROM pgqueuer WHERE entrypoint = 'publication'"
        assert (await connection.execute(text(queued))).scalar_one() == 1
    await settle_publications(home.runtime)
    for rendition in (await media(home.anna, answer["media"]["id"]))["renditions"]:
        assert rendition["url"]["expiresAt"] is None
        assert (await home.anna.http.get(rendition["url"]["url"])).status_code == 200


async def test_another_declared_type_is_a_claim_like_any(house: Opening) -> None:
    home = await house()
    await send_ready(home)
    [answer] = await request(home.anna, claims(mimeType="image/png"))
    shown = answer["media"]
    assert (shown["mimeType"], shown["detectedMimeType"]) == ("image/png", "image/jpeg")
    assert shown["status"] == "READY"


async def test_bytes_that_came_without_a_hash_are_kept_once(house: Opening) -> None:
    home = await house()
    first = await send_ready(home)
    second = await send_new(home.anna, sha256=None)
    copy = await home.blob_of(second)
    held = (await media(home.anna, second))["download"]["url"]
    await run_steps(home.runtime)
    assert await home.blob_of(second) == await home.blob_of(first) != copy
    assert await home.steps_of(second) == {"inspect": "SUCCEEDED", "renditions": "SKIPPED"}
    shown = await media(home.anna, second)
    assert (shown["status"], shown["sha256"], shown["sha256Verified"]) == ("READY", SHA256, True)
    assert shown["renditions"]
    async with home.runtime.sessions() as session:
        [waiting] = (await session.exec(select(DeletionOutbox))).all()
    assert waiting.blob_id == copy
    assert (await home.anna.http.get(held)).content == PICTURE
    await collect(home.runtime)
    assert (await home.anna.http.get(held)).status_code == 404
    assert await original(home.anna, second) == PICTURE


async def test_the_same_bytes_at_once_end_up_in_one_place(house: Opening) -> None:
    home = await house()
    ids = [await send_new(home.anna) for _ in range(4)]
    assert await home.run_at_once("inspect") == 4
    await run_steps(home.runtime)
    assert len({await home.blob_of(id) for id in ids}) == 1
    await collect(home.runtime)
    assert len(await home.blobs()) == 1
    assert [await original(home.anna, id) for id in ids] == [PICTURE] * 4


@pytest.mark.parametrize("dedup", [Dedup.OWNER, Dedup.GLOBAL])
async def test_a_hash_alone_gets_nothing_of_somebody_else(house: Opening, dedup: Dedup) -> None:
    """And the answer looks the same whether or not somebody else has the file."""
    home = await house(dedup=dedup)
    await send_ready(home)
    unheard_of = hashlib.sha256(b"unheard of").hexdigest()
    known, unknown = await request(home.bert, claims(), claims(sha256=unheard_of))
    assert _shape(known) == _shape(unknown)
    assert kind_of_target(known) == "SingleUploadTarget"
    assert known["media"]["status"] == "UPLOADING"
    assert known["media"]["download"] is None
    assert (await home.bert.finalize(known["upload"]["id"]))["userErrors"][0]["code"] == "OBJECT_MISSING"


async def test_owners_keep_their_own_copies_unless_told_otherwise(house: Opening) -> None:
    home = await house()
    first = await send_ready(home)
    second = await send_new(home.bert)
    await run_steps(home.runtime)
    assert await home.blob_of(first) != await home.blob_of(second)
    assert {blob.is_shared for blob in await home.blobs()} == {False}
    assert await home.steps_of(second) == {"inspect": "SUCCEEDED", "renditions": "SUCCEEDED"}


async def test_globally_what_was_sent_and_verified_is_kept_once(anywhere_house: Opening) -> None:
    home = await anywhere_house(dedup=Dedup.GLOBAL)
    first = await send_ready(home)
    [answer] = await request(home.bert, claims())
    await send(home.bert, answer)
    second = answer["media"]["id"]
    held = (await media(home.bert, second))["download"]["url"]
    await run_steps(home.runtime)
    assert await home.blob_of(second) == await home.blob_of(first)
    assert await home.steps_of(second) == {"inspect": "SUCCEEDED", "renditions": "SKIPPED"}
    assert (await home.bert.http.get(held)).content == PICTURE
    shown = await media(home.bert, second)
    for owner in (home.anna, home.bert):
        assert str(owner.user.id) not in shown["download"]["url"]
        assert all(str(owner.user.id) not in each["url"]["url"] for each in shown["renditions"])
    await home.anna.graphql(DELETE, id=first)
    await collect(home.runtime)
    assert await original(home.bert, second) == PICTURE
    assert len(await home.blobs()) == 1
    assert all(key.startswith("shared/") for key in await home.objects())
    # Who has it has no need to send it again.
    [again] = await request(home.bert, claims())
    assert again["media"]["status"] == "READY"
    # Who had it learns nothing of those who still have it.
    [again] = await request(home.anna, claims())
    assert kind_of_target(again) == "SingleUploadTarget"


async def test_what_was_kept_for_one_owner_is_not_given_to_others_later(house: Opening) -> None:
    """As after the setting was changed: keys of then name their owner."""
    home = await house(dedup=Dedup.GLOBAL)
    first = await send_ready(home)
    async with home.runtime.sessions.begin() as session:
        await session.exec(update(Blob).values(is_shared=False))
    second = await send_new(home.bert)
    await run_steps(home.runtime)
    assert await home.blob_of(second) != await home.blob_of(first)


async def test_what_an_older_recipe_made_is_made_anew_and_shown_once(house: Opening) -> None:
    home = await house()
    first = await send_ready(home, visibility="PUBLIC")
    await settle_publications(home.runtime)
    old = (await media(home.anna, first))["renditions"]
    async with home.runtime.sessions.begin() as session:
        await session.exec(update(Blob).values(recipe="image-0"))
        for row in (await session.exec(select(Rendition))).all():
            row.recipe, row.name = "image-0", f"old-{row.name}"
    shown = (await media(home.anna, first))["renditions"]
    assert [each["name"] for each in shown] == [f"old-{each['name']}" for each in old]
    [answer] = await request(home.anna, claims())
    assert answer["media"]["status"] == "PROCESSING"
    await run_steps(home.runtime)
    [blob] = await home.blobs()
    assert blob.recipe == RECIPE
    await settle_publications(home.runtime)
    for media_id in (first, answer["media"]["id"]):
        shown = (await media(home.anna, media_id))["renditions"]
        assert [each["name"] for each in shown] == [each["name"] for each in old]
        for rendition in shown:
            assert (await home.anna.http.get(rendition["url"]["url"])).status_code == 200


async def test_bytes_that_were_given_up_are_known_no_more(house: Opening) -> None:
    """The row stays for the media that names it; its object is gone, and nobody is referred to it."""
    home = await house()
    first = await send_ready(home)
    [answer] = await request(home.anna, claims())
    async with home.runtime.sessions.begin() as session:
        await session.exec(text("UPDATE media SET held_bytes = 0, version = version + 1"))  # type: ignore[call-overload]
        assert id_of(first, "Media") is not None
        blob_id = await home.blob_of(first)
        session.add(DeletionOutbox(blob_id=blob_id, key=answer["upload"]["key"], not_before=LONG_AGO))
    await collect(home.runtime)
    assert await home.objects() == []
    [again] = await request(home.anna, claims())
    assert kind_of_target(again) == "SingleUploadTarget"


async def test_the_log_of_a_linked_media_has_no_gap(house: Opening) -> None:
    home = await house()
    await send_ready(home)
    second = await send_new(home.anna, sha256=None)
    await run_steps(home.runtime)
    assert (await media(home.anna, second))["version"] == 3
    assert (await lines(home.anna)).count("STATUS_CHANGED 3") == 1


async def reconcile(home: House) -> Report:
    runtime = home.runtime
    reconciliation = Reconciliation(sessions=runtime.sessions, store=runtime.store, grace=timedelta(hours=3))
    return await reconciliation.run(apply=True)


def _shape(value: object) -> object:
    """What an answer looks like: its fields, types and lengths of lists, without its ids and addresses."""
    if isinstance(value, dict):
        return {name: _shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_shape(each) for each in value]
    return len(value) if isinstance(value, str) else type(value)


async def test_many_known_files_cost_no_more_statements_than_one(house: Opening) -> None:
    home = await house()
    await send_ready(home)
    counts = []
    for number in (1, 100):
        asked = [claims(filename=f"{each}.jpg", tags=["cat"], visibility="PUBLIC") for each in range(number)]
        with home.service.statements() as statements:
            answers = await request(home.anna, *asked)
        assert {answer["media"]["status"] for answer in answers} == {"READY"}
        counts.append(len(statements))
    assert counts[1] <= counts[0] + 2, counts
    assert (await lines(home.anna))[-100:] == ["STATUS_CHANGED 2"] * 100
    queued = select(func.count()).select_from(table("pgqueuer")).where(column("entrypoint") == "publication")
    async with home.runtime.engine.connect() as connection:
        assert (await connection.execute(queued)).scalar_one() == 101
