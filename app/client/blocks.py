"""How a file divides into the blocks that are hashed one by one: those that an upload in parts sends."""

import hashlib

_MIB = 1024 * 1024

#: By the service's contract; S3 takes no smaller part but the last, and no more of them.
_LEAST_BYTES = 5 * _MIB
_MOST_BLOCKS = 10_000


def block_bytes(byte_size: int) -> int:
    """The size of each block but the last, of a file of `byte_size` bytes."""
    whole_mib = -(-byte_size // (_MOST_BLOCKS * _MIB))
    return max(_LEAST_BYTES, whole_mib * _MIB)


class BlockDigests:
    """SHA-256 of each block, of bytes that come in pieces of any size."""

    def __init__(self, byte_size: int) -> None:
        self._left = self._block_bytes = block_bytes(byte_size)
        self._digest = hashlib.sha256()
        self._done: list[str] = []

    def update(self, piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            taken = rest[: self._left]
            self._digest.update(taken)
            self._left -= len(taken)
            rest = rest[len(taken) :]
            if not self._left:
                self._next()

    def hexdigests(self) -> tuple[str, ...]:
        """Lower-case hex, in order; the last block may be shorter. To be called once, at the end."""
        if self._left < self._block_bytes:
            self._next()
        return tuple(self._done)

    def _next(self) -> None:
        self._done.append(self._digest.hexdigest())
        self._digest, self._left = hashlib.sha256(), self._block_bytes
