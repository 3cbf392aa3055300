"""The sizes that a HEIC or AVIF file promises, read from its boxes (ISO/IEC 23008-12) before libheif is.

libheif holds files to limits of its own, far above ours; and a picture laid out as a grid may promise less
than its tiles. So every `ispe` box counts, whatever picture it belongs to.
"""

from struct import unpack

from pipeline.limited.boxes import boxes_in, boxes_of
from pipeline.limited.refusals import RefusalError, check_pixels

#: Bytes; a telephone's picture of 48 MP in tiles has about 10 kB of it.
MAX_META_BYTES = 16 * 1024 * 1024
MAX_TOP_BOXES = 1_000
#: Colour primaries (ITU-T H.273) that are not those of sRGB, and what libvips calls their profile.
DISPLAY_P3 = 12


def read_meta(source: str) -> bytes:
    """The content of the file's `meta` box; RefusalError without one."""
    with open(source, "rb") as file:
        for kind, length, whole in boxes_of(file, MAX_TOP_BOXES):
            if kind != b"meta":
                continue
            if not whole:
                raise RefusalError("corrupt", "the file ends in its header")
            if length > MAX_META_BYTES:
                raise RefusalError("limit", f"Its header has more than {MAX_META_BYTES:,} bytes.")
            return file.read(length)[4:]
    raise RefusalError("corrupt", "it has no meta box")


def boxes(content: bytes) -> "dict[bytes, list[bytes]]":
    found: dict[bytes, list[bytes]] = {}
    for kind, inner in boxes_in(content):
        found.setdefault(kind, []).append(inner)
    return found


def properties(source: str) -> "dict[bytes, list[bytes]]":
    """The item properties of all pictures in the file, by their kind."""
    found = boxes(read_meta(source))
    for kind in (b"iprp", b"ipco"):
        found = boxes(b"".join(found.get(kind, [])))
    return found


def check_sizes(source: str, limits: "dict[str, int]") -> None:
    """Refuse the file when any picture in it promises more pixels than the limit."""
    for size in properties(source).get(b"ispe", []):
        if len(size) >= 12:
            width, height = unpack(">II", size[4:12])
            check_pixels(width, height, 1, limits)


def profile_of(source: str) -> str:
    """libvips' name of the profile that its colour codes mean: "p3" or "srgb"; no decoder here applies them.

    An embedded ICC profile has the last word.
    """
    codes = {colour[4:6] for colour in properties(source).get(b"colr", []) if colour[:4] == b"nclx"}
    return "p3" if codes == {DISPLAY_P3.to_bytes(2, "big")} else "srgb"
