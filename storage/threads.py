"""Blocking file calls beside the event loop, without leaving a thread at work on a closed file."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in the loop's thread pool and return what it returns.

    A thread can't be stopped, so a cancelled caller still waits for it: when this returns or raises, `work`
    is over and its files may be closed. Keep `work` short (one block, one fsync); cancellation is that late.
    What `work` returned to a cancelled caller is lost: work that opens something must keep it in an object
    that the caller cleans up.
    """
    future = asyncio.get_running_loop().run_in_executor(None, work)
    cancellation: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        # Looked at, so that asyncio doesn't report a failure nobody waits for any more.
        future.exception()
        raise cancellation
    return future.result()
