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

**Multipart uploads** put one object together from parts, in any order and at once, over hours. An upload has
an id that is of use under its own key only. Parts are numbered from 1 to 10,000; sent again, a part replaces
the one before as a whole. All but the last are at least 5 MiB, as on S3; who completes sees to it that they
follow one another without a gap. What was received is what the store lists: nobody else counts. An object
becomes visible by completing, and only where nothing is stored under the key; parts of an upload that was
neither completed nor aborted are seen by nobody but `list_parts`, and are not collected by themselves.

**Errors** are those of `storage/errors.py`. `StorageUnavailableError` may come from every `async` method, and
from `sign_*` where a store's own credentials have run out and were not renewed (S3). It means: not known, try
again. It never stands for "missing". Bad arguments that only our own code can cause (a malformed hash, a
negative size) raise `ValueError`; what clients send is validated before, by services.

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
    """`sha256` is the lower-case hex digest of the bytes that were written to the path.

    `block_sha256s` are those of its blocks in order, the last one shorter, where a block size was given.
    """

    byte_size: int
    sha256: str
    block_sha256s: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """A part that the store holds. `etag` is opaque; `sha256` is lower-case hex, None where it keeps none."""

    number: int
    byte_size: int
    etag: str
    sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMultipart:
    """A multipart upload that was neither completed nor aborted."""

    key: str
    upload_id: str
    started_at: datetime


class MultipartRequest(StrEnum):
    """What a client may be allowed to do by itself with a multipart upload, besides sending its parts."""

    CREATE = "CREATE"
    LIST_PARTS = "LIST_PARTS"
    COMPLETE = "COMPLETE"
    ABORT = "ABORT"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """One permitted request of the S3 API: send exactly `headers`, and the body that the request wants."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * 1024**2
"""S3's own limits; the last part may be smaller."""


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
        stored already, finalize; 409 to those that another overtook on its way: a store may let a newer one
        end an older). What is refused leaves nothing behind.

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

    async def copy(
        self, source: str, key: str, *, content_type: str, if_etag: str | None = None
    ) -> ObjectInfo:
        """Store the bytes of the object `source` under `key` too, in place of what is there.

        The bytes do not leave the store. The copy is an object of its own: it lives on when `source` is
        deleted or replaced. Readers of `key` see the old bytes or the new, never a mixture; the copy is
        durable before this returns. Idempotent. `content_type` is kept by stores that keep types; those that
        don't tell the type of a public object by the ending of its key, so the two must agree.
        With `if_etag` it is what bore that tag that is copied, else `ObjectChangedError` is raised.
        Raises `ObjectMissingError`, `StorageFullError`, and `ValueError` for a malformed content type.
        """
        ...

    async def fetch(self, key: str, path: Path, *, block_size: int | None = None) -> FetchedObject:
        """Copy the object into the new private file `path` (mode 0600), hashing what is written.

        With `block_size` (bytes, at least 1 MiB) each block of that size is hashed by itself too.

        Never a link to the original: whatever is done to the file can't reach the store. Memory stays bounded
        whatever the size. `path` must not exist (`FileExistsError`, and the file there is left alone); its
        directory must. Local failures raise `OSError`, and a failed or cancelled fetch leaves no file.
        Raises `ObjectMissingError`.
        """
        ...

    async def read(self, key: str, *, offset: int, length: int) -> bytes:
        """Read `length` bytes (1 to 16 MiB) from `offset` on; fewer come where the object ends before.

        Raises `ObjectMissingError`, and `ValueError` for a range that can't be meant.
        """
        ...

    async def create_multipart(self, key: str, *, content_type: str, part_hashes: bool) -> str:
        """Begin a multipart upload to `key` and return its id.

        `part_hashes` tells that every part will be signed with its SHA-256: some stores have to know before.
        Proves nothing about the key: that it is taken is found out by completing. Every call begins another;
        a store may refuse more than ten open ones of one key (`TooManyMultipartsError`).
        Raises `StorageFullError`, and `ValueError` for a malformed content type.
        """
        ...

    def sign_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        *,
        byte_size: int,
        sha256: str | None,
        expires_in: timedelta,
    ) -> SignedPut:
        """Sign the sending of part `number` with exactly `byte_size` bytes, as often as it takes.

        The store refuses a body of another length or, when given, another `sha256` (lower-case hex), and
        every body once the upload was completed or aborted (HTTP 404). What is refused leaves the part as it
        was. Limits and errors as in `sign_put`, and `ValueError` for a number out of 1 to 10,000.
        """
        ...

    def sign_multipart_request(
        self,
        request: MultipartRequest,
        key: str,
        *,
        upload_id: str | None,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedRequest:
        """Sign one request of the S3 API for a client that speaks it, such as Uppy; the answer is S3's XML.

        `upload_id` is None for CREATE alone; `content_type` is CREATE's, and that of the object to come.
        COMPLETE is refused (412) where the key is taken. Limits and errors as in `sign_put`.
        """
        ...

    async def list_parts(self, key: str, upload_id: str) -> Sequence[StoredPart]:
        """Return what was received of the upload, by number.

        A part that was acknowledged to its client is there; one that is on its way is not.
        Raises `MultipartMissingError` where there is no such upload (any more).
        """
        ...

    async def check_multipart(self, key: str, upload_id: str) -> None:
        """Raise `MultipartMissingError` where there is no such upload (any more); many parts cost no more."""
        ...

    async def copy_part(
        self, key: str, upload_id: str, number: int, *, source: str, offset: int, length: int
    ) -> StoredPart:
        """Make bytes of the object `source` part `number`; they do not leave the store.

        Raises `ObjectMissingError` for the source, `MultipartMissingError`, `StorageFullError`, and
        `ValueError` for a range that does not lie within the source or a number out of 1 to 10,000.
        """
        ...

    async def complete_multipart(
        self, key: str, upload_id: str, parts: Sequence[StoredPart], *, content_type: str
    ) -> ObjectInfo:
        """Make the object of these parts, in the order of their numbers, and end the upload.

        `parts` are what `list_parts` told, at least one; a part that was replaced since raises
        `PartsChangedError`. Durable before it returns. The object is there afterwards, or nothing happened.
        Raises `ObjectExistsError` where the key is taken (the upload stays), `MultipartMissingError` where
        the upload has ended (perhaps by completing: HEAD tells), and `StorageFullError`.
        """
        ...

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """End the upload and forget its parts; one that has ended is fine (idempotent).

        A part that is being sent meanwhile may end after; it leaves nothing that is seen or kept.
        """
        ...

    def list_multiparts(self, prefix: str) -> AsyncIterator[OpenMultipart]:
        """Go through the open multipart uploads whose key begins with `prefix`, by key, as `list` does."""
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
