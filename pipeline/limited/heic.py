"""HEIC, by libheif and libde265 in the wheel pi-heif: libvips' own wheel is built without HEVC."""

import pyvips
from pi_heif import open_heif, options

from pipeline.limited.heif_boxes import check_sizes
from pipeline.limited.refusals import RefusalError, check_pages, check_pixels, refused_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

options.DECODE_THREADS = 2
options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False

#: What pi-heif raises for a damaged file: when it is opened, or when it is asked for what is not there.
DAMAGE = (RuntimeError, ValueError, OSError, SyntaxError, EOFError, LookupError)

#: What owns the pixels: its memoryview does not hold it (pi-heif 1.4.0).
KEPT: "list[Any]" = []

#: The last letter means that the colours were multiplied by the alpha already.
PREMULTIPLIED = "RGBa"


def size(source: str, limits: "dict[str, int]") -> "tuple[int, int, int]":
    """Of the primary picture as displayed: libheif applies the file's own turns, and EXIF's are ignored."""
    heif = opened(source, limits)
    try:
        (width, height), pictures = heif.size, len(heif)
    except DAMAGE as error:
        raise refused(error) from None
    check_pages(pictures, "pictures", limits)
    check_pixels(width, height, 1, limits)
    return width, height, pictures


def pixels(source: str, limits: "dict[str, int]") -> "Any":
    """The primary picture as libvips sees it, upright, 8 bit, with its profile."""
    heif = opened(source, limits)
    KEPT.append(heif)
    try:
        content, (width, height), mode = heif.data, heif.size, heif.mode
        profile = heif.info.get("icc_profile")
    except DAMAGE as error:
        raise refused(error) from None
    bands = len(mode)
    if len(content) != width * height * bands:
        raise RefusalError("corrupt", "it has other pixels than its header says")
    picture = pyvips.Image.new_from_memory(content, width, height, bands, "uchar")
    picture = picture.copy(interpretation="b-w" if bands < 3 else "srgb")
    if mode == PREMULTIPLIED:
        picture = picture.unpremultiply().cast("uchar").copy(interpretation="srgb")
    if profile:
        picture = picture.copy()
        picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return picture


def opened(source: str, limits: "dict[str, int]") -> "Any":
    check_sizes(source, limits)
    try:
        heif = open_heif(source)
    except DAMAGE as error:
        raise refused(error) from None
    if len(heif) == 0:  # libheif leaves out what it can't make sense of.
        raise RefusalError("corrupt", "it has no picture")
    return heif


def refused(error: Exception) -> RefusalError:
    if "compression format has not been built in" in str(error):
        return RefusalError("unsupported", "This is a HEIF picture in another coding than HEVC or AV1.")
    return refused_input(error)
