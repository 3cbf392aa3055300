"""What is taken away from workers while they are at it: by cancelling, by deleting, and by killing them."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from schema.ids import parse_id
from tests import pictures
from tests.service import proc
from tests.service.client import USER_ERRORS, Client
from tests.service.conftest import StartService
from tests.service.patience import until
from tests.service.service import Service

#: Takes a second of processor time or more to render.
SLOW = pictures.noise_png(1920, 1080)

#: A worker looks once a second; the rest is for a busy machine.
ENDED_SECONDS = 5.0

#: The lost job is delivered again after a heartbeat of 10 s and a poll of 5 s; then ten batches.
UNLINKED_SECONDS = 60.0

CANCEL = f"mutation ($id: ID!) {{ cancelProcessing(mediaId: $id) {{ media {{ status }} {USER_ERRORS} }} }}"
RETRY = f"mutation ($id: ID!) {{ retryProcessing(mediaId: $id) {{ media {{ status }} {USER_ERRORS} }} }}"
DELETE = f"mutation ($id: ID!) {{ deleteMedia(id: $id) {{ deletedId {USER_ERRORS} }} }}"
DELETE_TAG = f"mutation ($id: ID!) {{ deleteTag(id: $id) {{ deletedId {USER_ERRORS} }} }}"

STEPS = """
    SELECT name, status, attempt, uncounted_attempts FROM processing_steps WHERE media_id = $1 ORDER BY name
"""


async def change(client: Client, mutation: str, id: str) -> Any:
    [payload] = (await client.ask(mutation, id=id)).values()
    assert payload["userErrors"] == []
    return payload


async def is_ended(child: int) -> None:
    await until(lambda: proc.state_of(child) == "", seconds=ENDED_SECONDS, why="It is still there.")


async def test_a_cancelled_step_is_ended_and_may_be_done_again(service: Service, client: Client) -> None:
    """Its child stands still, so nothing but the cancellation can end it."""
    media_id = await client.upload(SLOW)
    child = await service.stops_while_rendering()
    assert (await change(client, CANCEL, media_id))["media"]["status"] == "FAILED"
    await is_ended(child)
    await until(lambda: service.leftovers() == [])
    await until(lambda: service.logged("step_overtaken"))
    media = await client.media(media_id)
    assert media.failure
    assert (media.failure.code, media.failure.step) == ("CANCELLED", "renditions")
    assert media.failure.retryable
    assert media.renditions == ()

    assert (await change(client, RETRY, media_id))["media"]["status"] == "PROCESSING"
    media = await client.becomes_ready(media_id)
    assert (media.failure, len(media.renditions)) == (None, 7)
    steps = await service.fetch(STEPS, parse_id(media_id)[1])
    assert [tuple(step.values()) for step in steps] == [
        ("inspect", "SUCCEEDED", 1, 0),
        ("renditions", "SUCCEEDED", 2, 1),
    ]


async def test_a_step_that_is_retried_before_its_worker_looks_is_done_once(
    service: Service, client: Client
) -> None:
    media_id = await client.upload(SLOW)
    child = await service.stops_while_rendering()
    await change(client, CANCEL, media_id)
    await change(client, RETRY, media_id)
    await client.becomes_ready(media_id)
    await is_ended(child)
    await until(lambda: service.leftovers() == [])
    events = await service.fetch(
        "SELECT status FROM media_events WHERE media_id = $1 ORDER BY version", parse_id(media_id)[1]
    )
    assert [event["status"] for event in events] == [
        "UPLOADING",
        "PROCESSING",
        "PROCESSING",
        "FAILED",
        "PROCESSING",
        "READY",
    ]


@pytest.mark.slow
async def test_steps_are_cancelled_in_whatever_process_they_are(
    service: Service, client: Client, start_service: StartService
) -> None:
    other = start_service(service.data_dir, command="worker")
    other.launch()
    await until(lambda: other.logged("working"))
    media_ids = [await client.upload(SLOW) for _ in range(6)]
    child = await other.stops_while_rendering(seconds=60)
    for media_id in media_ids:
        await client.ask(CANCEL, id=media_id)  # refused where it is READY already
    await is_ended(child)
    await until(lambda: other.logged("step_overtaken"))
    await until(lambda: service.leftovers() == [])
    for media_id in media_ids:
        if (await client.media(media_id)).status == "FAILED":
            await change(client, RETRY, media_id)
    for media_id in media_ids:
        await client.becomes_ready(media_id, seconds=60)


async def test_a_media_that_is_deleted_in_mid_job_leaves_nothing_behind(
    service: Service, client: Client
) -> None:
    media_id = await client.upload(SLOW)
    child = await service.stops_while_rendering()
    await change(client, DELETE, media_id)
    await is_ended(child)
    await until(lambda: service.leftovers() == [])
    await service.fetch("UPDATE deletion_outbox SET not_before = now()")
    await service.make_chores_overdue()
    service.kill9()
    await service.restart()
    objects = service.data_dir / "objects"
    await until(partial(_is_empty, objects), why="The chores left something.")
    [left] = await service.fetch(
        """SELECT (SELECT count(*) FROM blobs) AS blobs, (SELECT count(*) FROM renditions) AS renditions,
                  (SELECT count(*) FROM processing_steps) AS steps"""
    )
    assert left == {"blobs": 0, "renditions": 0, "steps": 0}


@pytest.mark.slow
async def test_a_tag_is_taken_off_its_last_media_although_the_worker_is_killed(
    service: Service, client: Client
) -> None:
    await client.upload(pictures.png(10, 10), tags=["cat"])
    await service.fetch(
        """
        WITH made AS (
            INSERT INTO media (id, owner_id, blob_id, version, kind, status, visibility, filename, mime_type,
                               size, sha256_verified, created_at, updated_at)
            SELECT gen_random_uuid(), owner_id, blob_id, 1, kind, 'READY', visibility, filename, mime_type,
                   size, false, now(), now()
            FROM media, generate_series(1, 5000)
            RETURNING id
        )
        INSERT INTO media_tags (media_id, tag_id) SELECT made.id, tags.id FROM made, tags
        """
    )
    [tag] = (await client.ask("{ tags { nodes { id mediaCount } } }"))["tags"]["nodes"]
    assert tag["mediaCount"] == 5_001
    await change(client, DELETE_TAG, tag["id"])
    links = 5_001
    while links == 5_001:
        links = await count_links(service)
    service.kill9()
    assert links > 0, "It was over before it could be killed."

    await service.restart()
    deadline = time.monotonic() + UNLINKED_SECONDS
    while await service.fetch("SELECT FROM tags"):
        assert time.monotonic() < deadline
    [told] = await service.fetch(
        """SELECT count(*) AS lines, count(DISTINCT media_id) AS media FROM media_events
           WHERE previous_tags = '{cat}' AND tags = '{}'"""
    )
    assert told == {"lines": 5_001, "media": 5_001}
    assert await count_links(service) == 0


async def count_links(service: Service) -> int:
    [row] = await service.fetch("SELECT count(*) AS links FROM media_tags")
    links: int = row["links"]
    return links


def _is_empty(objects: Path) -> bool:
    return not [path for path in objects.rglob("*") if path.is_file()]
