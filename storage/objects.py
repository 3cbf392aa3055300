"""The contract every object store keeps, written as a specification.

A store maps keys to immutable bytes. `tests/contracts/` runs any backend through these sentences.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Disposition(StrEnum):
    INLINE = "inline"
    ATTACHMENT = "attachment"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPut:
    """One permitted upload: send exactly `headers` (the HTTP client adds Content-Length itself)."""

    url: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedGet:
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What the store itself knows of an object: never what a client claimed."""

    key: str
    byte_size: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedObject:
    """`sha256` is the lower-case hex digest of the bytes that were written to the path."""

    byte_size: int
    sha256: str


class ObjectStore(Protocol):
    def sign_put(
        self,
        key: str,
        *,
        content_type: str,
        byte_size: int,
        sha256: str | None,
        md5: str | None,
        expires_in: timedelta,
    ) -> SignedPut: ...

    def sign_get(
        self,
        key: str,
        *,
        disposition: Disposition,
        filename: str,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedGet: ...

    async def head(self, key: str) -> ObjectInfo | None: ...

    async def put_file(self, key: str, path: Path, *, content_type: str) -> ObjectInfo: ...

    async def fetch(self, key: str, path: Path) -> FetchedObject: ...

    async def delete(self, keys: Sequence[str]) -> None: ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]: ...

    async def check(self) -> None: ...
