"""Cancelling processing and trying it again: which media may, what becomes of their steps, who is told."""

import asyncio
from typing import Any

import pytest

from pipeline.recipe import RECIPE
from schema.ids import parse_id
from tests import pictures
from tests.api.client import MEDIA_STATUS, PICTURE, Client, Json, Requested
from tests.api.test_changes import DELETE, collect, let_the_grace_pass, lines, stored
from tests.api.test_tags import rows

pytestmark = pytest.mark.asyncio(loop_scope="session")

ANSWER = """
    media { id version status failure { code message step retryable } }
    userErrors { __typename code message path ... on ConflictError { currentVersion } }
"""
RETRY = f"""
    mutation ($id: ID!, $steps: [String!]) {{ retryProcessing(mediaId: $id, steps: $steps) {{ {ANSWER} }} }}
"""
CANCEL = f"mutation ($id: ID!) {{ cancelProcessing(mediaId: $id) {{ {ANSWER} }} }}"
MEDIA = "query ($id: ID!) { media(id: $id) { status version failure { code step retryable } } }"

STEPS = """
    SELECT name, status, attempt, uncounted_attempts, recipe FROM processing_steps
    WHERE media_id = :id ORDER BY name
"""


async def retry(client: Client, media_id: str, steps: list[str] | None = None) -> Json:
    payload: Json = (await client.graphql(RETRY, id=media_id, steps=steps))["retryProcessing"]
    return payload


async def cancel(client: Client, media_id: str) -> Json:
    payload: Json = (await client.graphql(CANCEL, id=media_id))["cancelProcessing"]
    return payload


async def media_of(client: Client, media_id: str) -> Json:
    media: Json = (await client.graphql(MEDIA, id=media_id))["media"]
    return media


async def steps_of(client: Client, media_id: str) -> list[tuple[Any, ...]]:
    """Of inspect and renditions: name, status, attempt, attempts that don't count."""
    return [step[:4] for step in await rows(client, STEPS, id=parse_id(media_id)[1])]


async def work(client: Client, media_id: str) -> int:
    """Run the queued steps, as a worker does, until there is none; how many there were."""
    statement = "SELECT id, attempt, job_id FROM processing_steps WHERE media_id = :id AND status = 'QUEUED'"
    done = 0
    while queued := await rows(client, statement, id=parse_id(media_id)[1]):
        for id, attempt, job_id in queued:
            run = client.service.runtime.services.processing.run_step
            await run(id, expected_attempt=attempt, job_id=job_id)
            done += 1
    return done


async def fail(client: Client, media_id: str, step: str, code: str) -> None:
    """As if this step had failed in three attempts."""
    await client.service.execute(
        """UPDATE processing_steps
           SET status = 'FAILED', attempt = 3, failure_code = :code, failure_message = 'x'
           WHERE media_id = :id AND name = :step""",
        id=parse_id(media_id)[1],
        step=step,
        code=code,
    )
    await client.service.execute(
        """UPDATE media SET status = 'FAILED', version = version + 1,
               failure_code = :code, failure_message = 'x', failure_step = :step
           WHERE id = :id""",
        id=parse_id(media_id)[1],
        step=step,
        code=code,
    )


async def test_cancelled_processing_fails_the_media_and_may_be_repeated(client: Client) -> None:
    requested = await client.upload()
    first = await cancel(client, requested.media_id)
    assert first["media"] == {
        "id": requested.media_id,
        "version": 3,
        "status": "FAILED",
        "failure": {
            "code": "CANCELLED",
            "message": "The processing was cancelled.",
            "step": "inspect",
            "retryable": True,
        },
    }
    assert await cancel(client, requested.media_id) == first
    assert await lines(client) == ["CREATED 1", "STATUS_CHANGED 2", "STATUS_CHANGED 3"]
    assert await steps_of(client, requested.media_id) == [
        ("inspect", "CANCELLED", 0, 0),
        ("renditions", "CANCELLED", 0, 0),
    ]


