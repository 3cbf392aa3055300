"""The first directory of a TIFF: whether it is a picture, or the preview in a camera's raw file.

Raw formats (DNG, CR2, NEF, ARW, PEF …) are TIFFs whose first page is a small preview or undeveloped sensor
data; libvips would take either for the photograph.
"""

import struct
from struct import unpack_from

from pipeline.limited.refusals import RefusalError

#: Tags (TIFF 6.0, TIFF/EP, DNG 1.7).
NEW_SUBFILE_TYPE, PHOTOMETRIC, SUB_IFDS, DNG_VERSION = 254, 262, 330, 50706
REDUCED_RESOLUTION = 1
#: Values of PHOTOMETRIC: a colour filter array, and DNG's linear raw.
UNDEVELOPED = (32803, 34892)
#: Bytes that are read of the directory: 4,096 entries or more, of which pictures have about 20.
MAX_DIRECTORY_BYTES = 4096 * 20


def check_is_picture(source: str) -> None:
    """RefusalError for a camera's raw file, and for a directory that can't be read."""
    with open(source, "rb") as file:
        head = file.read(16)
        try:
            order = "<" if head[:2] == b"II" else ">"
            big = unpack_from(f"{order}H", head, 2)[0] == 43
            start = unpack_from(f"{order}Q" if big else f"{order}I", head, 8 if big else 4)[0]
            file.seek(min(start, file.seek(0, 2)))
            tags = read_tags(file.read(MAX_DIRECTORY_BYTES), order, big)
        except struct.error:
            raise RefusalError("corrupt", "its first directory is missing") from None
    preview = SUB_IFDS in tags and bool(tags.get(NEW_SUBFILE_TYPE, 0) & REDUCED_RESOLUTION)
    if head[8:10] == b"CR" or DNG_VERSION in tags or tags.get(PHOTOMETRIC) in UNDEVELOPED or preview:
        raise RefusalError(
            "unsupported",
            "This is a camera's raw file, which is not developed here; export it as JPEG, HEIC or TIFF.",
        )


def read_tags(directory: bytes, order: str, big: bool) -> "dict[int, int]":
    """The first value of each tag, taken as the integer that it is for all tags that matter here."""
    counter, entry, value_at = ("Q", 20, 12) if big else ("H", 12, 8)
    (count,) = unpack_from(f"{order}{counter}", directory)
    start = 8 if big else 2
    tags: dict[int, int] = {}
    for at in range(start, min(start + count * entry, len(directory) - entry + 1), entry):
        tag, kind = unpack_from(f"{order}HH", directory, at)
        width = "H" if kind == 3 else "I"
        tags[tag] = unpack_from(f"{order}{width}", directory, at + value_at)[0]
    return tags
