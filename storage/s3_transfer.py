"""Bytes between local files and the store: in pieces, hashed on the way, never much of them in memory.

A sent file is cut into parts of 16 MiB (larger ones where 10,000 would not do), one in memory at a time. A
fetched one comes as a stream; when it breaks off it goes on where it was, as long as it is the same object.
"""

import hashlib
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

from storage.errors import StorageUnavailableError
from storage.local_files import NewFile, SourceFile, open_regular
from storage.objects import MAX_PARTS, FetchedObject
from storage.s3_client import S3Client
from storage.s3_errors import BeyondTheEndError, ConditionFailedError, StoreRefusesError, is_silence
from storage.s3_multipart import OwnMultipart
from storage.s3_objects import described, etag_of
from storage.threads import in_thread

SENT_PART_BYTES = 16 * 1024**2
_BLOCK_BYTES = 1024**2
#: Breaks without a single byte between them, after which a download is given up.
_TRIES_WITHOUT_PROGRESS = 3


async def send_file(client: S3Client, key: str, path: Path, content_type: str) -> None:
    """Store the regular file under `key`, in place of what is there; local failures raise OSError."""
    source = SourceFile(partial(open_regular, path))
    try:
        await in_thread(source.open)
        byte_size = source.stat.st_size
        if byte_size <= SENT_PART_BYTES:
            body, sums = await in_thread(partial(_summed, source, 0, byte_size))
            params = {**described(key, content_type), **client.options.encryption_params(key), **sums}
            await client.send("put_object", body, Key=key, **params)
        else:
            await _send_parts(client, key, source, byte_size, content_type)
    finally:
        await in_thread(source.close)


async def _send_parts(
    client: S3Client, key: str, source: SourceFile, byte_size: int, content_type: str
) -> None:
    part_size = max(SENT_PART_BYTES, -(-byte_size // MAX_PARTS))
    async with OwnMultipart(client, key, content_type, checksums=True) as upload:
        for number, start in enumerate(range(0, byte_size, part_size), 1):
            body, sums = await in_thread(partial(_summed, source, start, min(part_size, byte_size - start)))
            await upload.send(number, body, sums)
        await upload.complete()


def _summed(source: SourceFile, offset: int, byte_size: int) -> tuple[bytes, dict[str, str]]:
    """The bytes and what the store is to compare them with; stores that don't know the one know the other."""
    body = source.read(offset, byte_size)
    if len(body) < byte_size:
        raise OSError("The file has become shorter while it was read.")
    return body, {
        "ChecksumAlgorithm": "SHA256",
        "ChecksumSHA256": b64encode(hashlib.sha256(body).digest()).decode(),
        "ContentMD5": b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode(),
    }


async def fetch_file(client: S3Client, key: str, path: Path, block_size: int | None) -> FetchedObject:
    """Write the object to the new file `path`; a failure leaves none."""
    file = NewFile(path, hashes=["sha256"], block_size=block_size)
    try:
        await in_thread(file.open)
        async with aclosing(_Download(client, key).blocks()) as received:
            async for block in received:
                await in_thread(partial(file.write, block))
        await in_thread(file.close)
    except BaseException:
        await in_thread(file.discard)
        raise
    return FetchedObject(
        byte_size=file.byte_size,
        sha256=file.hexdigest("sha256"),
        block_sha256s=file.block_hexdigests(),
    )


class _Download:
    """One object from its first byte to its last, over as many connections as it takes."""

    def __init__(self, client: S3Client, key: str) -> None:
        self._client = client
        self._key = key
        self._received = 0
        self._byte_size: int | None = None
        self._etag: str | None = None

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        tries = 0
        while self._byte_size is None or self._received < self._byte_size:
            before = self._received
            try:
                async with aclosing(self._stream()) as stream:
                    async for block in stream:
                        yield block
            except StorageUnavailableError as error:
                tries = tries + 1 if self._received == before else 1
                if self._byte_size is None or tries >= _TRIES_WITHOUT_PROGRESS or not is_silence(error):
                    raise

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        stream = await self._open()
        try:
            while self._received < (self._byte_size or 0):
                block = await self._client.bounded(partial(_read_block, stream, _BLOCK_BYTES))
                self._received += len(block)
                yield block
        finally:
            stream.close()

    async def _open(self) -> Any:
        params: dict[str, Any] = {}
        if self._etag is not None:
            params = {"Range": f"bytes={self._received}-", "IfMatch": f'"{self._etag}"'}
        try:
            answer = await self._client.call("get_object", Key=self._key, **params)
        except ConditionFailedError as error:
            raise StoreRefusesError("The object was replaced while it was fetched.") from error
        if self._byte_size is None:
            self._byte_size, self._etag = int(answer["ContentLength"]), etag_of(answer["ETag"])
        elif "ContentRange" not in answer or etag_of(answer["ETag"]) != self._etag:
            answer["Body"].close()
            raise StoreRefusesError("The object store did not go on where the object had broken off.")
        return answer["Body"]


async def read_range(client: S3Client, key: str, offset: int, length: int) -> bytes:
    """At most `length` bytes from `offset` on; none beyond the end."""

    async def work() -> bytes:
        answer = await client.raw("get_object", Key=key, Range=f"bytes={offset}-{offset + length - 1}")
        stream = answer["Body"]
        try:
            if "ContentRange" not in answer:
                raise StoreRefusesError("The object store serves no ranges.")
            return await _read_block(stream, int(answer["ContentLength"]), least=int(answer["ContentLength"]))
        finally:
            stream.close()

    try:
        return await client.guarded(work, seconds=client.seconds_for(length))
    except BeyondTheEndError:
        return b""


async def _read_block(stream: Any, size: int, *, least: int = 1) -> bytes:
    """Up to `size` bytes; OSError where fewer than `least` come."""
    block = bytearray()
    read: Callable[[int], Any] = stream.read
    while len(block) < size:
        data = await read(size - len(block))
        if not data:
            break
        block += data
    if len(block) < least:
        raise OSError("The stream has ended early.")
    return bytes(block)
