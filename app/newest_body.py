"""One body in flight for each address: a newer one ends the older.

An address may be used again and again until it expires, and each use that is left a byte short would hold a
file of its own. A client that comes again after its connection broke off unseen is the newer one and goes on;
so the older, of which nothing is kept, has to make room.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta


class SupersededError(Exception):
    """Another body for the same address has come since."""


@dataclass(slots=True, eq=False)
class _Slot:
    """`turn` is held by the one whose body is received; who came last is `newest`."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    newest: asyncio.Timeout | None = None
    users: int = 0


class NewestBody:
    """For one process; addresses are told apart by what `name` they have."""

    def __init__(self) -> None:
        self._slots: dict[Hashable, _Slot] = {}

    @asynccontextmanager
    async def receiving(self, name: Hashable, *, longest: timedelta) -> AsyncIterator[None]:
        """Run the block once whoever was before has ended, for at most `longest`.

        Raises `SupersededError` when a newer one comes, and TimeoutError after that time.
        """
        slot = self._slots.setdefault(name, _Slot())
        slot.users += 1
        limit = asyncio.timeout(longest.total_seconds())
        try:
            async with limit:
                _end(slot.newest)
                slot.newest = limit
                async with slot.turn:
                    yield
        except TimeoutError as error:
            if slot.newest is not limit:
                raise SupersededError from error
            raise
        finally:
            slot.users -= 1
            if slot.newest is limit:
                slot.newest = None
            if not slot.users:
                del self._slots[name]


def _end(older: asyncio.Timeout | None) -> None:
    """Have it time out now; the lock tells when it has ended."""
    if older is not None and not older.expired():
        older.reschedule(asyncio.get_running_loop().time())
