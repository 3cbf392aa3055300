"""A PNG's chunks, looked at before any decoder sees the file: its frames, and text that swells.

A decoder inflates compressed text and colour profiles as it reads the header: 6 kB of file became 6 MB of
memory, a few more chunks would make it gigabytes. Here they are inflated with a bound and thrown away.
"""

import zlib
from struct import unpack

from pipeline.limited.refusals import RefusalError

# False when run, true for the type checker: the child doesn't pay for importing `typing`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

#: Bytes. What Pillow allows for one text, and room for the largest profiles of printers.
MAX_TEXT_BYTES = 1024 * 1024
MAX_PROFILE_BYTES = 8 * 1024 * 1024
#: Bytes of all that was inflated together.
MAX_INFLATED_BYTES = 16 * 1024 * 1024
#: Walking them takes 0.3 s; encoders write IDAT in pieces of 8 kB and more.
MAX_CHUNKS = 200_000
#: Bytes that are inflated at once.
STEP_BYTES = 64 * 1024


def frames_of(source: str) -> int:
    """How many frames it promises: 0 unless it is an APNG. RefusalError for swelling or broken chunks.

    Decoders heed the first `acTL`, and only before the first `IDAT`.
    """
    frames, inflated = None, 0
    with open(source, "rb") as file:
        file.seek(8)
        for _ in range(MAX_CHUNKS):
            head = file.read(8)
            if len(head) < 8:
                raise RefusalError("corrupt", "the file ends before its end chunk")
            length, kind = unpack(">I4s", head)
            if kind == b"IEND":
                return frames or 0
            end = file.tell() + length + 4
            if kind in (b"zTXt", b"iTXt", b"iCCP"):
                inflated += inflated_bytes(kind, file, length)
                if inflated > MAX_INFLATED_BYTES:
                    raise RefusalError(
                        "limit", f"Its texts and profiles have more than {MAX_INFLATED_BYTES:,} bytes."
                    )
            elif frames is None and kind == b"acTL" and length == 8:
                frames = int.from_bytes(file.read(4), "big")
            elif frames is None and kind == b"IDAT":
                frames = 0
            file.seek(end)
    raise RefusalError("limit", f"It has more than {MAX_CHUNKS:,} chunks.")


def inflated_bytes(kind: bytes, file: "BinaryIO", length: int) -> int:
    """The size of a chunk's content when it is inflated, at most its limit; RefusalError above that."""
    limit = MAX_PROFILE_BYTES if kind == b"iCCP" else MAX_TEXT_BYTES
    if length > limit:
        raise too_long(kind, limit)
    content = compressed_part(kind, file.read(length))
    inflater, total = zlib.decompressobj(), 0
    while content and not inflater.eof:
        try:
            total += len(inflater.decompress(content, STEP_BYTES))
        except zlib.error:
            return total  # Decoders leave such a text out.
        if total > limit:
            raise too_long(kind, limit)
        content = inflater.unconsumed_tail
    return total


def compressed_part(kind: bytes, content: bytes) -> bytes:
    """What follows the keyword; nothing for an international text that is not compressed."""
    _, _, rest = content.partition(b"\0")
    if kind != b"iTXt":
        return rest[1:]
    if rest[:1] != b"\1":
        return b""
    _, _, rest = rest[2:].partition(b"\0")
    return rest.partition(b"\0")[2]


def too_long(kind: bytes, limit: int) -> RefusalError:
    what = "A colour profile" if kind == b"iCCP" else "A text"
    return RefusalError("limit", f"{what} in it has more than the {limit:,} bytes allowed.")
