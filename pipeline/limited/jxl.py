"""JPEG XL, by libjxl in the wheel pillow-jxl-plugin; its decoder alone, none of Pillow's other formats.

The wheel is under the GPL, so an installation may leave it out (docs/decisions/0009).
"""

import re

import pyvips

try:
    from pillow_jxl import Decoder

    INSTALLED = True
except ModuleNotFoundError:
    INSTALLED = False

from pipeline.limited.jxl_codestream import HEAD_BYTES, header, read_codestream
from pipeline.limited.refusals import RefusalError, check_pixels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

THREADS = 2
#: Of what the decoder calls pixels: mode → (bands, format); colours always have 8 bits.
MODES = {
    "L": (1, "uchar"),
    "LA": (2, "uchar"),
    "RGB": (3, "uchar"),
    "RGBA": (4, "uchar"),
    "I;16": (1, "ushort"),
    "F": (1, "float"),
}
#: The decoder has one word for all failures. Above this share of the address space it is taken to mean that
#: the rest was not enough for the next allocation: 100 MP lossless asked for 1,600 MiB.
NEARLY_ALL = 0.6


def size(source: str, limits: "dict[str, int]") -> "tuple[int, int, int]":
    if not INSTALLED:
        raise RefusalError("unsupported", "JPEG XL is not read by this installation.")
    width, height = header(read_codestream(source, HEAD_BYTES))
    check_pixels(width, height, 1, limits)
    return width, height, 1


def pixels(source: str, limits: "dict[str, int]") -> "Any":
    """The picture as libvips sees it, upright, with its profile; libjxl has applied the orientation."""
    codestream = read_codestream(source)
    try:
        _, info, content, profile, _ = Decoder(num_threads=THREADS)(codestream)
    except (RuntimeError, ValueError, OSError) as error:
        if peak_address_space() > NEARLY_ALL * limits["address_space_bytes"]:
            raise RefusalError("memory", "out of memory") from None
        raise RefusalError("corrupt", str(error).partition(".")[0]) from None
    if info.mode not in MODES:
        raise RefusalError("unsupported", "This is a JPEG XL picture of a kind that is not read here.")
    bands, number_format = MODES[info.mode]
    picture = pyvips.Image.new_from_memory(content, info.width, info.height, bands, number_format)
    picture = as_known_kind(picture, number_format)
    if profile:
        picture = picture.copy()
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return picture


def as_known_kind(picture: "Any", number_format: str) -> "Any":
    if number_format == "float":  # from 0 to 1
        return (picture * 255).cast("uchar").copy(interpretation="b-w")
    if number_format == "ushort":
        return picture.copy(interpretation="grey16")
    return picture.copy(interpretation="b-w" if picture.bands < 3 else "srgb")


def peak_address_space() -> int:
    """Bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/status") as status:
            peak = re.search(r"VmPeak:\s+(\d+) kB", status.read())
    except OSError:
        return 0
    return int(peak[1]) * 1024 if peak else 0
