"""Workers that lose their child, their life, their time or their job: every step ends, and shows once."""

import asyncio
import hashlib
import json
import os
import signal
import time
from functools import partial
from typing import Any

import pytest

from app.worker import DRAIN_SECONDS
from schema.ids import parse_id
from tests import pictures
from tests.service import proc
from tests.service.client import Client
from tests.service.conftest import StartService
from tests.service.patience import until
from tests.service.service import Service

SMALL = pictures.png(640, 480)
#: Takes a second of processor time or more to render.
SLOW = pictures.noise_png(1920, 1080)
NAMES_OF_SLOW = [
    "avif-1280", "avif-1920", "jpeg-1920", "webp-1280", "webp-1920", "webp-320", "webp-640",
]  # fmt: skip

#: The heartbeat's limit of 10 s, a poll of the queue of 5 s, and the work.
TAKEOVER_SECONDS = 30.0

#: A worker that is told to stop lets its steps run on for 5 s; then PostgreSQL is stopped.
STOPPED_SECONDS = 15.0


#: In one statement, which sees one moment. Positions are given later than events are written.
STORY = """
SELECT
  (SELECT to_json(m) FROM media m WHERE id = $1) AS media,
  (SELECT json_agg(s ORDER BY name) FROM processing_steps s WHERE media_id = $1) AS steps,
  (SELECT json_agg(to_jsonb(e) - 'position' ORDER BY version) FROM media_events e
     WHERE media_id = $1) AS events,
  (SELECT coalesce(json_agg(r ORDER BY r.name), '[]') FROM renditions r
     JOIN media m ON m.blob_id = r.blob_id WHERE m.id = $1) AS renditions
"""


#: Whether anybody waits for a lock.
WAITING = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock')"


class Story:
    """All that is known of one media: its row, steps, log, renditions, and the files of these."""

    def __init__(self, **facts: Any) -> None:
        self.facts = facts

    @classmethod
    async def of(cls, service: Service, media_id: str) -> "Story":
        [facts] = await service.fetch(STORY, parse_id(media_id)[1])
        story = {name: json.loads(fact) for name, fact in facts.items()}
        stored = [(service.data_dir / "objects" / row["key"]).read_bytes() for row in story["renditions"]]
        return cls(
            **story,
            sizes=[len(data) for data in stored],
            digests=[hashlib.sha256(data).hexdigest() for data in stored],
        )

    @property
    def attempts(self) -> dict[str, tuple[int, int]]:
        """Of each step: begun, and of these not counted."""
        return {step["name"]: (step["attempt"], step["uncounted_attempts"]) for step in self.facts["steps"]}

    @property
    def told(self) -> list[tuple[int, str]]:
        return [(event["version"], event["status"]) for event in self.facts["events"]]

    @property
    def names(self) -> list[str]:
        return [rendition["name"] for rendition in self.facts["renditions"]]


READY_ONCE = [(1, "UPLOADING"), (2, "PROCESSING"), (3, "PROCESSING"), (4, "READY")]


def is_told_once(story: Story) -> None:
    """READY, with one set of renditions whose files are as long as their rows say, and each change once."""
    assert story.told == READY_ONCE
    assert story.names == NAMES_OF_SLOW
    assert [rendition["size"] for rendition in story.facts["renditions"]] == story.facts["sizes"]


async def test_a_child_killed_in_mid_job_is_tried_again(service: Service, client: Client) -> None:
    media_id = await client.upload(SLOW)
    proc.kill(await service.stops_while_rendering())
    await client.becomes_ready(media_id)
    story = await Story.of(service, media_id)
    is_told_once(story)
    assert story.attempts == {"inspect": (1, 0), "renditions": (2, 0)}
    [failed] = service.logged("step_failed")
    assert failed["code"] == "INTERNAL"
    assert service.leftovers() == []


@pytest.mark.slow
async def test_a_child_killed_each_time_fails_its_media_and_no_other(
    service: Service, client: Client
) -> None:
    hopeless = await client.upload(SLOW)
    for _ in range(3):
        child = await service.stops_while_rendering()
        other = await client.upload(SMALL)
        await client.becomes_ready(other)
        proc.kill(child)
        await until(partial(_is_gone, child), why="It did not die.")  # else it may be found again
    media = await client.ends(hopeless)
    assert media.status == "FAILED"
    assert media.failure
    assert (media.failure.code, media.failure.retryable) == ("INTERNAL", True)
    assert media.failure.step == "renditions"
    assert media.renditions == ()
    story = await Story.of(service, hopeless)
    assert story.attempts["renditions"] == (3, 0)
    assert story.told == [*READY_ONCE[:3], (4, "FAILED")]
    await client.becomes_ready(await client.upload(SLOW))
    assert service.leftovers() == []


