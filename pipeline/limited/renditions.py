"""Encodes a decoded picture into its renditions, as files in the working directory."""

from base64 import b64encode

import pyvips

from pipeline import recipe
from pipeline.limited.refusals import refused_output
from pipeline.placeholder import thumbhash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def stills(picture: "Any") -> "dict[str, Any]":
    """All widths of a still, each scaled from the one above it, and its ThumbHash."""
    files = []
    for rank, width in enumerate(recipe.widths_below(picture.width, recipe.WIDTHS)):
        if rank > 0:
            picture = shrink(picture, width, recipe.MAX_SIDE)
        files.append(save(picture, "webp", Q=80, effort=4))
        if rank < recipe.AVIF_COUNT:
            # libvips' effort 1 is the encoder's speed 8: 8 % more bytes than speed 6 for 40 % of its time.
            files.append(save(picture, "avif", Q=50, effort=1, compression="av1"))
        if rank < recipe.JPEG_COUNT:
            files.append(save(on_white(picture), "jpeg", Q=82, optimize_coding=True, interlace=True))
    return {"files": files, "thumbhash": b64encode(placeholder(picture)).decode()}


def animations(strip: "Any") -> "list[dict[str, object]]":
    """All widths of an animation; `strip` has its frames beneath each other, and their delays."""
    files = []
    for rank, width in enumerate(recipe.widths_below(strip.width, recipe.ANIMATION_WIDTHS)):
        if rank > 0:
            strip = shrink(strip, width, recipe.MAX_SIDE)
        files.append(save(strip, recipe.ANIMATION, Q=75, effort=recipe.ANIMATION_EFFORT))
    return files


def shrink(picture: "Any", width: int, height: int) -> "Any":
    try:
        return picture.thumbnail_image(width, height=height, size="down").copy_memory()
    except pyvips.Error as error:
        raise refused_output(error) from None


def on_white(picture: "Any") -> "Any":
    return picture.flatten(background=[255, 255, 255]) if picture.hasalpha() else picture


def save(picture: "Any", kind: str, **options: object) -> "dict[str, object]":
    """Write one rendition without any metadata: by default libvips would keep the GPS position.

    Delays, loop count and the height of a frame are no metadata to it.
    """
    name = f"{kind}-{picture.width}"
    writers = {
        "webp": picture.webpsave,
        "avif": picture.heifsave,
        "jpeg": picture.jpegsave,
        recipe.ANIMATION: picture.webpsave,
    }
    try:
        writers[kind](recipe.file_name(name), keep="none", **options)
    except pyvips.Error as error:
        raise refused_output(error) from None
    return {"name": name, "width": picture.width, "height": picture.get_page_height()}


def placeholder(picture: "Any") -> bytes:
    tiny = shrink(picture, recipe.THUMBHASH_SIDE, recipe.THUMBHASH_SIDE)
    if not tiny.hasalpha():
        tiny = tiny.addalpha()
    return thumbhash(tiny.width, tiny.height, bytes(tiny.cast("uchar").write_to_memory()))
