"""The object store is away while media are processed: they wait for it, however often it takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

import pytest
from sqlalchemy import text

from db.models import utc_now
from services.step_failures import STORE_PATIENCE, store_pause
from storage.errors import StorageError, StorageFullError, StorageUnavailableError
from tests.api.house import House, Opening, media, send_new
from tests.working import run_steps

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: More than the attempts that a step has.
OUTAGES = 5

RETRY = """
    mutation ($id: ID!) { retryProcessing(mediaId: $id) { media { status } userErrors { message } } }
"""
FAILURE = "query ($id: ID!) { media(id: $id) { failure { code message step } } }"

#: In whole seconds, what the queue waits before it runs the one job of a step.
PAUSE = "SELECT round(extract(epoch FROM execute_after - created)) FROM pgqueuer ORDER BY id DESC LIMIT 1"


@contextmanager
def broken(home: House, method: str, error: type[StorageError]) -> Iterator[None]:
    async def fail(*_: object, **__: object) -> NoReturn:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home.runtime.store, method, fail)
        yield


async def pause_of(home: House) -> int:
    async with home.runtime.engine.connect() as connection:
        return int((await connection.execute(text(PAUSE))).scalar_one())


@pytest.mark.parametrize(
    ("step", "method", "error"),
    [("inspect", "fetch", StorageUnavailableError), ("renditions", "put_file", StorageFullError)],
)
async def test_media_wait_for_a_store_that_is_away(
    house: Opening, step: str, method: str, error: type[StorageError]
) -> None:
    home = await house()
    media_id = await send_new(home.anna)
    if step == "renditions":
        await home.run_at_once("inspect")
    with broken(home, method, error):
        pauses = []
        for _ in range(OUTAGES):
            assert await home.run_at_once(step) == 1
            pauses.append(await pause_of(home))
            # As if the pause had passed.
            await home.service.execute(
                "UPDATE processing_steps SET store_away_since = store_away_since - make_interval(secs => :s)",
                s=pauses[-1],
            )
    # They grow by what passes between two attempts too.
    assert (pauses[0], pauses == sorted(pauses)) == (5, True)
    assert 40 <= pauses[-1] <= 60
    assert (await media(home.anna, media_id))["status"] == "PROCESSING"
    await run_steps(home.runtime)
    assert (await media(home.anna, media_id))["status"] == "READY"


async def test_other_attempts_count_as_they_do_without_an_outage(house: Opening) -> None:
    home = await house()
    media_id = await send_new(home.anna)
    with broken(home, "fetch", StorageUnavailableError):
        for _ in range(OUTAGES):
            assert await home.run_at_once("inspect") == 1
    with broken(home, "fetch", StorageError):
        for _ in range(3):
            assert (await media(home.anna, media_id))["status"] == "PROCESSING"
            assert await home.run_at_once("inspect") == 1
    assert (await media(home.anna, media_id))["status"] == "FAILED"


async def test_a_store_that_stays_away_for_a_day_fails_them_and_they_can_be_tried_again(
    house: Opening,
) -> None:
    home = await house()
    media_id = await send_new(home.anna)
    with broken(home, "fetch", StorageUnavailableError):
        await home.run_at_once("inspect")
        await home.service.execute(
            "UPDATE processing_steps SET store_away_since = store_away_since - interval '24 hours'"
        )
        await home.run_at_once("inspect")
        assert (await media(home.anna, media_id))["status"] == "FAILED"
        assert (await home.anna.graphql(FAILURE, id=media_id))["media"]["failure"] == {
            "code": "INTERNAL",
            "message": "The object store could not be used for 24 hours.",
            "step": "inspect",
        }
        assert (await home.anna.graphql(RETRY, id=media_id))["retryProcessing"]["userErrors"] == []
        await home.run_at_once("inspect")  # which waits anew
        assert await pause_of(home) == 5
    await run_steps(home.runtime)
    assert (await media(home.anna, media_id))["status"] == "READY"


async def test_pauses_grow_to_a_minute_and_end() -> None:
    now = utc_now()
    away = [0, 5, 30, 59, 60, 3600, STORE_PATIENCE.total_seconds() - 1, STORE_PATIENCE.total_seconds()]
    pauses = [store_pause(away_since=now - timedelta(seconds=seconds), now=now) for seconds in away]
    assert [pause and pause.total_seconds() for pause in pauses] == [5, 5, 30, 59, 60, 60, 60, None]
