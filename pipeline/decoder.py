"""What the child process does with a picture: read its header, or decode it once and encode its renditions.

Imported by `pipeline.child` only, after its limits stand; nothing here runs in the service's own process.
"""

import os
import re
from base64 import b64encode
from errno import EACCES, EAGAIN, EDQUOT, EFBIG, EIO, EMFILE, ENFILE, ENOENT, ENOSPC, ESTALE

import pyvips

from pipeline import recipe
from pipeline.placeholder import thumbhash

# False when run, true for the type checker: the child doesn't pay for importing `typing`.
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
}

#: EXIF orientations that turn a picture on its side.
SIDEWAYS = (5, 6, 7, 8)

#: `thumbnail_source` ignores its own `fail_on`; only as a loader's option does it arrive (libvips 8.18.7).
FAIL_ON_DAMAGE = "[fail_on=error]"

#: libjpeg calls both of these warnings, so "error" lets them pass: the first is harmless padding that many
#: cameras write, all others that start like this leave grey or smeared areas.
JPEG_DAMAGE = re.compile(r"Corrupt JPEG data: (?!\d+ extraneous bytes).*")

#: libvips, libheif, libjpeg and libaom, each in its own words.
OUT_OF_MEMORY = re.compile(
    r"out of memory|memory allocation|insufficient memory"
    r"|(?:unable to|cannot|failed to) m?alloc",
    re.IGNORECASE,
)
#: What the system says when something else than the picture is at fault. EAGAIN: no further thread.
TROUBLE = tuple(map(os.strerror, (EAGAIN, EACCES, EIO, EMFILE, ENFILE, ENOENT, ENOSPC, EDQUOT, ESTALE)))


