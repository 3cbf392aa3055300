"""The circuit breaker, by a clock that a test moves."""

from datetime import timedelta

import pytest

from storage.errors import StorageUnavailableError
from storage.s3_breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures_to_open=3, pause=timedelta(seconds=5), clock=clock)


def fail(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.admit())


def is_refused(breaker: CircuitBreaker) -> bool:
    try:
        passed = breaker.admit()
    except StorageUnavailableError:
        return True
    breaker.abandoned(passed)
    return False


def test_it_opens_after_so_many_failures_in_a_row(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    assert not is_refused(breaker)
    fail(breaker)
    assert breaker.is_open
    with pytest.raises(StorageUnavailableError, match=r"did not answer 3 times in a row.*in 5 s"):
        breaker.admit()


def test_an_answer_between_them_begins_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    breaker.answered(breaker.admit())
    fail(breaker, 2)
    assert not is_refused(breaker)


def test_after_the_pause_one_call_at_a_time_looks(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 4.9
    assert is_refused(breaker)
    clock.now += 0.1
    probe = breaker.admit()
    assert probe.probe
    assert is_refused(breaker)
    breaker.answered(probe)
    assert not breaker.is_open
    assert not is_refused(breaker)


def test_a_probe_that_fails_begins_another_pause(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5
    fail(breaker)
    assert is_refused(breaker)
    clock.now += 4.9
    assert is_refused(breaker)
    clock.now += 0.1
    assert not is_refused(breaker)


def test_a_probe_that_is_given_up_makes_room_for_the_next(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5
    breaker.abandoned(breaker.admit())
    assert breaker.admit().probe


def test_calls_from_before_neither_lengthen_the_pause_nor_count_as_probes(
    breaker: CircuitBreaker, clock: Clock
) -> None:
    before = [breaker.admit() for _ in range(5)]
    fail(breaker, 3)
    clock.now += 4
    breaker.failed(before[0])
    clock.now += 1
    probe = breaker.admit()
    breaker.failed(before[1])
    breaker.abandoned(before[2])
    assert is_refused(breaker)
    breaker.answered(probe)
    assert not is_refused(breaker)


def test_a_late_answer_from_before_closes_it(breaker: CircuitBreaker) -> None:
    before = breaker.admit()
    fail(breaker, 3)
    breaker.answered(before)
    assert not is_refused(breaker)
