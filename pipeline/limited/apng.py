"""The frames of an APNG, by Pillow's reader of PNG alone: libvips reads the first."""

import pyvips
from PIL.PngImagePlugin import PngImageFile

from pipeline import recipe
from pipeline.limited.refusals import RefusalError, check_pixels, refused_input
from pipeline.limited.vips import header_of, orientation_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Milliseconds; what browsers make of a delay that is shorter than 11.
SHORTEST_DELAY, DEFAULT_DELAY = 11, 100


def frames(source: str, promised: int, limits: "dict[str, int]") -> "Any":
    """All frames beneath each other, each upright and at most as wide as the widest animation, with their
    delays.

    RefusalError unless they are as many as the header has `promised`.
    """
    orientation = orientation_of(header_of(source, "image/png"))
    try:
        with PngImageFile(source) as image:
            return strip_of(image, promised, orientation, limits)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise refused_input(error) from None


def strip_of(image: "Any", promised: int, orientation: int, limits: "dict[str, int]") -> "Any":
    first = 1 if image.info.get("default_image") else 0  # a still for those that can't show the rest
    count = image.n_frames - first
    if count != promised:
        raise RefusalError("corrupt", "its decoder finds another number of frames than its header promises")
    check_pixels(image.width, image.height, count, limits)
    profile, loop = image.info.get("icc_profile"), image.info.get("loop", 0)
    content, delays, page = bytearray(), [], None
    for number in range(first, first + count):
        image.seek(number)
        page = as_page(image, profile, orientation)
        content += page.write_to_memory()
        delay = int(image.info.get("duration", 0))
        delays.append(delay if delay >= SHORTEST_DELAY else DEFAULT_DELAY)
    if page is None:
        raise RefusalError("corrupt", "it has no frames")
    strip = pyvips.Image.new_from_memory(content, page.width, page.height * count, 4, "uchar")
    strip = strip.copy(interpretation="srgb")
    strip.set_type(pyvips.GValue.gint_type, "page-height", page.height)
    strip.set_type(pyvips.GValue.gint_type, "loop", loop)
    strip.set_type(pyvips.GValue.array_int_type, "delay", delays)
    return strip


def as_page(image: "Any", profile: "bytes | None", orientation: int) -> "Any":
    if image.mode.startswith("I"):  # Grey of 16 bit, which converting would clip.
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    rgba = image.convert("RGBA")
    page = pyvips.Image.new_from_memory(rgba.tobytes(), rgba.width, rgba.height, 4, "uchar")
    page = page.copy(interpretation="srgb")
    page.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    if profile:
        page.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return page.thumbnail_image(
        recipe.ANIMATION_WIDTHS[-1], height=recipe.MAX_SIDE, size="down", output_profile="srgb"
    )
