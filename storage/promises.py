"""What a client may be held to: sizes, hashes, numbers and ranges.

Whatever fails here is our own code's mistake (`ValueError`): services validate what clients send before.
"""

import base64
import re

from storage.objects import MAX_PARTS

LONGEST_READ = 16 * 1024**2
SMALLEST_BLOCK = 1024**2

_IS_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_IS_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


def check_promise(byte_size: int, sha256: str | None, md5: str | None = None) -> None:
    if byte_size < 0:
        raise ValueError("A size in bytes is not negative.")
    if sha256 is not None and not _IS_SHA256.fullmatch(sha256):
        raise ValueError("A SHA-256 is 64 lower-case hex digits.")
    if md5 is not None and not _IS_MD5.fullmatch(md5):
        raise ValueError("An MD5 is 32 lower-case hex digits.")


def check_part_number(number: int) -> None:
    if not 1 <= number <= MAX_PARTS:
        raise ValueError(f"The number of a part is 1 to {MAX_PARTS:,}.")


def check_read(offset: int, length: int) -> None:
    if offset < 0 or not 1 <= length <= LONGEST_READ:
        raise ValueError(f"A range to read begins at 0 or later and has 1 to {LONGEST_READ:,} bytes.")


def check_part_range(offset: int, length: int, byte_size: int | None = None) -> None:
    """Raise ValueError unless the range has bytes and lies within `byte_size` bytes, if that is known."""
    if offset < 0 or length < 1:
        raise ValueError("The range of a part begins at 0 or later, and has a byte at least.")
    if byte_size is not None and offset + length > byte_size:
        raise ValueError(f"The range of a part lies within {byte_size:,} bytes.")


def check_block_size(block_size: int | None) -> None:
    if block_size is not None and block_size < SMALLEST_BLOCK:
        raise ValueError(f"A block that is hashed by itself has at least {SMALLEST_BLOCK:,} bytes.")


def hex_to_base64(digest: str) -> str:
    """Turn a hex digest into what a header such as `Content-MD5` (RFC 1864) or S3's checksums hold."""
    return base64.b64encode(bytes.fromhex(digest)).decode()
