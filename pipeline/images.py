"""Pictures: what one is, and its renditions for the web.

Everything that looks further than the first 512 bytes happens in a child process.
"""

from pathlib import Path

from pipeline import answers
from pipeline.facts import ImageFacts, ImageRenditions, UnsupportedFormatError
from pipeline.limits import ImageLimits
from pipeline.process import run_child
from pipeline.recipe import RECIPE
from pipeline.sniff import HEAD_BYTES, SUPPORTED_IMAGES, sniff

__all__ = ["RECIPE", "inspect_image", "render_image"]


async def inspect_image(source: Path, job_dir: Path, limits: ImageLimits) -> ImageFacts:
    """Read the header of the picture at `source`; nothing is decoded.

    `job_dir` is a private directory that exists; nothing is left in it.
    Raises UnsupportedFormatError, LimitExceededError (more pixels × pages, or pages, than `limits` allow),
    CorruptInputError, TimedOutError, ChildCrashedError; OSError when `source` can't be read or no process can
    be started.
    """
    mime_type = _sniffed(source)
    answer = await run_child("inspect", source, mime_type, job_dir, limits)
    return answers.image_facts(answer, mime_type, limits)


async def render_image(source: Path, job_dir: Path, limits: ImageLimits) -> ImageRenditions:
    """Make the renditions of RECIPE from the picture at `source`, as files in `job_dir`.

    Widths 320, 640, 1280 and 1920 below the picture's own, and min(its width, 1920) itself: nothing is ever
    enlarged. A picture so tall that its height would pass 16,383 pixels is scaled to that height; then what
    counts is the width that is left. All as WebP, the largest two as AVIF, the largest as JPEG on white.
    Upright, sRGB, 8 bit, without any metadata; of an animation the first frame. The narrowest WebP has the
    role THUMBNAIL, all others IMAGE. The same bytes may be rendered again into the same directory.

    `job_dir` is a private directory that exists; after an error it may hold some of the files.
    Raises what `inspect_image` raises; CorruptInputError also when only a part of the picture can be decoded
    (an animation that breaks off after its first frame is not noticed).
    """
    mime_type = _sniffed(source)
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
