"""How many parts are signed at once: as the line uses the addresses."""

from collections.abc import Callable, Sequence

import pytest

from app.client import signed_parts
from app.client.errors import UnreachableError
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


class Signing:
    """Notes how many were asked for; `fails` so often at first."""

    def __init__(self, clock: Clock, *, fails: int = 0) -> None:
        self.counts: list[int] = []
        self._clock = clock
        self._fails = fails

    async def __call__(self, upload_id: str, numbers: Sequence[int]) -> dict[int, Target] | list[UserError]:
        self.counts.append(len(numbers))
        if len(self.counts) <= self._fails:
            raise UnreachableError("away")
        return {
            number: Target(method="PUT", url="http://store", headers={}, received_at=self._clock.monotonic())
            for number in numbers
        }


async def send(clock: Clock, sign: Signing, pace: Callable[[int], float]) -> None:
    """All parts in turn, each taking `pace` seconds; no address is given that has waited for minutes."""
    parts = SignedParts(sign, "upload", range(1, COUNT + 1))
    for number in range(1, COUNT + 1):
        address = await parts.take(number, renew=False)
        assert clock.now - address.received_at <= 120
        clock.now += pace(number)


async def test_a_quick_line_asks_for_more_and_more_up_to_what_one_call_may(clock: Clock) -> None:
    sign = Signing(clock)
    await send(clock, sign, lambda number: 0.01)
    assert sign.counts == [16, 32, 64, 100, 100, 88]


async def test_a_slow_line_asks_for_few(clock: Clock) -> None:
    sign = Signing(clock)
    await send(clock, sign, lambda number: 5.0)
    assert sign.counts == [16] * (COUNT // 16)


async def test_when_a_line_becomes_slow_what_waited_too_long_is_signed_again_a_few_at_a_time(
    clock: Clock,
) -> None:
    sign = Signing(clock)
    await send(clock, sign, lambda number: 0.01 if number <= 112 else 10.0)
    assert sign.counts[:4] == [16, 32, 64, 100]
    assert max(sign.counts[4:]) == 16
    assert COUNT < sum(sign.counts) < COUNT + 100 + len(sign.counts) * 4


async def test_calls_that_failed_are_not_taken_for_a_quick_line(clock: Clock) -> None:
    sign = Signing(clock, fails=3)
    parts = SignedParts(sign, "upload", range(1, COUNT + 1))
    for _ in range(3):
        with pytest.raises(UnreachableError):
            await parts.take(1, renew=False)
    await parts.take(1, renew=False)
    assert sign.counts == [16, 16, 16, 16]
