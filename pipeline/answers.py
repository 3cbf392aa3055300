"""Reads what the child process answered.

It was in contact with untrusted bytes: only what this recipe can make is taken from it, and of files only
what the file system says itself.
"""

import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG

from pipeline.facts import (
    ChildCrashedError,
    CorruptInputError,
    DrawingFacts,
    ImageFacts,
    ImageRenditions,
    LimitExceededError,
    PipelineError,
    RenditionFile,
    UnsupportedFormatError,
)
from pipeline.limits import ImageLimits
from pipeline.process import out_of_memory
from pipeline.recipe import ANIMATION, FORMATS, MAX_SIDE, MAX_WIDTH, file_name
from pipeline.sniff import SUPPORTED_IMAGES

_NAME = re.compile(r"(webp|avif|jpeg|animation)-([1-9][0-9]{0,4})")
_MAX_FILES = 16
_MAX_REASON_CHARACTERS = 200
#: Fewest and most, with room: real ones have 13 to 26.
_THUMBHASH_BYTES = (5, 32)


def image_facts(answer: dict[str, object], mime_type: str, limits: ImageLimits) -> ImageFacts:
    """Facts within `limits`, or the error that the child reports; else ChildCrashedError."""
    result = _result(answer, mime_type, limits)
    facts = ImageFacts(
        mime_type=mime_type,
        width=_integer(result, "width", limits.max_pixels),
        height=_integer(result, "height", limits.max_pixels),
        pages=_integer(result, "pages", limits.max_pages),
    )
    decoded = facts.pages if facts.animated else 1
    if facts.width * facts.height * decoded > limits.max_pixels:
        raise _nonsense("size")
    return facts


def drawing_facts(answer: dict[str, object], mime_type: str, limits: ImageLimits) -> DrawingFacts:
    """That it is a harmless drawing, or the error that the child reports; else ChildCrashedError."""
    if _result(answer, mime_type, limits):
        raise _nonsense("result")
    return DrawingFacts(mime_type=mime_type)


def image_renditions(
    answer: dict[str, object], mime_type: str, job_dir: Path, limits: ImageLimits
) -> ImageRenditions:
    """Files that exist in `job_dir`, or the error that the child reports; else ChildCrashedError."""
    result = _result(answer, mime_type, limits)
    entries = result.get("files")
    if not isinstance(entries, list) or len(entries) > _MAX_FILES:
        raise _nonsense("files")
    files = [_rendition(entry, job_dir) for entry in entries]
    if len({file.name for file in files}) != len(files):
        raise _nonsense("files")
    return ImageRenditions(files=_with_roles(files), thumbhash=_thumbhash(result.get("thumbhash")))


def _result(answer: dict[str, object], mime_type: str, limits: ImageLimits) -> dict[str, object]:
    if "refusal" in answer:
        raise _refused(answer["refusal"], _clean(answer.get("reason")), mime_type, limits)
    result = answer.get("result")
    if not isinstance(result, dict):
        raise _nonsense("result")
    return result


def _refused(kind: object, reason: str, mime_type: str, limits: ImageLimits) -> PipelineError:
    match kind:
        case "corrupt":
            return CorruptInputError(f"The {SUPPORTED_IMAGES[mime_type]} data is damaged ({reason}).")
        case "unsupported":
            return UnsupportedFormatError(reason)
        case "limit":
            return LimitExceededError(f"The picture is too large. {reason}")
        case "memory":
            return out_of_memory(limits)
        case "trouble":
            return ChildCrashedError(f"The work failed for a reason outside the picture ({reason}).")
        case _:
            return _nonsense("refusal")


def _clean(reason: object) -> str:
    """The child's words came in contact with the file's bytes: keep them short and printable."""
    text = reason if isinstance(reason, str) else "no reason given"
    return "".join(letter if letter.isprintable() else " " for letter in text[:_MAX_REASON_CHARACTERS])


def _rendition(entry: object, job_dir: Path) -> RenditionFile:
    """Name and file must be what this recipe makes; the size is what the file system says."""
    name = entry.get("name") if isinstance(entry, dict) else None
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if not isinstance(entry, dict) or match is None:
        raise _nonsense("file")
    width = _integer(entry, "width", MAX_WIDTH)
    if width != int(match[2]):
        raise _nonsense("width")
    path = job_dir / file_name(match[0])
    return RenditionFile(
        name=match[0],
        role="IMAGE",
        mime_type=FORMATS[match[1]][1],
        width=width,
        height=_integer(entry, "height", MAX_SIDE),
        byte_size=_byte_size(path),
        path=path,
    )


def _byte_size(path: Path) -> int:
    try:
        status = path.lstat()
    except OSError:
        raise _nonsense(path.name) from None
    if not S_ISREG(status.st_mode) or status.st_size == 0:
        raise _nonsense(path.name)
    return status.st_size


def _with_roles(files: list[RenditionFile]) -> tuple[RenditionFile, ...]:
    """The narrowest still WebP is the THUMBNAIL; beside an animation the other stills are its POSTER."""
    moving = {file.name for file in files if file.name.startswith(f"{ANIMATION}-")}
    stills = [file for file in files if file.name not in moving]
    webps = [file for file in stills if file.mime_type == "image/webp"]
    if not webps:
        raise _nonsense("files")
    smallest = min(webps, key=lambda file: file.width)
    roles = dict.fromkeys((file.name for file in stills), "POSTER") if moving else {}
    roles[smallest.name] = "THUMBNAIL"
    return tuple(replace(file, role=roles.get(file.name, "IMAGE")) for file in files)


def _thumbhash(value: object) -> str:
    if not isinstance(value, str):
        raise _nonsense("thumbhash")
    try:
        byte_size = len(b64decode(value, validate=True))
    except ValueError:
        raise _nonsense("thumbhash") from None
    if not _THUMBHASH_BYTES[0] <= byte_size <= _THUMBHASH_BYTES[1]:
        raise _nonsense("thumbhash")
    return value


def _integer(values: dict[str, object], name: str, maximum: int) -> int:
    value = values.get(name)
    if type(value) is not int or not 1 <= value <= maximum:
        raise _nonsense(name)
    return value


def _nonsense(what: str) -> ChildCrashedError:
    return ChildCrashedError(f"The working process gave an answer that makes no sense ({what}).")
