"""Where and how the service wants the bytes of an upload, if it wants them at all."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.client.errors import ServiceError
from app.client.files import ByteRange

#: What is asked of every upload.
TARGET = """target {
  __typename
  ... on SingleUploadTarget { method url headers { name value } }
  ... on MultipartUploadTarget { partSize partCount missing }
  ... on StoredUploadTarget { mediaId }
  ... on PossessionChallenge { nonce ranges { offset length } }
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where one request takes bytes: the address is a credential, so no `repr` shows it."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    #: On the monotonic clock: the service's own may differ from ours.
    received_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartTarget:
    """In parts of `part_size` bytes, numbered from 1; `missing` are those that the store does not have."""

    part_size: int
    part_count: int
    missing: Sequence[int]

    def check(self, byte_size: int) -> None:
        """Raises ServiceError unless the parts make up a file of `byte_size` bytes."""
        if (
            self.part_size < 1
            or self.part_count != -(-byte_size // self.part_size)
            or not all(1 <= number <= self.part_count for number in self.missing)
        ):
            raise ServiceError(
                f"The service asks for {self.part_count:,} parts of {self.part_size:,} bytes: a file of "
                f"{byte_size:,} bytes does not divide like that."
            )

    def missing_bytes(self, byte_size: int) -> int:
        """How much of a file of `byte_size` bytes is still to be sent."""
        return sum(self.range_of(number, byte_size).length for number in self.missing)

    def range_of(self, number: int, byte_size: int) -> ByteRange:
        offset = (number - 1) * self.part_size
        return ByteRange(offset, min(self.part_size, byte_size - offset))


@dataclass(frozen=True, slots=True)
class StoredTarget:
    """The bytes are stored already: there is nothing to send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A digest of these ranges, keyed with `nonce`, is taken instead of the bytes."""

    nonce: str = field(repr=False)
    ranges: Sequence[ByteRange]


AnyTarget = Target | MultipartTarget | StoredTarget | Challenge


def any_target(node: Mapping[str, Any] | None) -> AnyTarget | None:
    """None once the upload has ended. Raises ServiceError for a target that is newer than this program."""
    if node is None:
        return None
    match node["__typename"]:
        case "SingleUploadTarget":
            return signed_target(node)
        case "MultipartUploadTarget":
            return MultipartTarget(
                part_size=node["partSize"], part_count=node["partCount"], missing=node["missing"]
            )
        case "StoredUploadTarget":
            return StoredTarget()
        case "PossessionChallenge":
            ranges = [ByteRange(each["offset"], each["length"]) for each in node["ranges"]]
            return Challenge(nonce=node["nonce"], ranges=ranges)
    raise ServiceError("The service wants the bytes in a way that this program does not know: update it.")


def signed_target(node: Mapping[str, Any]) -> Target:
    return Target(
        method=node["method"],
        url=node["url"],
        headers={header["name"]: header["value"] for header in node["headers"]},
        received_at=time.monotonic(),
    )
