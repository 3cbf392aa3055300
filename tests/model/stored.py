"""The service whose stored bytes are looked after: real tables, real objects, real addresses, no decoder.

A loop of its own, in turns with the test. The decoder is left out, for what a picture looks like is not the
question; everything that reads or writes an object is what it is in production.
"""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

import httpx
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import NoResultFound
from sqlmodel import col, select

from app.asgi import create_app
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from db.models import (
    Blob,
    Media,
    MediaStatus,
    ProcessingStep,
    Publication,
    Rendition,
    Role,
    StepStatus,
    Upload,
    UploadStatus,
    User,
    Visibility,
    new_id,
)
from pipeline.facts import CorruptInputError, ImageFacts, ImageRenditions, RenditionFile
from services import image_steps, possession
from services.dedup import Dedup
from services.errors import QuotaExceeded, Refusal, Rejected, StorageUnavailable
from services.keys import public_key, renditions_prefix, staging_key
from services.parts import missing_parts, part_length, part_size
from services.reconciliation import Difference, Reconciliation
from services.repeated_requests import RequestedUpload
from services.upload_requests import Blocks, UploadRequest
from services.uploads import PartsTarget
from storage.objects import MIN_PART_BYTES, SignedPut
from tests.working import collect, run_steps, settle_publications

Result = TypeVar("Result")

#: Everything that an example made, and nothing of the schema's own.
FORGET = """TRUNCATE users, media, blobs, tags, idempotency_keys, publications, deletion_outbox,
    possession_challenges, media_events, pgqueuer CASCADE"""

_PIECE_BYTES = 16 * 1024**2

