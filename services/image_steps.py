"""The two steps of a picture: inspect proves the bytes and reads the header, renditions makes the files.

A step's work touches no database; what it found is recorded in the transaction that finishes it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlmodel.ext.asyncio.session import AsyncSession

from db.blobs import add_renditions
from db.models import Blob, FailureCode, Media, MediaKind, Rendition, RenditionRole, Upload
from pipeline.facts import DrawingFacts, ImageFacts, RenditionFile
from pipeline.images import inspect_image, render_image
from pipeline.limits import ImageLimits
from pipeline.recipe import DRAWING_TYPE, RECIPE
from services.keys import rendition_key
from services.parts import block_sha256s, part_size
from services.processing_steps import INSPECT, RENDITIONS
from services.step_failures import ClaimMismatch
from storage.objects import FetchedObject, ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInput:
    """What a step works on; `directory` is its own, private and removed afterwards.

    Larger files than `multipart_bytes` come in parts, so their parts' hashes are worth knowing. What was
    claimed of them stands on the upload.
    """

    media: Media
    upload: Upload
    blob: Blob
    store: ObjectStore
    directory: Path
    limits: ImageLimits
    multipart_bytes: int


class StepOutcome(Protocol):
    async def record(self, session: AsyncSession) -> dict[str, Any]:
        """Write what was made; the values that change on the media come back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """`fetched` is what the stored bytes were proved to be."""

    facts: ImageFacts | DrawingFacts
    fetched: FetchedObject

    async def record(self, session: AsyncSession) -> dict[str, Any]:
        return {
            "kind": MediaKind.IMAGE,
            "detected_mime_type": self.facts.mime_type,
            "sha256": self.fetched.sha256,
            "sha256_verified": True,
            "details": _details(self.facts),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    details: dict[str, Any] | None
    renditions: tuple[Rendition, ...]

    async def record(self, session: AsyncSession) -> dict[str, Any]:
        await add_renditions(session, self.renditions)
        return {"details": self.details}


async def inspect(step: StepInput) -> Inspected:
    """Prove that the stored bytes are what was announced, then read what they are from their header."""
    size, claimed = step.media.size, block_sha256s(step.upload)
    block_size = part_size(size) if size > step.multipart_bytes or claimed else None
    source, fetched = await _fetch(step, size=size, sha256=step.media.sha256, block_size=block_size)
    _check_blocks(fetched.block_sha256s, claimed)
    facts = await inspect_image(source, step.directory, step.limits)
    return Inspected(facts=facts, fetched=fetched)


async def render(step: StepInput) -> Rendered:
    """Make the renditions and store them under keys that a second attempt would write again alike.

    A drawing has none: it is never rendered, only handed out as an attachment.
    """
    if step.media.detected_mime_type == DRAWING_TYPE:
        return Rendered(details=None, renditions=())
    source, _ = await _fetch(step, size=step.media.size, sha256=step.blob.sha256)
    made = await render_image(source, step.directory, step.limits)
    renditions = tuple([await _store(step, file) for file in made.files])
    return Rendered(
        details={**(step.media.details or {}), "thumbhash": made.thumbhash}, renditions=renditions
    )


#: The work of each step of `IMAGE_DAG`.
WORK: dict[str, Callable[[StepInput], Awaitable[StepOutcome]]] = {INSPECT: inspect, RENDITIONS: render}


def _details(facts: ImageFacts | DrawingFacts) -> dict[str, Any] | None:
    if isinstance(facts, DrawingFacts):
        return None
    return {"width": facts.width, "height": facts.height, "animated": facts.animated, "thumbhash": None}


async def _fetch(
    step: StepInput, *, size: int, sha256: str | None, block_size: int | None = None
) -> tuple[Path, FetchedObject]:
    path = step.directory / "original"
    fetched = await step.store.fetch(step.blob.key, path, block_size=block_size)
    if fetched.byte_size != size:
        raise ClaimMismatch(
            FailureCode.SIZE_MISMATCH,
            f"The stored file has {fetched.byte_size:,} bytes, and {size:,} were announced.",
        )
    if sha256 is not None and fetched.sha256 != sha256:
        raise ClaimMismatch(
            FailureCode.CHECKSUM_MISMATCH,
            f"The stored file has the SHA-256 {fetched.sha256}, and {sha256} was announced.",
            expected=sha256,
            actual=fetched.sha256,
        )
    return path, fetched


def _check_blocks(stored: Sequence[str], claimed: Sequence[str]) -> None:
    """Not every store compares parts with their hashes, nor any a part that was copied."""
    for number, (found, announced) in enumerate(zip(stored, claimed, strict=bool(claimed)), 1):
        if found != announced:
            raise ClaimMismatch(
                FailureCode.CHECKSUM_MISMATCH,
                f"Block {number} of the stored file has the SHA-256 {found}, and {announced} was announced.",
                expected=announced,
                actual=found,
            )


async def _store(step: StepInput, file: RenditionFile) -> Rendition:
    key = rendition_key(step.blob.key, RECIPE, file.path.name)
    stored = await step.store.put_file(key, file.path, content_type=file.mime_type)
    return Rendition(
        blob_id=step.blob.id,
        recipe=RECIPE,
        name=file.name,
        role=RenditionRole(file.role),
        mime_type=file.mime_type,
        width=file.width,
        height=file.height,
        size=stored.byte_size,
        key=key,
    )