async def test_a_job_of_a_cancelled_step_does_nothing(client: Client) -> None:
    requested = await client.upload()
    [[id, attempt, job_id]] = await rows(
        client,
        "SELECT id, attempt, job_id FROM processing_steps WHERE media_id = :id AND job_id IS NOT NULL",
        id=parse_id(requested.media_id)[1],
    )
    await cancel(client, requested.media_id)
    run = client.service.runtime.services.processing.run_step
    await run(id, expected_attempt=attempt, job_id=job_id)
    assert (await steps_of(client, requested.media_id))[0] == ("inspect", "CANCELLED", 0, 0)

    await retry(client, requested.media_id)
    await asyncio.gather(*(run(id, expected_attempt=attempt, job_id=job) for job in (job_id, job_id + 1)))
    assert (await steps_of(client, requested.media_id))[0] == ("inspect", "SUCCEEDED", 1, 0)


async def test_what_was_cancelled_is_processed_again_to_its_end(client: Client) -> None:
    requested = await client.upload()
    await cancel(client, requested.media_id)
    payload = await retry(client, requested.media_id)
    assert payload["userErrors"] == []
    assert (payload["media"]["status"], payload["media"]["failure"]) == ("PROCESSING", None)
    assert await work(client, requested.media_id) == 2
    assert await media_of(client, requested.media_id) == {"status": "READY", "version": 6, "failure": None}
    failures = "SELECT failure_code, failure_message, failure_step FROM media WHERE id = :id"
    assert await rows(client, failures, id=parse_id(requested.media_id)[1]) == [(None, None, None)]
    assert await rows(
        client,
        "SELECT previous_status || ' ' || status FROM media_events WHERE media_id = :id ORDER BY version",
        id=parse_id(requested.media_id)[1],
    ) == [
        (None,),
        ("UPLOADING PROCESSING",),
        ("PROCESSING FAILED",),
        ("FAILED PROCESSING",),
        ("PROCESSING PROCESSING",),
        ("PROCESSING READY",),
    ]


async def test_a_retried_step_counts_its_attempts_anew_and_numbers_them_on(client: Client) -> None:
    requested = await client.upload()
    await fail(client, requested.media_id, "inspect", "WORKER_LOST")
    await retry(client, requested.media_id)
    assert await steps_of(client, requested.media_id) == [
        ("inspect", "QUEUED", 3, 3),
        ("renditions", "PENDING", 0, 0),
    ]
    await work(client, requested.media_id)
    assert (await steps_of(client, requested.media_id))[0] == ("inspect", "SUCCEEDED", 4, 3)
    assert (await media_of(client, requested.media_id))["status"] == "READY"


async def test_a_step_that_succeeded_is_not_done_again_unless_it_is_named(client: Client) -> None:
    for names, left in ((None, 1), (["renditions"], 1), (["inspect"], 2), (["inspect", "renditions"], 2)):
        requested = await client.upload(pictures.unlike_all_others(PICTURE))
        await run_first(client, requested)
        await fail(client, requested.media_id, "renditions", "INTERNAL")
        assert (await retry(client, requested.media_id, names))["userErrors"] == []
        assert await work(client, requested.media_id) == left
        assert (await media_of(client, requested.media_id))["status"] == "READY"


async def run_first(client: Client, requested: Requested) -> None:
    """Inspect succeeds, renditions is queued."""
    statement = "SELECT id, attempt, job_id FROM processing_steps WHERE media_id = :id AND status = 'QUEUED'"
    [[id, attempt, job_id]] = await rows(client, statement, id=parse_id(requested.media_id)[1])
    await client.service.runtime.services.processing.run_step(id, expected_attempt=attempt, job_id=job_id)


async def test_the_step_that_would_have_run_next_is_named_as_the_cancelled_one(client: Client) -> None:
    requested = await client.upload()
    await run_first(client, requested)
    payload = await cancel(client, requested.media_id)
    assert payload["media"]["failure"]["step"] == "renditions"
    assert await steps_of(client, requested.media_id) == [
        ("inspect", "SUCCEEDED", 1, 0),
        ("renditions", "CANCELLED", 0, 0),
    ]


