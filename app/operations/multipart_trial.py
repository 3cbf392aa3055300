"""A multipart upload from its beginning to its end, tried on the bucket as clients and the service do it."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from functools import partial

from app.operations.findings import Finding, ok, problem
from storage.errors import ObjectExistsError, StorageError
from storage.objects import SignedPut
from storage.s3 import S3Store

_BODY = b"darkroom doctor in parts"
_TYPE = "application/octet-stream"
_LIFETIME = timedelta(minutes=5)


class MultipartTrial:
    """Makes the object `key` of one part, twice; `send` sends a body as a client and returns the status."""

    def __init__(self, store: S3Store, key: str, send: Callable[[SignedPut, bytes], Awaitable[int]]) -> None:
        self._store = store
        self._key = key
        self._send = send
        self._upload_ids: list[str] = []

    async def run(self) -> AsyncIterator[Finding]:
        """What was found, `multipart` first; raises what `send` raises."""
        try:
            await self._make()
        except StorageError as error:
            yield problem(
                "multipart",
                f"A multipart upload fails. {error}",
                "Large files are sent so: look at the rights of the credentials, and at the store's own log.",
            )
            return
        yield ok("multipart", "An object can be sent in parts.")
        yield await self._second()

    def removals(self) -> Iterator[Callable[[], Awaitable[None]]]:
        """Each ends what is open, or removes what was made; it raises the store's errors."""
        for upload_id in self._upload_ids:
            yield partial(self._store.abort_multipart, self._key, upload_id)
        yield partial(self._store.delete, [self._key])

    async def _second(self) -> Finding:
        try:
            await self._make()
        except ObjectExistsError:
            return ok("multipart-overwriting", "A multipart upload to a key that is taken is refused.")
        except StorageError as error:
            said = f"is not refused with 412 as it should be. {error}"
        else:
            said = "is completed: an upload could overwrite what was finalized."
        return problem(
            "multipart-overwriting",
            f"A multipart upload to a key that is taken {said}",
            "Set DARKROOM_S3_CONDITIONAL_WRITES=0.",
        )

    async def _make(self) -> None:
        upload_id = await self._store.create_multipart(self._key, content_type=_TYPE, part_hashes=True)
        self._upload_ids.append(upload_id)
        signed = self._store.sign_part(
            self._key,
            upload_id,
            1,
            byte_size=len(_BODY),
            sha256=hashlib.sha256(_BODY).hexdigest(),
            expires_in=_LIFETIME,
        )
        status = await self._send(signed, _BODY)
        if not 200 <= status < 300:
            raise StorageError(f"A part, sent to its signed address, is refused with {status}.")
        parts = await self._store.list_parts(self._key, upload_id)
        if [part.byte_size for part in parts] != [len(_BODY)]:
            raise StorageError("The store does not list the part that it acknowledged.")
        await self._store.complete_multipart(self._key, upload_id, parts, content_type=_TYPE)
