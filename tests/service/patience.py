"""Waiting for what another process will bring about."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


async def until(look: Callable[[], Found | None], *, seconds: float = 20, why: str = "In vain.") -> Found:
    """Look again and again until there is something true, and return it; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"Waited {seconds:g} s. {why}"
        await asyncio.sleep(0.003)
    return found
