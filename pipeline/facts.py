"""What the pipeline finds out and makes, and the ways in which it can fail."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """Read from the header, nothing decoded: `width` and `height` in pixels as displayed (orientation applied)."""

    mime_type: str
    width: int
    height: int
    pages: int

    @property
    def animated(self) -> bool:
        return self.pages > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionFile:
    """One file that was made; `name` is unique within its recipe."""

    name: str
    role: str
    mime_type: str
    width: int
    height: int
    byte_size: int
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRenditions:
    """`thumbhash` is standard base64 of the ThumbHash bytes (evanw.github.io/thumbhash)."""

    files: tuple[RenditionFile, ...]
    thumbhash: str


class PipelineError(Exception):
    """The work on a file ended without a result."""


class UnsupportedFormatError(PipelineError):
    """These bytes are of no format that is processed here."""


class CorruptInputError(PipelineError):
    """The bytes are damaged or not what their header says."""


class LimitExceededError(PipelineError):
    """The picture is larger than what is processed here."""


class TimedOutError(PipelineError):
    """The work took longer than its limit."""


class ChildCrashedError(PipelineError):
    """The working process ended without an answer; trying again may help."""
