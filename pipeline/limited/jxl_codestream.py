"""A JPEG XL's codestream without its container, and the size that its first bits promise (ISO/IEC 18181).

The decoder sees the codestream alone: boxes with compressed metadata, or with a JPEG to be put together
again, never reach it. It tells a size only after decoding, hence these bits.
"""

from pipeline.limited.boxes import boxes_of
from pipeline.limited.refusals import RefusalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

SIGNATURE = b"\xff\x0a"
#: A container has about five; one for each piece of a codestream that was sent in many.
MAX_BOXES = 10_000
#: Before the content of each piece.
NUMBER_BYTES = 4
#: Bytes; the size and what is read after it have less than 30.
HEAD_BYTES = 64

#: Selector → (bits, what is added to their value) for a picture's and for its preview's sides.
SIDE = ((9, 1), (13, 1), (18, 1), (30, 1))
PREVIEW_SIDE = ((6, 1), (8, 65), (10, 321), (12, 1345))
PREVIEW_EIGHTHS = ((0, 16), (0, 32), (5, 1), (9, 33))
#: Width as a fraction of the height, by a code of 3 bits; 0 means that it is written out.
RATIOS = ((0, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
SIDEWAYS = (5, 6, 7, 8)


class Bits:
    """Reads integers of some bits, the lowest bit first."""

    def __init__(self, content: bytes) -> None:
        self._value = int.from_bytes(content, "little")
        self._left = len(content) * 8

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise RefusalError("corrupt", "the file ends in its header")
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken

    def choose(self, choices: "tuple[tuple[int, int], ...]") -> int:
        count, added = choices[self.take(2)]
        return self.take(count) + added


def header(codestream: bytes) -> "tuple[int, int]":
    """Width and height as displayed. RefusalError for an animation: the decoder would show its last frame."""
    if codestream[:2] != SIGNATURE:
        raise RefusalError("corrupt", "its codestream has no signature")
    bits = Bits(codestream[2:HEAD_BYTES])
    width, height = size(bits)
    if bits.take(1):  # Everything else has its default.
        return width, height
    orientation = 1
    if bits.take(1):
        orientation = bits.take(3) + 1
        if bits.take(1):
            size(bits)
        if bits.take(1):
            preview_size(bits)
        if bits.take(1):
            raise RefusalError(
                "unsupported", "This is an animated JPEG XL picture; send animations as GIF, WebP or APNG."
            )
    return (height, width) if orientation in SIDEWAYS else (width, height)


def size(bits: Bits) -> "tuple[int, int]":
    eighths = bits.take(1)
    height = (bits.take(5) + 1) * 8 if eighths else bits.choose(SIDE)
    across, down = RATIOS[bits.take(3)]
    if across:
        return height * across // down, height
    return (bits.take(5) + 1) * 8 if eighths else bits.choose(SIDE), height


def preview_size(bits: Bits) -> None:
    eighths = bits.take(1)
    sides = PREVIEW_EIGHTHS if eighths else PREVIEW_SIDE
    bits.choose(sides)
    if bits.take(3) == 0:
        bits.choose(sides)


def read_codestream(source: str, limit: "int | None" = None) -> bytes:
    """All of it, or its first `limit` bytes and perhaps some more."""
    with open(source, "rb") as file:
        if file.read(2) == SIGNATURE:
            file.seek(0)
            return file.read(limit if limit is not None else -1)
        file.seek(0)
        return b"".join(pieces(file, limit))


def pieces(file: "BinaryIO", limit: "int | None") -> "list[bytes]":
    """The codestream's boxes in a container: one `jxlc`, or `jxlp` in their order."""
    found: list[bytes] = []
    for kind, length, whole in boxes_of(file, MAX_BOXES):
        if kind not in (b"jxlc", b"jxlp"):
            continue
        last = kind == b"jxlc"
        if kind == b"jxlp":
            last = is_last(file.read(NUMBER_BYTES))
            length = max(0, length - NUMBER_BYTES)
        if limit is None and not whole:
            raise RefusalError("corrupt", "the file ends in its codestream")
        found.append(file.read(length if limit is None else min(length, limit)))
        if last or (limit is not None and sum(map(len, found)) >= limit):
            break
    return found


def is_last(number: bytes) -> bool:
    """A piece's number, whose highest bit says that no further piece follows."""
    return number[:1] >= b"\x80"
