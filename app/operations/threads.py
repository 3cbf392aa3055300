"""Long blocking work beside the event loop that ends soon after nobody wants it any more."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

Checkpoint = Callable[[], None]
"""To be called now and then by the work: raises where it is to end."""


class StoppedError(Exception):
    """Whoever wanted the work has been cancelled."""


async def in_stoppable_thread(work: Callable[[Checkpoint], T]) -> T:
    """Run `work` in a thread; when the caller is cancelled, `work` is stopped and waited for."""
    stop = threading.Event()

    def checkpoint() -> None:
        if stop.is_set():
            raise StoppedError

    running = asyncio.ensure_future(asyncio.to_thread(work, checkpoint))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([running])
        running.exception()
        raise