async def test_steps_of_an_older_recipe_are_all_done_again_by_the_present_one(client: Client) -> None:
    requested = await client.upload()
    await run_first(client, requested)
    await fail(client, requested.media_id, "renditions", "INTERNAL")
    media_id = parse_id(requested.media_id)[1]
    await client.service.execute(
        "UPDATE processing_steps SET recipe = 'image-0', depends_on = '{}' WHERE media_id = :id", id=media_id
    )
    await client.service.execute(
        """INSERT INTO processing_steps (id, media_id, recipe, name, depends_on, status, attempt,
                                         uncounted_attempts, updated_at)
           VALUES (gen_random_uuid(), :id, 'image-0', 'bygone', '{}', 'FAILED', 1, 0, now())""",
        id=media_id,
    )
    assert (await retry(client, requested.media_id))["userErrors"] == []
    assert await rows(client, STEPS, id=media_id) == [
        ("inspect", "QUEUED", 1, 1, RECIPE),
        ("renditions", "PENDING", 3, 3, RECIPE),
    ]
    assert await work(client, requested.media_id) == 2
    assert (await media_of(client, requested.media_id))["status"] == "READY"


async def test_a_step_that_an_older_recipe_lacked_is_added(client: Client) -> None:
    requested = await client.upload()
    await fail(client, requested.media_id, "inspect", "INTERNAL")
    await client.service.execute(
        "DELETE FROM processing_steps WHERE media_id = :id AND name = 'renditions'",
        id=parse_id(requested.media_id)[1],
    )
    await client.service.execute(
        "UPDATE processing_steps SET recipe = 'image-0' WHERE media_id = :id",
        id=parse_id(requested.media_id)[1],
    )
    await retry(client, requested.media_id)
    assert await work(client, requested.media_id) == 2
    assert (await media_of(client, requested.media_id))["status"] == "READY"


async def test_many_that_retry_at_once_give_one_processing(client: Client) -> None:
    requested = await client.upload()
    await cancel(client, requested.media_id)
    payloads = await asyncio.gather(*(retry(client, requested.media_id) for _ in range(8)))
    assert all(payload == payloads[0] for payload in payloads)
    assert payloads[0]["media"]["version"] == 4
    assert len(await lines(client)) == 4


async def test_cancelling_and_retrying_in_turn_at_once_ends_whole(client: Client) -> None:
    requested = await client.upload()
    await asyncio.gather(
        *(each(client, requested.media_id) for each in (cancel, retry) * 6), work(client, requested.media_id)
    )
    if (await media_of(client, requested.media_id))["status"] == "FAILED":
        await retry(client, requested.media_id)
    await work(client, requested.media_id)
    assert (await media_of(client, requested.media_id))["status"] == "READY"


@pytest.mark.parametrize("names", [["transcode"], ["inspect", "x\0"], []])
async def test_a_step_that_the_media_has_not_is_refused_with_those_it_has(
    client: Client, names: list[str]
) -> None:
    requested = await client.upload()
    await cancel(client, requested.media_id)
    payload = await retry(client, requested.media_id, names)
    assert payload["media"] is None
    [error] = payload["userErrors"]
    assert (error["__typename"], error["path"]) == ("InvalidInputError", ["steps"])
    assert error["message"] == "steps must name steps of this media: inspect, renditions."
    assert len(await lines(client)) == 3


def assert_conflict(payload: Json, version: int, words: str) -> None:
    assert payload["media"] is None
    [error] = payload["userErrors"]
    assert (error["__typename"], error["path"], error["currentVersion"]) == (
        "ConflictError",
        ["mediaId"],
        version,
    )
    assert words in error["message"]


async def test_a_media_that_is_ready_is_neither_cancelled_nor_tried_again(client: Client) -> None:
    requested = await client.upload()
    await work(client, requested.media_id)
    assert_conflict(await retry(client, requested.media_id), 4, "READY: only what FAILED")
    assert_conflict(await cancel(client, requested.media_id), 4, "READY: only PROCESSING")


async def test_a_media_whose_bytes_are_awaited_is_neither_cancelled_nor_tried_again(client: Client) -> None:
    requested = await client.request()
    assert_conflict(await retry(client, requested.media_id), 1, "UPLOADING: only what FAILED")
    assert_conflict(await cancel(client, requested.media_id), 1, "UPLOADING: only PROCESSING")


async def test_an_aborted_upload_is_not_tried_again(client: Client) -> None:
    requested = await client.request()
    await client.abort(requested.upload_id)
    assert (await media_of(client, requested.media_id))["failure"] == {
        "code": "CANCELLED",
        "step": None,
        "retryable": False,
    }
    assert_conflict(await retry(client, requested.media_id), 2, "never came: request a new upload.")
    assert_conflict(await cancel(client, requested.media_id), 2, "FAILED: only PROCESSING")


