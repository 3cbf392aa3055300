"""The doorbell of one channel over broadcaster's `Broadcast`, whatever backend rings it.

The contract (tests/contracts/test_doorbell.py): a ring reaches every process that listens; rings that
nobody has waited for yet become one; a subscriber is also rung once whenever its process begins to listen
(again), since rings before that were not heard; and a ring may be lost, so nobody waits without a limit.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from broadcaster import Broadcast


class Rings:
    """What one subscriber hears: it remembers that there was a ring, never how many."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def hear(self) -> None:
        self._rung.set()

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109 - no ring in time is an answer, no error
        """Wait at most `timeout` seconds; True when it rang since the last True."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._rung.wait()
        rang = self._rung.is_set()
        self._rung.clear()
        return rang


@dataclass(frozen=True, slots=True)
class Doorbell:
    """`broadcast` is connected and disconnected by whoever made it."""

    broadcast: Broadcast
    channel: str = "darkroom_events"

    async def ring(self) -> None:
        """Say that the log has news. Call it after the commit; it does not raise, and a ring may be lost."""
        await self.broadcast.publish(self.channel, "")

    @asynccontextmanager
    async def rings(self) -> AsyncIterator[Rings]:
        """Listen. Read what you watch after entering: what changes from then on rings."""
        async with self.broadcast.subscribe(self.channel) as subscriber:
            rings = Rings()

            # broadcaster's queues are unbounded: emptied at once, they stay empty.
            async def drain() -> None:
                while True:
                    await subscriber.get()
                    rings.hear()

            draining = asyncio.create_task(drain(), name="doorbell")
            try:
                yield rings
            finally:
                draining.cancel()
                await asyncio.wait([draining])
