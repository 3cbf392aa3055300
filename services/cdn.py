"""The content delivery network before the object store, if there is one: all that is asked of it."""

from typing import Protocol


class Cdn(Protocol):
    async def purge(self, prefix: str) -> None:
        """Ask it to forget everything that it keeps of the objects beneath `prefix` (no slash at its end).

        Asked means accepted, not done: a purge takes effect within the network's own time. Idempotent.
        Raises whatever kept it from being asked; then it is asked again.
        """
        ...


class NoCdn:
    """Nothing stands before the store that could be asked: what caches keep, they keep until it expires."""

    async def purge(self, prefix: str) -> None:
        return
