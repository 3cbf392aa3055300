"""Known bytes that the store has lost: whoever is about to use some looks whether they are there.

The rows say what was stored; a store that was damaged, emptied or restored to another day may not agree. Then
the bytes are known no more, so the file can be sent again and everything is made of it anew.
"""

import asyncio
from collections.abc import Collection
from uuid import UUID

import structlog

from db.known_bytes import find_known, forget_bytes
from db.models import Blob
from db.sessions import Sessions
from storage.errors import StorageError
from storage.objects import ObjectStore

log = structlog.get_logger()

#: Objects of one call that are asked for at once.
MAX_LOOKS = 16

#: How long one call may look, for all its files: what the store has not said by then, it has not.
LOOK_SECONDS = 5.0


async def find_unusable(
    sessions: Sessions,
    store: ObjectStore,
    owner_id: UUID,
    wanted: Collection[tuple[str, int]],
    *,
    of_anybody: bool = False,
) -> frozenset[UUID]:
    """Of what is known of these (SHA-256, bytes), the blobs whose object the store does not show now.

    One look for each blob, outside of any transaction. What is gone is forgotten. Where the store does not
    answer the bytes are taken for unknown this once: sending them again is the worst that comes of it.
    """
    if not wanted:
        return frozenset()
    async with sessions() as session:
        blobs = await find_known(session, owner_id, wanted, of_anybody=of_anybody)
    room = asyncio.Semaphore(MAX_LOOKS)
    seen: set[UUID] = set()
    lost: list[Blob] = []

    async def look(blob: Blob) -> None:
        async with room:
            try:
                stored = await store.head(blob.key)
            except StorageError as error:
                log.info("known_bytes_not_looked_for", blob=str(blob.id), error=repr(error))
                return
        if stored is None:
            lost.append(blob)
        else:
            seen.add(blob.id)

    try:
        async with asyncio.timeout(LOOK_SECONDS), asyncio.TaskGroup() as tasks:
            for blob in blobs:
                tasks.create_task(look(blob))
    except TimeoutError:
        log.info("known_bytes_not_all_looked_for", owner=str(owner_id), seconds=LOOK_SECONDS)
    for blob in lost:
        log.warning("known_bytes_lost", blob=str(blob.id), key=blob.key)
        async with sessions.begin() as session:
            await forget_bytes(session, blob.id)
    return frozenset(blob.id for blob in blobs) - seen
