"""Hashes of a file's bytes, in one pass: of the whole, and of each block of a large one."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from app.client.blocks import BlockDigests, block_bytes

_PIECE_BYTES = 8 * 1024 * 1024

#: So many bytes have been read, of so many.
Reading = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashes:
    """SHA-256 as lower-case hex. `first` is the beginning; no blocks where one would be all of the file."""

    first: bytes
    byte_size: int
    sha256: str
    block_sha256s: tuple[str, ...]


async def hashes_of(file: BinaryIO, byte_size: int, reading: Reading) -> Hashes:
    """Read to the end, in threads: the next piece comes while two others hash the present one.

    `byte_size` is what is expected; what was read is told. Raises OSError.
    """
    whole = hashlib.sha256()
    blocks = BlockDigests(byte_size) if byte_size > block_bytes(byte_size) else None
    digests = (whole, blocks) if blocks else (whole,)
    first = piece = await asyncio.to_thread(file.read, _PIECE_BYTES)
    done = 0
    while piece:
        ahead, _ = await asyncio.gather(
            asyncio.to_thread(file.read, _PIECE_BYTES),
            asyncio.gather(*(asyncio.to_thread(digest.update, piece) for digest in digests)),
        )
        done += len(piece)
        reading(done, byte_size)
        piece = ahead
    return Hashes(
        first=first,
        byte_size=done,
        sha256=whole.hexdigest(),
        block_sha256s=blocks.hexdigests() if blocks else (),
    )