@pytest.mark.slow
async def test_a_service_that_is_stopped_in_mid_job_hands_it_back(service: Service, client: Client) -> None:
    media_id = await client.upload(SLOW)
    child = await service.stops_while_rendering()
    began = time.monotonic()
    assert await service.stop(signal.SIGTERM) == 0, service.complaint()
    assert time.monotonic() - began < STOPPED_SECONDS
    assert proc.state_of(child) == ""
    assert proc.users_of(service.data_dir) == {}
    assert service.workspaces() == []
    assert service.leftovers() == []
    assert len(service.logged("step_handed_back")) == 1

    await service.restart()
    began = time.monotonic()
    await client.becomes_ready(media_id)
    assert time.monotonic() - began < 20, "It was not taken at once: the chore that would find it takes 30 s."
    story = await Story.of(service, media_id)
    is_told_once(story)
    assert story.attempts == {"inspect": (1, 0), "renditions": (2, 1)}


@pytest.mark.slow
async def test_a_service_that_is_stopped_while_it_records_a_result_records_it(
    service: Service, client: Client
) -> None:
    """A lock of ours holds the recording up for longer than a stopping worker lets its steps run on."""
    media_id = await client.upload(SLOW)
    child = await service.stops_while_rendering()
    connection = await service.connect()
    async with connection.transaction():
        await connection.execute("SELECT FROM media FOR UPDATE")
        proc.go_on(child)
        while not await connection.fetchval(WAITING):  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.05)
        os.kill(service.pid, signal.SIGTERM)
        await asyncio.sleep(DRAIN_SECONDS + 1)
    await connection.close()
    assert await service.ends() == 0, service.complaint()

    await service.restart()
    media = await client.media(media_id)
    assert media.status == "READY"
    story = await Story.of(service, media_id)
    is_told_once(story)
    assert story.attempts == {"inspect": (1, 0), "renditions": (1, 0)}


@pytest.mark.slow
async def test_a_worker_that_stood_still_finds_its_step_finished_by_another(
    service: Service, client: Client, start_service: StartService
) -> None:
    """Whoever has the step is stopped beyond the heartbeat; the other finishes; then the first goes on."""
    services = [service, start_service(service.data_dir, command="worker")]
    services[1].launch()
    await until(lambda: services[1].logged("working"))
    media_id = await client.upload(SLOW)
    holder = await until(lambda: next((s for s in services if s.child_doing("render")), None))
    other = services[1 - services.index(holder)]
    proc.stop(holder.pid)
    try:
        began = time.monotonic()
        await until(lambda: other.child_doing("render"), seconds=TAKEOVER_SECONDS)
        assert time.monotonic() - began > 5, "It was taken from a worker that was only late."
        await until(lambda: other.child_doing("render") is None)
        story = await wait_for_the_end(other, media_id)
    finally:
        proc.go_on(holder.pid)
    is_told_once(story)
    assert story.attempts["renditions"] == (2, 0)
    await until(lambda: holder.logged("step_overtaken"), why=holder.complaint())
    assert (await Story.of(other, media_id)).facts == story.facts
    await client.becomes_ready(await client.upload(SMALL))
    assert service.leftovers() == []


@pytest.mark.slow
async def test_a_worker_lost_each_time_fails_the_media(service: Service, client: Client) -> None:
    """The first two losses are made up: each takes the heartbeat's time."""
    doomed = await client.upload(SLOW)
    await service.stops_while_rendering()
    _, id = parse_id(doomed)
    await service.fetch("UPDATE processing_steps SET attempt = attempt + 2 WHERE media_id = $1", id)
    service.kill9()
    await service.restart()
    media = await client.ends(doomed)
    assert media.failure
    assert (media.failure.code, media.failure.retryable) == ("WORKER_LOST", True)
    assert (await Story.of(service, doomed)).told == [*READY_ONCE[:3], (4, "FAILED")]


async def test_a_step_whose_job_has_vanished_is_queued_anew(service: Service, client: Client) -> None:
    """The chores find it, which are done at each tick, and by a worker that starts after one was missed."""
    media_id = await client.upload(SLOW)
    await service.stops_while_rendering()
    await service.fetch("DELETE FROM pgqueuer")
    await service.fetch("UPDATE processing_steps SET updated_at = now() - interval '31 s'")
    await service.make_chores_overdue()
    service.kill9()
    await service.restart()
    # Killed while it did the chores, a worker's successor gets them after 30 s and at a tick.
    await client.becomes_ready(media_id, seconds=120)
    story = await Story.of(service, media_id)
    is_told_once(story)
    assert story.attempts["renditions"] == (2, 0)
    assert len(service.logged("step_stranded")) == 1


async def wait_for_the_end(service: Service, media_id: str) -> Story:
    """Asked past the API, which may be the one that stands still."""
    deadline = time.monotonic() + TAKEOVER_SECONDS
    while (story := await Story.of(service, media_id)).told[-1][1] == "PROCESSING":
        assert time.monotonic() < deadline
    return story


def _is_gone(pid: int) -> bool:
    return proc.state_of(pid) == ""
