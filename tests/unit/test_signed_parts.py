"""How many parts are signed at once: as the line uses the addresses."""

from collections.abc import Sequence

import pytest

from app.client import signed_parts
from app.client.media import UserError
from app.client.signed_parts import SignedParts
from app.client.targets import Target

COUNT = 400


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(signed_parts, "time", clock)
    return clock


async def signed_at_once(clock: Clock, *, seconds_a_part: float) -> list[int]:
    counts: list[int] = []

    async def sign(upload_id: str, numbers: Sequence[int]) -> dict[int, Target] | list[UserError]:
        counts.append(len(numbers))
        return {
            number: Target(method="PUT", url="http://store", headers={}, received_at=clock.monotonic())
            for number in numbers
        }

    parts = SignedParts(sign, "upload", range(1, COUNT + 1))
    for number in range(1, COUNT + 1):
        await parts.take(number, renew=False)
        clock.now += seconds_a_part
    return counts


async def test_a_quick_line_asks_for_more_and_more_up_to_what_one_call_may(clock: Clock) -> None:
    assert await signed_at_once(clock, seconds_a_part=0.01) == [16, 32, 64, 100, 100, 88]


async def test_a_slow_line_asks_for_few(clock: Clock) -> None:
    assert set(await signed_at_once(clock, seconds_a_part=5.0)) == {16}


async def test_a_line_that_becomes_slow_wastes_few(clock: Clock) -> None:
    """What waited too long is signed again, and then only a few."""
    counts = await signed_at_once(clock, seconds_a_part=0.5)
    assert max(counts) <= 32
