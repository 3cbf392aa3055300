"""Pictures that libvips reads itself: JPEG, PNG, WebP, GIF, TIFF and AVIF."""

import os
import re

import pyvips

from pipeline import recipe
from pipeline.limited.refusals import RefusalError, check_pages, check_pixels, refused_input

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The one loader that is opened for a sniffed type; every other stays blocked. So an Ultra HDR picture is
#: decoded as the plain JPEG that it contains.
LOADERS = {
    "image/jpeg": "VipsForeignLoadJpeg",
    "image/png": "VipsForeignLoadPng",
    "image/webp": "VipsForeignLoadWebp",
    "image/gif": "VipsForeignLoadNsgif",
    "image/tiff": "VipsForeignLoadTiff",
    "image/avif": "VipsForeignLoadHeif",
}

#: EXIF orientations that turn a picture on its side. libheif has turned an AVIF already.
SIDEWAYS = (5, 6, 7, 8)
UPRIGHT = 1

#: `thumbnail_source` ignores its own `fail_on`; only as a loader's option does it arrive (libvips 8.18.7).
FAIL_ON_DAMAGE = "[fail_on=error]"
ALL_FRAMES = "[n=-1,fail_on=error]"

#: libjpeg calls both of these warnings, so "error" lets them pass: the first is harmless padding that many
#: cameras write, all others that start like this leave grey or smeared areas.
JPEG_DAMAGE = re.compile(r"Corrupt JPEG data: (?!\d+ extraneous bytes).*")
JPEG_END = b"\xff\xd9"
#: Of a longer file these are decoded: libvips maps all that it gets, and crashes where there is no room for
#: it. No camera's picture is larger, but what was appended to one may be.
MAX_JPEG_BYTES = 256 * 1024 * 1024

#: By file, what libvips still reads when Python has no name for it: a source does not hold its bytes.
KEPT: dict[str, bytearray] = {}

pyvips.operation_block_set("VipsForeignLoad", True)


def size(source: str, mime_type: str, limits: "dict[str, int]") -> "tuple[int, int, int]":
    """Width and height as displayed, and pages; RefusalError when they pass the limits.

    All frames of an animation are decoded, so all their pixels count; of a TIFF's pages or an AVIF's pictures
    only the first or the primary one.
    """
    frames = look_before(source, mime_type, limits)
    header = header_of(source, mime_type)
    width, height = header.width, header.height
    if mime_type != "image/avif" and orientation_of(header) in SIDEWAYS:
        width, height = height, width
    pages = max(1, frames) if mime_type == "image/png" else field(header, "n-pages", 1)
    animated = mime_type in recipe.ANIMATED_TYPES
    check_pages(pages, "frames" if animated else "pages", limits)
    check_pixels(width, height, pages if animated else 1, limits)
    if mime_type == "image/gif":
        from pipeline.limited.gif_blocks import check_complete

        check_complete(source)
    return width, height, pages


def look_before(source: str, mime_type: str, limits: "dict[str, int]") -> int:
    """What has to be known before libvips sees the file; the frames of an APNG come back, else 0."""
    match mime_type:
        case "image/png":
            from pipeline.limited.png_chunks import frames_of

            return frames_of(source)
        case "image/tiff":
            from pipeline.limited.tiff_tags import check_is_picture

            check_is_picture(source)
        case "image/avif":
            from pipeline.limited.heif_boxes import check_sizes

            check_sizes(source, limits)
    return 0


def still(source: str, mime_type: str) -> "Any":
    """The first frame or page, or the primary picture; as `scaled` gives it."""
    options: dict[str, str] = {}
    if mime_type == "image/avif":
        from pipeline.limited.heif_boxes import profile_of

        options = {"input_profile": profile_of(source)}
    return thumbnail(source, mime_type, recipe.MAX_WIDTH, recipe.MAX_SIDE, FAIL_ON_DAMAGE, **options)


