"""The sizes that a HEIC or AVIF file promises, read from its boxes (ISO/IEC 23008-12) before libheif is.

libheif holds files to limits of its own, far above ours; and a picture laid out as a grid may promise less
than its tiles. So every `ispe` box counts, whatever picture it belongs to.
"""

from struct import unpack

from pipeline.limited.refusals import RefusalError, check_pixels

#: Bytes; a telephone's picture of 48 MP in tiles has about 10 kB of it.
MAX_META_BYTES = 16 * 1024 * 1024
MAX_TOP_BOXES = 1_000
#: Colour primaries (ITU-T H.273) that are not those of sRGB, and what libvips calls their profile.
DISPLAY_P3 = 12


def read_meta(source: str) -> bytes:
    """The content of the file's `meta` box; RefusalError without one."""
    with open(source, "rb") as file:
        for _ in range(MAX_TOP_BOXES):
            head = file.read(8)
            if len(head) < 8:
                break
            size, kind = unpack(">I4s", head)
            content = size - 8
            if size == 1:
                content = int.from_bytes(file.read(8), "big") - 16
            if kind == b"meta":
                if content > MAX_META_BYTES:
                    raise RefusalError("limit", f"Its header has more than {MAX_META_BYTES:,} bytes.")
                return file.read(content if size else MAX_META_BYTES)[4:]
            if size == 0 or content < 0:
                break
            file.seek(content, 1)
    raise RefusalError("corrupt", "it has no meta box")


def boxes(content: bytes) -> "dict[bytes, list[bytes]]":
    found: dict[bytes, list[bytes]] = {}
    at = 0
    while at + 8 <= len(content):
        size, kind = unpack(">I4s", content[at : at + 8])
        if size == 0:
            size = len(content) - at
        if size < 8:
            break
        found.setdefault(kind, []).append(content[at + 8 : at + size])
        at += size
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
