"""The contract every object store keeps, written as a specification.

A store maps keys to immutable bytes. `tests/contracts/` runs any backend through these sentences.

**Keys** are made by the server: 1 to 512 characters of `[a-z0-9._/-]`, segments of 1 to 255 characters
between single slashes, none beginning with a dot (`storage/keys.py`). Every method checks its keys and
raises `InvalidKeyError`. No key may be the beginning of another up to a slash (`a` beside `a/b`): a store
that can't hold both raises `InvalidKeyError` for the later one.

**Public objects** lie beneath `public/` and are read by everybody, unsigned, at their `public_url`. What is
there, the server has copied there: neither `public` nor a key beneath it is ever signed (`InvalidKeyError`).

**Visibility**: an object is there as a whole or not at all, under every crash; whoever sees it sees all its
bytes. What a method reported as done survives the death of the process, and of the machine as far as its
disks keep what they acknowledge.

**Errors** are those of `storage/errors.py`. `StorageUnavailableError` may come from every `async` method and
means: not known, try again. It never stands for "missing". Bad arguments that only our own code can cause
(a malformed hash, a negative size) raise `ValueError`; what clients send is validated before, by services.

**Cancellation** of an `async` method leaves nothing half-done and no work running behind the caller's back.
A store may be used from many tasks at once, and by many processes on the same data.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Disposition(StrEnum):
    """How a browser is told to treat what it gets: show it, or only save it."""

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
    """One permitted download, with the GET method only; HEAD and everything else is refused."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What the store itself knows of an object: never what a client claimed.

    `etag` is opaque and stands without quotes; equal tags of one key mean equal bytes, nothing else may be
    read from it (it is no MD5). `modified_at` is in UTC, the moment the bytes were written.
    """

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
    """A place for immutable bytes under keys; see the module for what holds of every method."""

    def sign_put(
        self,
        key: str,
        *,
        content_type: str,
        byte_size: int,
        sha256: str | None,
        md5: str | None,
        expires_in: timedelta,
    ) -> SignedPut:
        """Sign one upload of exactly `byte_size` bytes (0 or more) to `key`.

        The store itself refuses a body of another length or `Content-Type`, one whose hash differs from
        `sha256` or `md5` (lower-case hex, checked when given), and every body once the key is taken: an
        address never overwrites, so of several uploads to one key exactly one wins (HTTP 412 to the others:
        stored already, finalize). What is refused leaves nothing behind.

        The address is a bearer credential until `expires_in` passes (more than 0, at most 7 days, rounded up
        to a whole second); an upload that began before may end after. Signing touches neither network nor
        disk and proves nothing about room or key. The caller validates what a client claimed; raises
        `InvalidKeyError`, and `ValueError` for a malformed content type, size, hash or lifetime.
        """
        ...

    def sign_get(
        self,
        key: str,
        *,
        disposition: Disposition,
        filename: str,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedGet:
        """Sign a download of `key` that answers with `content_type` and is saved as `filename`.

        The type comes from the address, not from the upload: the caller passes only what it verified, and
        INLINE only for bytes it made itself. `filename` may be any text of at most 1,024 characters; it can't
        break out of its header. Ranges and conditional requests are served.

        The address lives at most `expires_in` (limits as in `sign_put`). A store may end it up to a fifth, at
        most a minute, earlier, so that calls close together give one address and browsers can keep
        what they downloaded; `expires_at` is exact. A missing object is found out by the GET (404). Signing
        touches neither network nor disk. Raises `InvalidKeyError`, and `ValueError` for a malformed content
        type, filename or lifetime.
        """
        ...

    def public_url(self, key: str) -> str:
        """Return the address at which everybody may GET and HEAD `key`, now and for as long as it is stored.

        The answer carries `Cache-Control: public, max-age=86400, immutable`, so a copy in some cache may
        outlive the object by a day; the type that `copy` was given; and serves ranges and conditional
        requests. A missing object is 404. Touches neither network nor disk. Raises `InvalidKeyError` for a
        key that does not lie beneath `public/`.
        """
        ...

    async def head(self, key: str) -> ObjectInfo | None:
        """Say what is stored under `key`, or None; the answer is true of some moment during the call.

        An upload in progress is not stored yet; one that was acknowledged to its client is.
        """
        ...

    async def put_file(self, key: str, path: Path, *, content_type: str) -> ObjectInfo:
        """Store a copy of the local file `path`, in place of what is there: the server's own write.

        Readers see the old bytes or the new, never a mixture; the copy is durable before this returns. The
        source is read, never linked or moved; a symlink or anything but a regular file raises `OSError`, as
        does a file that can't be read. The caller answers for it that nobody writes to it meanwhile.
        Idempotent. `content_type` is kept by stores that keep types; `sign_get` overrides it.
        Raises `StorageFullError`, and `ValueError` for a malformed content type.
        """
        ...

    async def copy(self, source: str, key: str, *, content_type: str) -> ObjectInfo:
        """Store the bytes of the object `source` under `key` too, in place of what is there.

        The bytes do not leave the store. The copy is an object of its own: it lives on when `source` is
        deleted or replaced. Readers of `key` see the old bytes or the new, never a mixture; the copy is
        durable before this returns. Idempotent. `content_type` is kept by stores that keep types; those that
        don't tell the type of a public object by the ending of its key, so the two must agree.
        Raises `ObjectMissingError`, `StorageFullError`, and `ValueError` for a malformed content type.
        """
        ...

    async def fetch(self, key: str, path: Path) -> FetchedObject:
        """Copy the object into the new private file `path` (mode 0600), hashing what is written.

        Never a link to the original: whatever is done to the file can't reach the store. Memory stays bounded
        whatever the size. `path` must not exist (`FileExistsError`, and the file there is left alone); its
        directory must. Local failures raise `OSError`, and a failed or cancelled fetch leaves no file.
        Raises `ObjectMissingError`.
        """
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete the objects of all `keys`, any number; keys without an object are fine (idempotent).

        All keys are checked before the first is deleted. When it raises, some may be deleted: call it again.
        Readers that have opened an object may read it to its end. Signed uploads to the key work again.
        """
        ...

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Go through the objects whose key begins with `prefix` (any beginning, or empty), in key order.

        Key order is that of the keys' bytes. Objects that are there throughout come exactly once; those
        stored or deleted meanwhile may come or not. May be left at any point.
        Raises `InvalidKeyError` at the first step when no key could begin so.
        """
        ...

    async def check(self) -> None:
        """Prove, cheaply enough for a readiness probe every second, that the store can be written and read.

        Raises `StorageFullError` or `StorageUnavailableError`; leaves nothing behind.
        """
        ...