def frames(source: str, mime_type: str) -> "Any":
    """All frames beneath each other, each upright and at most as wide as the widest animation, with their
    delays. libvips would turn the strip as if it were one picture."""
    orientation = orientation_of(header_of(source, mime_type))
    width, height = recipe.ANIMATION_WIDTHS[-1], recipe.MAX_SIDE
    if orientation in SIDEWAYS:
        width, height = height, width
    strip = thumbnail(source, mime_type, width, height, ALL_FRAMES, no_rotate=True)
    return strip if orientation == UPRIGHT else turned(strip)


def turned(strip: "Any") -> "Any":
    pages = [page.autorot() for page in strip.pagesplit()]
    upright = pyvips.Image.arrayjoin(pages, across=1).copy()
    upright.set_type(pyvips.GValue.gint_type, "page-height", pages[0].height)
    return upright


def header_of(source: str, mime_type: str) -> "Any":
    try:
        return pyvips.Image.new_from_source(opened(source, mime_type), "", access="sequential")
    except pyvips.Error as error:
        raise damaged(source, mime_type, error) from None


def thumbnail(
    source: str, mime_type: str, width: int, height: int, loader_options: str, **options: object
) -> "Any":
    """In memory because a sequential reader can't be read twice ("VipsJpeg: out of order read")."""
    try:
        picture = pyvips.Image.thumbnail_source(
            opened(source, mime_type),
            width,
            height=height,
            size="down",
            output_profile="srgb",
            option_string=loader_options,
            **options,
        ).copy_memory()
        warnings = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()).decode(errors="replace")
        if damage := JPEG_DAMAGE.search(warnings):
            raise pyvips.Error(damage.group())
    except pyvips.Error as error:
        raise damaged(source, mime_type, error) from None
    return picture


def scaled(picture: "Any", profile: str = "srgb") -> "Any":
    """Of pixels that were decoded elsewhere; `profile` is theirs unless one is embedded.

    Upright, in sRGB with or without alpha, 8 bit, at most MAX_WIDTH wide, in memory.
    """
    try:
        return picture.thumbnail_image(
            recipe.MAX_WIDTH,
            height=recipe.MAX_SIDE,
            size="down",
            input_profile=profile,
            output_profile="srgb",
        ).copy_memory()
    except pyvips.Error as error:
        raise refused_input(error) from None


def opened(source: str, mime_type: str) -> "Any":
    """The file for its one loader. A JPEG without its end marker gets one: when that is all it lacks, it is
    whole, and when it is not, libjpeg says so ("premature end of data segment")."""
    pyvips.operation_block_set(LOADERS[mime_type], False)
    if mime_type == "image/jpeg" and (content := completed(source)):
        return pyvips.Source.new_from_memory(content)
    return pyvips.Source.new_from_file(source)


def completed(source: str) -> "bytearray | None":
    """Its first MAX_JPEG_BYTES, closed with an end marker; None where all of it can be taken as it is."""
    if source not in KEPT:
        with open(source, "rb") as file:
            length = file.seek(-len(JPEG_END), 2) + len(JPEG_END)
            if file.read() == JPEG_END and length <= MAX_JPEG_BYTES:
                return None
            file.seek(0)
            content = bytearray(min(length, MAX_JPEG_BYTES) + len(JPEG_END))
            file.readinto(content)
            content[-len(JPEG_END) :] = JPEG_END
            KEPT[source] = content
    return KEPT[source]


def damaged(source: str, mime_type: str, error: Exception) -> RefusalError:
    if mime_type == "image/jpeg" and os.path.getsize(source) > MAX_JPEG_BYTES:
        return RefusalError(
            "limit", f"Of a JPEG the first {MAX_JPEG_BYTES:,} bytes are read, and it does not end in them."
        )
    return refused_input(error)


def orientation_of(header: "Any") -> int:
    return field(header, "orientation", UPRIGHT)


def field(header: "Any", name: str, default: int) -> int:
    return int(header.get(name)) if header.get_typeof(name) else default