@pytest.mark.parametrize("code", ["SIZE_MISMATCH", "CHECKSUM_MISMATCH"])
async def test_bytes_that_are_not_those_announced_are_not_tried_again(client: Client, code: str) -> None:
    requested = await client.upload()
    await fail(client, requested.media_id, "inspect", code)
    assert_conflict(await retry(client, requested.media_id), 3, "not those that were announced")
    assert_conflict(await cancel(client, requested.media_id), 3, "FAILED: only PROCESSING")


async def test_hashes_that_were_not_kept_are_not_told(client: Client) -> None:
    """As of media that failed before the revision 0005."""
    requested = await client.upload()
    await fail(client, requested.media_id, "inspect", "CHECKSUM_MISMATCH")
    told = {
        "__typename": "GenericError",
        "code": "CHECKSUM_MISMATCH",
        "message": "x",
        "path": ["uploadId"],
    }
    assert await client.finalize(requested.upload_id) == {"media": None, "userErrors": [told]}


async def test_bytes_that_failed_may_be_tried_again_and_fail_again(client: Client) -> None:
    data = b"not a picture, whatever it says"
    requested = await client.upload(data)
    await work(client, requested.media_id)
    failure = (await media_of(client, requested.media_id))["failure"]
    assert (failure["step"], failure["retryable"]) == ("inspect", False)
    assert (await retry(client, requested.media_id))["userErrors"] == []
    await work(client, requested.media_id)
    assert await media_of(client, requested.media_id) == {
        "status": "FAILED",
        "version": 5,
        "failure": failure,
    }


async def test_a_stream_that_resumes_before_a_retried_failure_goes_on_to_the_end(client: Client) -> None:
    requested = await client.upload()
    async with client.socket() as socket:
        id = await socket.subscribe(MEDIA_STATUS, id=requested.media_id)
        cursor = (await socket.event(id))["cursor"]
        await cancel(client, requested.media_id)
        assert (await socket.event(id))["status"] == "FAILED"
        await socket.complete(id)

        await retry(client, requested.media_id)
        await work(client, requested.media_id)
        id = await socket.subscribe(MEDIA_STATUS, id=requested.media_id, after=cursor)
        told = [(event["version"], event["status"]) for event in [await socket.event(id) for _ in range(3)]]
        assert told == [(3, "FAILED"), (4, "PROCESSING"), (6, "READY")]
        await socket.complete(id)


# --- deletion ---------------------------------------------------------------------------------------


async def leftovers(client: Client) -> list[tuple[Any, ...]]:
    """How many rows this user has of what belongs to media, but for the log."""
    statement = """
        SELECT (SELECT count(*) FROM media WHERE owner_id = :owner),
               (SELECT count(*) FROM blobs WHERE owner_id = :owner),
               (SELECT count(*) FROM renditions WHERE key LIKE :prefix),
               (SELECT count(*) FROM deletion_outbox WHERE key LIKE :prefix)
    """
    return await rows(client, statement, owner=client.user.id, prefix=f"{client.user.id}/%")


@pytest.mark.parametrize(
    "ways", ["delete", "cancel delete", "cancel retry delete", "work delete", "first delete"]
)
async def test_a_media_that_is_deleted_at_any_point_leaves_nothing_behind(client: Client, ways: str) -> None:
    requested = await client.upload(PICTURE, tags=["cat"])
    jobs = await rows(
        client,
        "SELECT id, attempt, job_id FROM processing_steps WHERE media_id = :id AND status = 'QUEUED'",
        id=parse_id(requested.media_id)[1],
    )
    for way in ways.split():
        match way:
            case "delete":
                await client.graphql(DELETE, id=requested.media_id)
            case "first":
                await run_first(client, requested)
            case _:
                await {"cancel": cancel, "retry": retry, "work": work}[way](client, requested.media_id)
    for id, attempt, job_id in jobs:
        await client.service.runtime.services.processing.run_step(id, expected_attempt=attempt, job_id=job_id)
    for payload in (await retry(client, requested.media_id), await cancel(client, requested.media_id)):
        assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [
            ("NOT_FOUND", ["mediaId"])
        ]
    await let_the_grace_pass(client)
    await collect(client)
    assert await stored(client) == []
    assert await leftovers(client) == [(0, 0, 0, 0)]
