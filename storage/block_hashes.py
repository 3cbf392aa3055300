"""The SHA-256 of each block of a stream, whatever pieces it comes in."""

import hashlib


class BlockHashes:
    """`block_size` in bytes; the last block may be shorter, and a stream of no bytes has none."""

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._digests: list[str] = []
        self._open = hashlib.sha256()
        self._filled = 0

    def update(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            piece = rest[: self._block_size - self._filled]
            self._open.update(piece)
            self._filled += len(piece)
            rest = rest[len(piece) :]
            if self._filled == self._block_size:
                self._close()

    def digests(self) -> tuple[str, ...]:
        """Those of all blocks so far, in lower-case hex; call it at the end."""
        if self._filled:
            self._close()
        return tuple(self._digests)

    def _close(self) -> None:
        self._digests.append(self._open.hexdigest())
        self._open, self._filled = hashlib.sha256(), 0
