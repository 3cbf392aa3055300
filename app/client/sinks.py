"""Where downloaded bytes go: into a file beside its target, or straight to stdout."""

import asyncio
import hashlib
import sys
from pathlib import Path

from app.client.errors import FileProblemError
from app.client.part_file import PartFile
from app.client.streams import output_problem, silence


class FileSink:
    """`source` names what is downloaded, so that no other file's rest is put after its beginning."""

    def __init__(self, target: Path, source: str) -> None:
        self._target = target
        self._source = source
        self._part: PartFile | None = None

    async def begin(self, etag: str | None) -> int:
        part = self._part = await asyncio.to_thread(PartFile.open, self._target, f"{self._source} {etag}")
        if etag is None:
            await asyncio.to_thread(part.restart)
        return part.byte_size

    async def write(self, block: bytes) -> None:
        await asyncio.to_thread(self._opened.append, block)

    async def restart(self) -> None:
        await asyncio.to_thread(self._opened.restart)

    async def finish(self, sha256: str | None, *, force: bool) -> None:
        """Give the file its name. Raises FileProblemError, and forgets what came if it has another digest."""
        part = self._opened
        if sha256 is not None and part.sha256 != sha256:
            part.discard()
            raise _other_digest()
        await asyncio.to_thread(part.publish, force=force)

    def close(self) -> None:
        if self._part is not None:
            self._part.close()

    @property
    def _opened(self) -> PartFile:
        assert self._part is not None, "Nothing is written before `begin`."
        return self._part


class OutputSink:
    """What has been written can't be taken back."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._byte_size = 0

    async def begin(self, etag: str | None) -> int:
        return 0

    async def write(self, block: bytes) -> None:
        await asyncio.to_thread(_write, block)
        self._digest.update(block)
        self._byte_size += len(block)

    async def restart(self) -> None:
        if self._byte_size:
            raise FileProblemError("The way broke, and the store can't go on where it did.")

    def check(self, sha256: str | None) -> None:
        """Raises FileProblemError when what was written has another digest."""
        if sha256 is not None and self._digest.hexdigest() != sha256:
            raise _other_digest()


def _write(block: bytes) -> None:
    try:
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
    except OSError as error:
        silence(sys.stdout)
        raise output_problem(error) from None


def _other_digest() -> FileProblemError:
    return FileProblemError("What came has another SHA-256 than the service computed of the original.")
