"""Pictures: what one is, and its renditions for the web.

Everything that looks further than the first 4 KiB happens in a child process.
"""

from pathlib import Path

from pipeline import answers
from pipeline.facts import DrawingFacts, ImageFacts, ImageRenditions, UnsupportedFormatError
from pipeline.limits import ImageLimits
from pipeline.process import run_child
from pipeline.recipe import DRAWING_TYPE, RECIPE
from pipeline.sniff import HEAD_BYTES, SUPPORTED_IMAGES, sniff

__all__ = ["RECIPE", "inspect_image", "render_image"]


async def inspect_image(source: Path, job_dir: Path, limits: ImageLimits) -> ImageFacts | DrawingFacts:
    """Read the header of the picture at `source`; nothing is decoded. An SVG is parsed to its end.

    `job_dir` is a private directory that exists; nothing is left in it.
    Raises UnsupportedFormatError (also for a camera's raw file, an animated JPEG XL, and an SVG with anything
    active or from elsewhere in it), LimitExceededError (more pixels, those of all frames together, or more
    pages than `limits` allow; text that swells), CorruptInputError, TimedOutError, ChildCrashedError; OSError
    when `source` can't be read or no process can be started.
    """
    mime_type = _sniffed(source)
    answer = await run_child("inspect", source, mime_type, job_dir, limits)
    if mime_type == DRAWING_TYPE:
        return answers.drawing_facts(answer, mime_type, limits)
    return answers.image_facts(answer, mime_type, limits)


async def render_image(source: Path, job_dir: Path, limits: ImageLimits) -> ImageRenditions:
    """Make the renditions of RECIPE from the picture at `source`, as files in `job_dir`.

    Widths 320, 640, 1280 and 1920 below the picture's own, and min(its width, 1920) itself: nothing is ever
    enlarged. A picture so tall that its height would pass 16,383 pixels is scaled to that height; then what
    counts is the width that is left. All as WebP, the largest two as AVIF, the largest as JPEG on white.
    Upright, sRGB, 8 bit, without any metadata. These show the first frame or page, or the primary picture.
    An animation (GIF, WebP, APNG) is also made as animated WebP, in widths of 320, 640 and 1280 by the same
    rule, with its delays and loop count.

    The narrowest still WebP has the role THUMBNAIL, all others IMAGE; beside an animation the other stills
    are POSTER. The same bytes may be rendered again into the same directory.

    `job_dir` is a private directory that exists; after an error it may hold some of the files.
    Raises what `inspect_image` raises; CorruptInputError also when only a part of the picture can be decoded.
    An SVG is never rendered: UnsupportedFormatError.
    """
    mime_type = _sniffed(source)
    if mime_type == DRAWING_TYPE:
        raise UnsupportedFormatError("An SVG drawing is stored as it is; no renditions are made of it.")
    answer = await run_child("render", source, mime_type, job_dir, limits)
    return answers.image_renditions(answer, mime_type, job_dir, limits)


def _sniffed(source: Path) -> str:
    with source.open("rb") as file:
        sniffed = sniff(file.read(HEAD_BYTES))
    if not sniffed.supported:
        *others, last = SUPPORTED_IMAGES.values()
        raise UnsupportedFormatError(
            f"This is {sniffed.description}; what is processed here is {', '.join(others)} and {last}."
        )
    return sniffed.mime_type
