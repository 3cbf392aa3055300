"""What the child process does with a picture: read its header, or decode it once and encode its renditions.

Imported by `pipeline.child` only, after its limits stand; nothing here runs in the service's own process.
"""

import struct

from pipeline import recipe
from pipeline.limited.refusals import RefusalError

# False when run, true for the type checker: the child doesn't pay for importing `typing`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: What a reader of headers raises when it meets a value that it did not foresee.
UNFORESEEN = (ValueError, LookupError, OverflowError, struct.error)


def perform(request: "dict[str, Any]") -> "dict[str, object]":
    """Do `request["task"]` and give the answer that goes to the parent."""
    work = inspect if request["task"] == "inspect" else render
    try:
        return {"result": work(request["source"], request["mime_type"], request["limits"])}
    except RefusalError as refusal:
        return {"refusal": refusal.kind, "reason": refusal.reason}
    except MemoryError:
        return {"refusal": "memory", "reason": "out of memory"}


def inspect(source: str, mime_type: str, limits: "dict[str, int]") -> "dict[str, object]":
    """Width and height as displayed, and pages, from the header; refused when they pass the limits.

    A drawing is parsed as a whole and has none of these.
    """
    if mime_type == recipe.DRAWING_TYPE:
        from pipeline.limited import svg

        svg.check(source)
        return {}
    width, height, pages = size(source, mime_type, limits)
    return {"width": width, "height": height, "pages": pages}


def size(source: str, mime_type: str, limits: "dict[str, int]") -> "tuple[int, int, int]":
    """Width and height as displayed, and pages.

    RefusalError whatever the header says: a crash would be taken for a trouble that passes, and tried again.
    """
    try:
        return stated_size(source, mime_type, limits)
    except UNFORESEEN as error:
        raise RefusalError("corrupt", f"its header makes no sense: {type(error).__name__}") from None


def stated_size(source: str, mime_type: str, limits: "dict[str, int]") -> "tuple[int, int, int]":
    match mime_type:
        case "image/heic" | "image/heif":
            from pipeline.limited import heic

            return heic.size(source, limits)
        case "image/jxl":
            from pipeline.limited import jxl

            return jxl.size(source, limits)
        case _:
            from pipeline.limited import vips

            return vips.size(source, mime_type, limits)


def render(source: str, mime_type: str, limits: "dict[str, int]") -> "dict[str, object]":
    """Decode once, then scale each width from the one above it; files go to the working directory."""
    from pipeline.limited import renditions

    _, _, pages = size(source, mime_type, limits)
    made = renditions.stills(still(source, mime_type, limits))
    if pages > 1 and mime_type in recipe.ANIMATED_TYPES:
        made["files"] += renditions.animations(frames(source, mime_type, pages, limits))
    return made


def still(source: str, mime_type: str, limits: "dict[str, int]") -> "Any":
    """The whole picture, upright, in sRGB with or without alpha, 8 bit, at most MAX_WIDTH wide, in memory."""
    from pipeline.limited import vips

    match mime_type:
        case "image/heic" | "image/heif":
            from pipeline.limited import heic
            from pipeline.limited.heif_boxes import profile_of

            return vips.scaled(heic.pixels(source, limits), profile_of(source))
        case "image/jxl":
            from pipeline.limited import jxl

            return vips.scaled(jxl.pixels(source, limits))
        case _:
            return vips.still(source, mime_type)


def frames(source: str, mime_type: str, pages: int, limits: "dict[str, int]") -> "Any":
    """All `pages` beneath each other, as libvips keeps an animation, in memory."""
    if mime_type == "image/png":
        from pipeline.limited import apng

        return apng.frames(source, pages, limits)
    from pipeline.limited import vips

    return vips.frames(source, mime_type)
