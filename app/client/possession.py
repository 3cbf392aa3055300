"""The proof that a file is here, given instead of its bytes."""

import asyncio
import hmac
import os

from app.client.errors import ServiceError
from app.client.files import LocalFile, reading_file
from app.client.targets import Challenge

#: More is no sample any more.
_MOST_BYTES = 16 * 1024 * 1024


async def possession_digest(file: LocalFile, challenge: Challenge) -> str:
    """HMAC-SHA-256 (lower-case hex) of the ranges in their order, keyed with the nonce's characters.

    Raises FileProblemError, and ServiceError for ranges that are none of the file.
    """
    inside = all(
        each.offset >= 0 and each.length > 0 and each.offset + each.length <= file.byte_size
        for each in challenge.ranges
    )
    if not inside or sum(each.length for each in challenge.ranges) > _MOST_BYTES:
        raise ServiceError("The service asks for a proof about bytes that the file does not have.")
    return await asyncio.to_thread(_digest, file, challenge)


def _digest(file: LocalFile, challenge: Challenge) -> str:
    digest = hmac.new(challenge.nonce.encode(), digestmod="sha256")
    with reading_file(file) as descriptor:
        for each in challenge.ranges:
            digest.update(os.pread(descriptor, each.length, each.offset))
    return digest.hexdigest()
