"""A circuit breaker: whoever asks a store that does not answer is told so at once.

Closed, every call is let through. After some failures in a row it opens: calls are refused without being
made. When the pause is over, one call at a time is let through to look; its success closes the breaker
again. Failures are silence, broken connections and the server's own errors; a caller who gave up counts as
silence where a call that moves no bytes and asks for no work had no answer for three seconds
(`storage/s3_client.py`). An answer that refuses is an answer, 501 (the store lacks something) too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from storage.errors import StorageUnavailableError


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One call that was let through; `probe` is the one that looks whether the store is back."""

    probe: bool


class CircuitBreaker:
    """For one process; `clock` tells seconds that never go back."""

    def __init__(
        self,
        *,
        failures_to_open: int = 5,
        pause: timedelta = timedelta(seconds=5),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures_to_open = failures_to_open
        self._pause = pause.total_seconds()
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._probe: Pass | None = None

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    def admit(self) -> Pass:
        """Let a call through, or raise `StorageUnavailableError` at once.

        Whoever got a pass tells what became of the call, by exactly one of the three methods below.
        """
        if self._opened_at is None:
            return Pass(probe=False)
        left = self._opened_at + self._pause - self._clock()
        if left > 0 or self._probe is not None:
            raise StorageUnavailableError(
                f"The object store did not answer {self._failures} times in a row; it is asked again "
                f"{f'in {left:.0f} s' if left >= 1 else 'now'}."
            )
        self._probe = Pass(probe=True)
        return self._probe

    def answered(self, passed: Pass) -> None:
        """The store answered, be it with a refusal; also one that was asked before the breaker opened."""
        self._release(passed)
        self._failures = 0
        self._opened_at = None

    def failed(self, passed: Pass) -> None:
        """The store was silent, or broke off, or had an error of its own."""
        was_probe = self._release(passed)
        if self._opened_at is not None and not was_probe:
            return
        self._failures += 1
        if was_probe or self._failures >= self._failures_to_open:
            self._opened_at = self._clock()

    def abandoned(self, passed: Pass) -> None:
        """The caller went away before anything was known."""
        self._release(passed)

    def _release(self, passed: Pass) -> bool:
        is_probe = passed is self._probe
        if is_probe:
            self._probe = None
        return is_probe
