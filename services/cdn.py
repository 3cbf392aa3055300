"""The content delivery network before the object store, if there is one: all that is asked of it."""

from typing import Protocol


class Cdn(Protocol):
    async def purge(self, address: str) -> None:
        """Ask it to forget everything that it keeps below `address`, an address of the store's own.

        Asked means accepted, not done: a purge takes effect within the network's own time. Idempotent.
        Raises whatever kept it from being asked; then it is asked again.
        """
        ...


class NoCdn:
    """Nothing stands before the store, so nothing is kept there."""

    async def purge(self, address: str) -> None:
        return