#: What no decoder understands begins so.
BROKEN = b"broken"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blocks_of(data: bytes) -> list[bytes]:
    """As parts are cut."""
    length = part_size(len(data))
    return [data[at : at + length] for at in range(0, len(data), length)]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A media as it stands, and what its bytes are where it has some."""

    media: Media
    upload: Upload
    blob_owner: UUID
    content: bytes | None
    lacks: list[str]


async def _inspect(source: Path, *_: object) -> ImageFacts:
    with source.open("rb") as file:
        if file.read(len(BROKEN)) == BROKEN:
            raise CorruptInputError("The picture is damaged.")
    return ImageFacts(mime_type="image/jpeg", width=1, height=1, pages=1)


async def _render(source: Path, job_dir: Path, *_: object) -> ImageRenditions:
    path = job_dir / "webp-1.webp"
    path.write_bytes(b"rendition")
    file = RenditionFile(
        name="webp-1", role="IMAGE", mime_type="image/webp", width=1, height=1, byte_size=9, path=path
    )
    return ImageRenditions(files=(file,), thumbhash="aaaa")


class StoredBytes:
    def __init__(self, runner: asyncio.Runner, runtime: Runtime) -> None:
        self._runner = runner
        self.runtime = runtime
        self._services = runtime.services
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=create_app(runtime)), base_url=runtime.settings.origin
        )
        self._contents: dict[str, bytes] = {}

    def run(self, main: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(main)

    def close(self) -> None:
        self.run(self._http.aclose())

    async def begin(self, dedup: Dedup, *, quota: int | None = None) -> list[User]:
        """Forget everything; two owners, each of this quota in bytes, in a service of this setting."""
        async with self.runtime.engine.begin() as connection:
            await connection.execute(text(FORGET))
        store = self.runtime.store
        async for each in store.list_multiparts(""):
            await store.abort_multipart(each.key, each.upload_id)
        await store.delete([entry.key async for entry in store.list("")])
        self._contents.clear()
        for service in (self._services.uploads.known_bytes, self._services.possession):
            object.__setattr__(service, "dedup", dedup)
        users = [User(username=f"user-{new_id()}", role=Role.EDITOR, quota_bytes=quota) for _ in range(2)]
        async with self.runtime.sessions.begin() as session:
            session.add_all(users)
        return users

    async def request(
        self, owner: User, data: bytes, *, claimed: str | None, with_blocks: bool, public: bool = False
    ) -> RequestedUpload | None:
        """None where the quota does not allow it."""
        blocks = [sha256(block) for block in blocks_of(data)]
        asked = UploadRequest(
            filename="a.jpg",
            mime_type="image/jpeg",
            size=len(data),
            sha256=claimed,
            visibility=Visibility.PUBLIC if public else Visibility.PRIVATE,
            blocks=Blocks(size=part_size(len(data)), sha256s=blocks) if with_blocks else None,
        )
        [answer] = await self._services.uploads.request(owner, [asked])
        if isinstance(answer, Rejected):
            [refusal] = answer.refusals
            assert isinstance(refusal, QuotaExceeded)
            return None
        return answer

    async def send(self, owner: User, upload_id: UUID, data: bytes, *, at_most: int) -> list[bytes]:
        """Send what is still to be sent; the blocks that the store has taken."""
        media, upload = await self._rows(upload_id)
        target = self._services.uploads.target(media, upload)
        if isinstance(target, SignedPut):
            return [data] if await self._put(target, data) else []
        if not isinstance(target, PartsTarget):
            return []
        missing = (await self._missing(media, upload))[:at_most]
        if not missing:
            return []
        taken = []
        for part in await self._services.parts.sign(owner, upload_id, missing):
            start = (part.number - 1) * part_size(len(data))
            body = data[start : start + part_length(len(data), part.number)]
            if await self._put(part.put, body):
                taken.append(body)
        return taken

    async def _missing(self, media: Media, upload: Upload) -> list[int]:
        [listing] = await self._services.part_listings.of([upload])
        if isinstance(listing, StorageUnavailable):
            raise listing
        return [] if listing.is_whole else missing_parts(media, upload, listing.parts)

    async def send_meanwhile(self, owner: User, upload_id: UUID, data: bytes) -> list[bytes]:
        """As `send`, while anything else may happen to the upload."""
        try:
            return await self.send(owner, upload_id, data, at_most=100)
        except (Refusal, NoResultFound):
            return []

    async def sign(self, owner: User, upload_id: UUID, data: bytes) -> list[tuple[SignedPut, bytes]]:
        """Addresses for all that is still to be sent, to be used whenever, each with its bytes."""
        media, upload = await self._rows(upload_id)
        target = self._services.uploads.target(media, upload)
        if isinstance(target, SignedPut):
            return [(target, data)]
        if not isinstance(target, PartsTarget):
            return []
        missing = await self._missing(media, upload)
        if not missing:
            return []
        length = part_size(len(data))
        return [
            (part.put, data[(part.number - 1) * length : part.number * length])
            for part in await self._services.parts.sign(owner, upload_id, missing)
        ]

    async def send_late(self, target: SignedPut, body: bytes) -> bool:
        """Use an address that was signed long ago; whether the store has taken the bytes."""
        return await self._put(target, body)

    async def _put(self, target: SignedPut, body: bytes) -> bool:
        answer = await self._http.put(target.url, content=body, headers=target.headers)
        assert answer.status_code in {200, 400, 404, 412}, answer.text
        return answer.status_code == 200

    async def finalize(self, owner: User, upload_id: UUID) -> str:
        """The code of the refusal, or nothing."""
        return await _code(self._services.finalizing.finalize(owner, upload_id))

    async def abort(self, owner: User, upload_id: UUID) -> str:
        return await _code(self._services.upload_endings.abort(owner, upload_id))

    async def prove(self, owner: User, upload_id: UUID, data: bytes) -> str:
        """Answer the challenge of the upload, if there is one, for somebody who holds `data`."""
        [asked] = await self._services.possession.challenges([await self._rows(upload_id)])
        if asked is None:
            return "NOT_ASKED"
        ranges = b"".join(data[offset : offset + length] for offset, length in asked.ranges)
        digest = hmac.new(asked.nonce.encode(), ranges, hashlib.sha256).hexdigest()
        return await _code(self._services.possession.answer(owner, upload_id, digest))

    async def prove_meanwhile(self, owner: User, upload_id: UUID, data: bytes) -> str:
        """As `prove`, while anything else may happen to the upload."""
        try:
            return await self.prove(owner, upload_id, data)
        except NoResultFound:
            return "NOT_FOUND"

    async def delete(self, owner: User, media_id: UUID) -> str:
        return await _code(self._services.library.delete(owner, media_id))

    async def expire(self) -> None:
        async with self.runtime.engine.begin() as connection:
            await connection.execute(text("UPDATE uploads SET expires_at = now() - interval '1 second'"))
        await self._services.upload_endings.expire()

    async def process(self, *, one: bool) -> None:
        with (
            patch.object(image_steps, "inspect_image", _inspect),
            patch.object(image_steps, "render_image", _render),
        ):
            if not one:
                await run_steps(self.runtime)
                return
            due = select(ProcessingStep).where(col(ProcessingStep.status) == StepStatus.QUEUED).limit(1)
            async with self.runtime.sessions() as session:
                step = (await session.exec(due)).one_or_none()
            if step is not None:
                await self._services.processing.run_step(
                    step.id, expected_attempt=step.attempt, job_id=step.job_id or 0
                )

    async def collect(self) -> None:
        await collect(self.runtime)

    async def reconcile(self) -> int:
        """Delete what no row knows, however young; how much it was. Nothing else may differ."""
        reconciliation = Reconciliation(
            sessions=self.runtime.sessions, store=self.runtime.store, grace=timedelta()
        )
        report = await reconciliation.run(apply=True)
        assert not any(report.found[each].count for each in Difference if not each.startswith("orphan"))
        return sum(tally.mended for tally in report.found.values())

    async def publish(self) -> tuple[set[str], set[str]]:
        """Settle what is to be public; which copies are there then, and which should."""
        await settle_publications(self.runtime)
        wanted = (
            select(Publication.prefix, Rendition.key)
            .join(Media, col(Media.id) == col(Publication.media_id))
            .join(Rendition, col(Rendition.blob_id) == col(Media.blob_id))
            .where(col(Media.visibility) == Visibility.PUBLIC, col(Media.status) == MediaStatus.READY)
        )
        async with self.runtime.sessions() as session:
            expected = {public_key(prefix, key) for prefix, key in (await session.exec(wanted)).all()}
        return {entry.key async for entry in self.runtime.store.list("public/")}, expected

    async def state(self) -> list[Stored]:
        """Every media; `lacks` are the keys of what it shows that the store has not."""
        async with self.runtime.sessions() as session:
            rows = (
                await session.exec(
                    select(Media, Upload, Blob)
                    .join(Upload, col(Upload.media_id) == col(Media.id))
                    .join(Blob, col(Blob.id) == col(Media.blob_id))
                )
            ).all()
            renditions = (await session.exec(select(Rendition))).all()
        found = []
        for media, upload, blob in rows:
            shows = upload.status is UploadStatus.COMPLETED and media.held_bytes > 0
            keys = [blob.key] if shows else []
            if media.status == "READY":
                keys += [each.key for each in renditions if each.blob_id == blob.id]
                assert len(keys) > 1, "what is READY has renditions"
            lacks = [key for key in keys if await self.runtime.store.head(key) is None]
            content = await self._content(blob.key) if shows and not lacks else None
            found.append(
                Stored(
                    media=media,
                    upload=upload,
                    blob_owner=blob.owner_id,
                    content=content,
                    lacks=lacks,
                )
            )
        return found

    async def _content(self, key: str) -> bytes:
        """Read once: objects don't change."""
        if key not in self._contents:
            content = b""
            while piece := await self.runtime.store.read(key, offset=len(content), length=_PIECE_BYTES):
                content += piece
            self._contents[key] = content
        return self._contents[key]

    async def unreferenced(self) -> list[str]:
        """Objects and open multipart uploads that belong to nothing that needs them."""
        needed = select(Blob).where(
            select(Media.id).where(col(Media.blob_id) == col(Blob.id), col(Media.held_bytes) > 0).exists()
        )
        async with self.runtime.sessions() as session:
            blobs = (await session.exec(needed)).all()
            pending = select(Upload.key).where(col(Upload.status) == UploadStatus.PENDING)
            sent_to = set((await session.exec(pending)).all())
        keys = {blob.key for blob in blobs} | {staging_key(blob.key) for blob in blobs}
        prefixes = tuple(renditions_prefix(blob.key) for blob in blobs)
        store = self.runtime.store
        objects = [entry.key async for entry in store.list("") if not entry.key.startswith("public/")]
        return [key for key in objects if key not in keys and not key.startswith(prefixes)] + [
            each.key async for each in store.list_multiparts("") if each.key not in sent_to
        ]

    async def used_bytes(self) -> dict[UUID, tuple[int, int]]:
        """By user: what is written down, and what their media hold."""
        statement = text("""
            SELECT users.id, used_bytes, coalesce(sum(held_bytes), 0) FROM users
            LEFT JOIN media ON media.owner_id = users.id GROUP BY users.id""")
        async with self.runtime.engine.connect() as connection:
            return {id: (used, int(held)) for id, used, held in await connection.execute(statement)}

    async def _rows(self, upload_id: UUID) -> tuple[Media, Upload]:
        async with self.runtime.sessions() as session:
            upload = await session.get_one(Upload, upload_id)
            return await session.get_one(Media, upload.media_id), upload


async def _code(work: Coroutine[Any, Any, object]) -> str:
    try:
        await work
    except Refusal as refusal:
        return refusal.code
    return ""


@asynccontextmanager
async def _running(database_url: str, data_dir: Path) -> AsyncIterator[Runtime]:
    settings = Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        data_dir=data_dir,
        multipart_bytes=MIN_PART_BYTES,
    )
    async with open_runtime(settings) as runtime:
        yield runtime


class RunningStored:
    """`with RunningStored(url, directory) as stored`: in a test that is not a coroutine."""

    def __init__(self, database_url: str, data_dir: Path) -> None:
        self._opening = _running(database_url, data_dir)
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def __enter__(self) -> StoredBytes:
        # Small enough for the files of the test to be asked about.
        self._stack.enter_context(patch.object(possession, "MIN_CHALLENGED_BYTES", MIN_PART_BYTES))
        runtime = self._runner.run(self._stack.enter_async_context(self._opening))
        self._stored = StoredBytes(self._runner, runtime)
        return self._stored

    def __exit__(self, *_: object) -> None:
        self._stored.close()
        self._runner.run(self._stack.aclose())
        self._runner.close()