class RefusalError(Exception):
    """The task has no result: `kind` is one of corrupt, limit, memory and trouble."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def perform(request: "dict[str, Any]") -> "dict[str, object]":
    """Do `request["task"]` and give the answer that goes to the parent."""
    pyvips.operation_block_set("VipsForeignLoad", True)
    pyvips.operation_block_set(LOADERS[request["mime_type"]], False)
    try:
        if request["task"] == "inspect":
            return {"result": inspect(request["source"], request["limits"])}
        return {"result": render(request["source"], request["limits"])}
    except RefusalError as refusal:
        return {"refusal": refusal.kind, "reason": refusal.reason}
    except MemoryError:
        return {"refusal": "memory", "reason": "out of memory"}


def inspect(source: str, limits: "dict[str, int]") -> "dict[str, int]":
    """Width and height as displayed, and pages, from the header; refused when they pass the limits."""
    try:
        header = pyvips.Image.new_from_source(pyvips.Source.new_from_file(source), "", access="sequential")
    except pyvips.Error as error:
        raise refused_input(error) from None
    width, height = header.width, header.height
    if field(header, "orientation", 1) in SIDEWAYS:
        width, height = height, width
    pages = field(header, "n-pages", 1)
    check_size(width, height, pages, limits)
    return {"width": width, "height": height, "pages": pages}


def check_size(width: int, height: int, pages: int, limits: "dict[str, int]") -> None:
    if pages > limits["max_pages"]:
        raise RefusalError("limit", f"It has {pages:,} frames; the limit is {limits['max_pages']:,}.")
    pixels = width * height * pages
    if pixels > limits["max_pixels"]:
        frames = f" × {pages:,} frames" if pages > 1 else ""
        raise RefusalError(
            "limit",
            f"It has {pixels:,} pixels ({width:,} × {height:,}{frames}); "
            f"the limit is {limits['max_pixels']:,}.",
        )


def render(source: str, limits: "dict[str, int]") -> "dict[str, object]":
    """Decode once, then scale each width from the one above it; files go to the working directory."""
    inspect(source, limits)
    picture = decode(source)
    files = []
    for rank, width in enumerate(widths_below(picture.width)):
        if rank > 0:
            picture = shrink(picture, width, recipe.MAX_SIDE)
        files.append(save(picture, "webp", Q=80, effort=4))
        if rank < recipe.AVIF_COUNT:
            # libvips' effort 1 is the encoder's speed 8: 8 % more bytes than speed 6 for 40 % of its time.
            files.append(save(picture, "avif", Q=50, effort=1, compression="av1"))
        if rank < recipe.JPEG_COUNT:
            files.append(save(on_white(picture), "jpeg", Q=82, optimize_coding=True, interlace=True))
    return {"files": files, "thumbhash": b64encode(placeholder(picture)).decode()}


def widths_below(width: int) -> "list[int]":
    return [width, *(step for step in reversed(recipe.WIDTHS) if step < width)]


def decode(source: str) -> "Any":
    """The whole picture, upright, in sRGB with or without alpha, 8 bit, at most MAX_WIDTH wide, in memory.

    In memory because a sequential reader can't be read twice ("VipsJpeg: out of order read").
    """
    try:
        picture = pyvips.Image.thumbnail_source(
            pyvips.Source.new_from_file(source),
            recipe.MAX_WIDTH,
            height=recipe.MAX_SIDE,
            size="down",
            output_profile="srgb",
            option_string=FAIL_ON_DAMAGE,
        ).copy_memory()
    except pyvips.Error as error:
        raise refused_input(error) from None
    warnings = pyvips.ffi.string(pyvips.vips_lib.vips_error_buffer()).decode(errors="replace")
    if damage := JPEG_DAMAGE.search(warnings):
        raise RefusalError("corrupt", damage.group())
    return picture


def shrink(picture: "Any", width: int, height: int) -> "Any":
    try:
        return picture.thumbnail_image(width, height=height, size="down").copy_memory()
    except pyvips.Error as error:
        raise refused_output(error) from None


def on_white(picture: "Any") -> "Any":
    return picture.flatten(background=[255, 255, 255]) if picture.hasalpha() else picture


def save(picture: "Any", kind: str, **options: object) -> "dict[str, object]":
    """Write one rendition without any metadata: by default libvips would keep the GPS position."""
    name = f"{kind}-{picture.width}"
    writers = {"webp": picture.webpsave, "avif": picture.heifsave, "jpeg": picture.jpegsave}
    try:
        writers[kind](recipe.file_name(name), keep="none", **options)
    except pyvips.Error as error:
        raise refused_output(error) from None
    return {"name": name, "width": picture.width, "height": picture.height}


def placeholder(picture: "Any") -> bytes:
    tiny = shrink(picture, recipe.THUMBHASH_SIDE, recipe.THUMBHASH_SIDE)
    if not tiny.hasalpha():
        tiny = tiny.addalpha()
    return thumbhash(tiny.width, tiny.height, bytes(tiny.cast("uchar").write_to_memory()))


def field(header: "Any", name: str, default: int) -> int:
    return int(header.get(name)) if header.get_typeof(name) else default


def refused_input(error: pyvips.Error) -> RefusalError:
    """Reading and decoding failed: the picture is damaged unless something else is named."""
    return refused(str(error), otherwise="corrupt")


def refused_output(error: pyvips.Error) -> RefusalError:
    """Scaling, encoding and writing failed: no fault of a picture that was decoded."""
    return refused(str(error), otherwise="trouble")


def refused(text: str, otherwise: str) -> RefusalError:
    if OUT_OF_MEMORY.search(text):
        return RefusalError("memory", last_line(text))
    if os.strerror(EFBIG) in text:
        return RefusalError("limit", "One of its renditions is larger than the limit for files.")
    named = any(trouble in text for trouble in TROUBLE)
    return RefusalError("trouble" if named else otherwise, last_line(text))


def last_line(text: str) -> str:
    """libvips stacks its messages: the cause is the last one."""
    return text.strip().rpartition("\n")[2].strip()
