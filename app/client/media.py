"""What the service says of media, as the commands need it."""

from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    UPLOADING = "UPLOADING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        return self in {Status.READY, Status.FAILED}


class Kind(StrEnum):
    IMAGE = "IMAGE"
    VIDEO = "VIDEO"
    AUDIO = "AUDIO"
    DOCUMENT = "DOCUMENT"
    OTHER = "OTHER"


class Visibility(StrEnum):
    PRIVATE = "PRIVATE"
    PUBLIC = "PUBLIC"


class Order(StrEnum):
    """Of a list, by the words of the command line."""

    NEWEST = "newest"
    OLDEST = "oldest"
    CHANGED = "changed"
    NAME = "name"
    LARGEST = "largest"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserError:
    """What the service says of something that the user can mend."""

    code: str
    message: str
    path: list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """Sizes in pixels and bytes; None where unknown."""

    name: str
    mime_type: str
    width: int | None
    height: int | None
    byte_size: int
    url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """`width` and `height` of the original, in pixels, once it is inspected."""

    status: Status
    failure: Failure | None
    width: int | None
    height: int | None
    renditions: tuple[Rendition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """`slug` is the form by which tags are compared; `media_count` is known in lists of tags only."""

    id: str
    name: str
    slug: str
    media_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedMedia:
    """One row of a list; the moments are RFC 3339 as the service wrote them."""

    id: str
    version: int
    kind: Kind
    status: Status
    visibility: Visibility
    filename: str
    title: str | None
    mime_type: str
    byte_size: int
    created_at: str
    updated_at: str
    tags: tuple[Tag, ...]
    failure: Failure | None
