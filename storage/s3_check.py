"""Whether the store works, asked so often that asking must cost next to nothing.

Each time HEAD of the bucket, at most once a second for all who ask at once; at most every 30 seconds a few
bytes are written, read and removed as well. Their key begins with a dot, so they are no object of the store,
and it is the same for a process's whole life: whatever happens, one tiny object stays at most.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

from storage.errors import ObjectMissingError, StorageError, StorageUnavailableError
from storage.s3_client import S3Client
from storage.s3_errors import StoreRefusesError

#: Less than whoever asks waits, so that a store that hangs is counted as one.
CHECK_SECONDS = 2.0
PROOF_HOLDS = timedelta(seconds=30)
LOOK_HOLDS = timedelta(seconds=1)

_BODY = b"darkroom"


class StoreCheck:
    def __init__(self, client: S3Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._lock = asyncio.Lock()
        self._key = f".darkroom/check-{uuid4().hex}"
        self._looked_at = self._proved_at = -float("inf")

    async def __call__(self) -> None:
        """Raises `StorageFullError` or `StorageUnavailableError`; one asks, the others wait for the
        answer."""
        async with self._lock:
            now = self._clock()
            if now - self._looked_at < LOOK_HOLDS.total_seconds():
                return
            try:
                await require_bucket(self._client, seconds=CHECK_SECONDS)
                if now - self._proved_at >= PROOF_HOLDS.total_seconds():
                    await self._prove()
                    self._proved_at = now
            except StorageError:
                # A failure holds for nobody else: it has to be seen how it ends.
                self._looked_at = self._proved_at = -float("inf")
                raise
            self._looked_at = now

    async def _prove(self) -> None:
        call, encrypted = self._client.call, self._client.options.encryption_params(self._key)
        await call("put_object", seconds=CHECK_SECONDS, Key=self._key, Body=_BODY, **encrypted)
        try:
            # The bytes themselves: S3's ETag is no MD5 where they are encrypted.
            found = await self._client.guarded(self._read, seconds=CHECK_SECONDS)
        except ObjectMissingError:
            raise StorageUnavailableError("The object store does not have what it acknowledged.") from None
        finally:
            await call("delete_object", seconds=CHECK_SECONDS, Key=self._key)
        if found != _BODY:
            raise StorageUnavailableError("The object store gives other bytes than it was given.")

    async def _read(self) -> bytes:
        answer = await self._client.raw("get_object", Key=self._key)
        async with answer["Body"] as stream:
            found: bytes = await stream.read()
        return found


async def require_bucket(client: S3Client, *, seconds: float | None = None) -> None:
    """Raises `StorageUnavailableError` where there is no bucket, or none for us."""
    try:
        await client.call("head_bucket", seconds=seconds)
    except ObjectMissingError:
        raise StoreRefusesError(
            f"There is no bucket {client.bucket} at {client.endpoint}: ./darkroom bucket init creates it."
        ) from None
