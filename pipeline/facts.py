"""What the pipeline finds out and makes, and the ways in which it can fail."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.recipe import ANIMATED_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """Read from the header, nothing decoded: `width` and `height` in pixels as displayed (upright).

    `pages` are the frames of an animation, else the pages or pictures in the file, of which one is shown.
    """

    mime_type: str
    width: int
    height: int
    pages: int

    @property
    def animated(self) -> bool:
        return self.pages > 1 and self.mime_type in ANIMATED_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingFacts:
    """A vector drawing without anything active: it is handed out as a file, and has no renditions."""

    mime_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionFile:
    """One file that was made; `name` is unique within its recipe, `role` a value of `RenditionRole`."""

    name: str
    role: str
    mime_type: str
    width: int
    height: int
    byte_size: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRenditions:
    """`files` from the widest to the narrowest, the animated ones last; `thumbhash` is standard base64 of the
    ThumbHash bytes (evanw.github.io/thumbhash)."""

    files: tuple[RenditionFile, ...]
    thumbhash: str


class PipelineError(Exception):
    """The work on a file ended without a result.

    PipelineError
    ├── UnsupportedFormatError   the file's fault: final
    ├── CorruptInputError        the file's fault: final
    ├── LimitExceededError       the file's fault: final
    ├── TimedOutError            the file's fault, or the machine is overloaded
    └── ChildCrashedError        trying again may help

    The message is a sentence for the owner of the file; what the decoder printed is in the notes (PEP 678),
    for the log.
    """


class UnsupportedFormatError(PipelineError):
    """These bytes are of no format that is processed here."""


class CorruptInputError(PipelineError):
    """The bytes are damaged or not what their header says."""


class LimitExceededError(PipelineError):
    """The picture is larger than what is processed here."""


class TimedOutError(PipelineError):
    """The work took longer than its limit."""


class ChildCrashedError(PipelineError):
    """The working process ended without a usable answer; trying again may help."""
