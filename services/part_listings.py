"""What the store holds of many uploads in parts, for those who only look: nothing is written here."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from db.models import Upload
from services.errors import StorageUnavailable
from services.storage_refusals import storage_refusals
from storage.errors import MultipartMissingError
from storage.objects import ObjectStore, StoredPart

#: Uploads of which this process asks the store at once, whatever the queries want: each takes a connection.
AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PartListing:
    """`is_whole` where the store has put the parts together: it lists none any more, and lacks none."""

    parts: Sequence[StoredPart] = ()
    is_whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PartListings:
    store: ObjectStore
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def of(self, uploads: Sequence[Upload]) -> list[PartListing | StorageUnavailable]:
        """One for each pending upload in parts, in their order; StorageUnavailable where it can't be had.

        The store is asked once for an upload that comes several times.
        """
        distinct = {upload.id: upload for upload in uploads}
        listings = await asyncio.gather(*[self._of(upload) for upload in distinct.values()])
        found = dict(zip(distinct, listings, strict=True))
        return [found[upload.id] for upload in uploads]

    async def _of(self, upload: Upload) -> PartListing | StorageUnavailable:
        if upload.multipart_id is None:
            return PartListing()
        try:
            async with self._slots:
                with storage_refusals():
                    return await self._ask(upload.key, upload.multipart_id)
        except StorageUnavailable as refusal:
            return refusal

    async def _ask(self, key: str, multipart_id: str) -> PartListing:
        try:
            return PartListing(parts=await self.store.list_parts(key, multipart_id))
        except MultipartMissingError:
            return PartListing(is_whole=await self.store.head(key) is not None)
