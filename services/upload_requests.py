"""What a client claims of a file it wants to send, and the check of every field of it."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any
from uuid import UUID

import orjson

from db.models import Visibility, new_id
from services import validation
from services.errors import FileTooLarge, InvalidInput, Refusal, Rejected, UnsupportedType, collecting
from services.formats import ACCEPTED
from services.parts import part_count, part_size

_IS_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The SHA-256 in hex of each block of `size` bytes of a file, the last one shorter."""

    size: int
    sha256s: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """Claims, as they came. `size` in bytes, digests in hex, tags by name."""

    filename: str
    mime_type: str
    size: int
    sha256: str | None = None
    md5: str | None = None
    title: str | None = None
    description: str | None = None
    tags: Sequence[str] = ()
    metadata: object = None
    visibility: Visibility = Visibility.PRIVATE
    blocks: Blocks | None = None
    #: The client's own name for this request, under which it may send it again.
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CleanUploadRequest:
    """Claims in the form in which they are kept; `tags` are names by slug. Each is equal to itself only.

    A claim that may be left out has a default, and that for ever: see `digest`.
    """

    filename: str
    mime_type: str
    size: int
    sha256: str | None = None
    md5: str | None = None
    title: str | None = None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    visibility: Visibility = Visibility.PRIVATE
    #: One for each part, in lower-case hex.
    blocks: tuple[str, ...] | None = None
    idempotency_key: str | None = None
    #: Of the media that this request makes, if it makes one.
    media_id: UUID = field(default_factory=new_id)

    @property
    def block_digests(self) -> bytes | None:
        return None if self.blocks is None else bytes.fromhex("".join(self.blocks))

    @property
    def digest(self) -> bytes:
        """Of all claims: requests that have the same are the same request.

        What is left out is not in it: so a version that knows one claim more has the same digest for the
        requests of the last one, whose clients may still send them again.
        """
        claims = {
            each.name: value
            for each in fields(self)
            if each.name != "media_id" and (value := getattr(self, each.name)) != _default(each)
        }
        return hashlib.sha256(orjson.dumps(claims, option=orjson.OPT_SORT_KEYS)).digest()


def _default(claim: Field[Any]) -> object:
    return claim.default if claim.default_factory is MISSING else claim.default_factory()


def clean_request(request: UploadRequest, *, max_bytes: int) -> CleanUploadRequest:
    """Raises Rejected with every field that is wrong, so that a form can show them all."""
    refusals: list[Refusal] = []
    with collecting(refusals):
        filename = validation.clean_filename(request.filename)
    with collecting(refusals):
        mime_type = _clean_accepted_type(request.mime_type)
    with collecting(refusals):
        _check_size(request.size, max_bytes)
    with collecting(refusals):
        sha256 = validation.clean_digest(request.sha256, "sha256", hex_characters=64)
    with collecting(refusals):
        md5 = validation.clean_digest(request.md5, "md5", hex_characters=32)
    with collecting(refusals):
        title = validation.clean_title(request.title)
    with collecting(refusals):
        description = validation.clean_description(request.description)
    with collecting(refusals):
        tags = validation.clean_tags(request.tags)
    with collecting(refusals):
        metadata = validation.clean_metadata(request.metadata)
    with collecting(refusals):
        blocks = _clean_blocks(request.blocks, request.size)
    with collecting(refusals):
        idempotency_key = validation.clean_idempotency_key(request.idempotency_key)
    if refusals:
        raise Rejected(refusals)
    return CleanUploadRequest(
        filename=filename,
        mime_type=mime_type,
        size=request.size,
        sha256=sha256,
        md5=md5,
        title=title,
        description=description,
        tags=tags,
        metadata=metadata,
        visibility=request.visibility,
        blocks=blocks,
        idempotency_key=idempotency_key,
    )


def _clean_accepted_type(value: str) -> str:
    mime_type = validation.clean_mime_type(value)
    if mime_type not in ACCEPTED:
        raise UnsupportedType(
            f"mimeType {mime_type} is not accepted: send one of {', '.join(sorted(ACCEPTED))}.", "mimeType"
        )
    return mime_type


def _clean_blocks(blocks: Blocks | None, size: int) -> tuple[str, ...] | None:
    if blocks is None or size < 1:
        return None
    length, count = part_size(size), part_count(size)
    if blocks.size != length:
        raise InvalidInput(
            f"blocks.size must be {length:,} bytes, the part size of this file, not {blocks.size:,}.",
            "blocks",
            "size",
        )
    if len(blocks.sha256s) != count:
        raise InvalidInput(
            f"blocks.sha256s must be {count:,}, one for each block, not {len(blocks.sha256s):,}.",
            "blocks",
            "sha256s",
        )
    return tuple([_clean_block(digest) for digest in blocks.sha256s])


def _clean_block(digest: str) -> str:
    if not _IS_SHA256.fullmatch(digest):
        raise InvalidInput("blocks.sha256s must be SHA-256 digests of 64 hex digits.", "blocks", "sha256s")
    return digest.lower()


def _check_size(size: int, max_bytes: int) -> None:
    if size < 1:
        raise InvalidInput(f"size must be at least 1 byte, not {size:,}.", "size")
    if size > max_bytes:
        raise FileTooLarge(f"size must be at most {max_bytes:,} bytes, not {size:,}.", "size")
