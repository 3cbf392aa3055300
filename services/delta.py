"""Delta uploads: parts that an owner has stored already are copied inside the store, the others asked for.

The client says which blocks its new file has; those that a media of the same owner holds, by hashes that the
service computed, need not be sent again. What is not copied in time, or can't be, is simply asked for.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from db.known_bytes import find_blocks
from db.models import Media, Upload, UploadStatus, User
from db.sessions import Sessions
from services.errors import Refusal
from services.parts import Parts, block_digests, part_length, part_size
from services.repeated_requests import RequestedUpload
from storage.errors import StorageError
from storage.objects import ObjectStore

log = structlog.get_logger()

#: Copies of one call that run at once.
MAX_COPIES = 16

#: How long one call may copy, for all its files.
COPY_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """Part `number` of an upload, to be made of a stored block."""

    number: int
    length: int
    source: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    sessions: Sessions
    store: ObjectStore
    parts: Parts

    async def copy_known(self, owner: User, requested: Sequence[RequestedUpload]) -> None:
        """Fill the new uploads in parts with what the owner has stored; best effort, within 20 s."""
        try:
            async with asyncio.timeout(COPY_SECONDS):
                for each in requested:
                    if each.upload.status is UploadStatus.PENDING:
                        await self._fill(owner, each.media, each.upload)
        except TimeoutError:
            log.info("blocks_not_all_copied", owner=str(owner.id), seconds=COPY_SECONDS)
        except (StorageError, Refusal) as error:
            log.info("blocks_not_all_copied", owner=str(owner.id), error=repr(error))
        except Exception:
            # The uploads are requested, whatever it was: what is not copied is asked for.
            log.warning("blocks_not_all_copied", owner=str(owner.id), exc_info=True)

    async def _fill(self, owner: User, media: Media, upload: Upload) -> None:
        copies = await self._copies(owner, media.size, block_digests(upload))
        if not copies:
            return
        multipart_id = await self.parts.open(media, upload)
        room = asyncio.Semaphore(MAX_COPIES)

        async def copy(each: _Copy) -> None:
            async with room:
                await self._copy(upload, multipart_id, each)

        async with asyncio.TaskGroup() as tasks:
            for each in copies:
                tasks.create_task(copy(each))

    async def _copy(self, upload: Upload, multipart_id: str, copy: _Copy) -> None:
        """One that fails holds no other back."""
        try:
            await self.store.copy_part(
                upload.key,
                multipart_id,
                copy.number,
                source=copy.source,
                offset=copy.offset,
                length=copy.length,
            )
        except StorageError as error:
            log.info("block_not_copied", upload=str(upload.id), number=copy.number, error=repr(error))

    async def _copies(self, owner: User, size: int, digests: Sequence[bytes]) -> list[_Copy]:
        """One for each of these blocks, of a file of `size` bytes, that is stored already."""
        if not digests:
            return []
        async with self.sessions() as session:
            known = await find_blocks(session, owner.id, set(digests))
        return [
            _Copy(
                number=number,
                length=part_length(size, number),
                source=block.key,
                offset=(block.number - 1) * part_size(block.size),
            )
            for number, digest in enumerate(digests, 1)
            if digest in known
            for block in [known[digest]]
            # Else the claim is wrong: the last block of a file can't be a whole part of another.
            if part_length(block.size, block.number) == part_length(size, number)
        ]
