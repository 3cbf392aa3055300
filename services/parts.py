"""Uploads in parts: how a file is cut, which parts the store has, and addresses for those it lacks.

What was received is what the store lists, never a count of ours. The store's multipart upload is opened when
its first part is about to be sent, by whoever comes first, and bound to ours as long as the store knows it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import update
from sqlmodel import col, select

from db.models import Media, Upload, UploadStatus, User, utc_now
from db.sessions import Sessions
from services.errors import Conflict, InvalidInput
from services.storage_refusals import storage_refusals
from services.upload_rows import UPLOAD_ID, find_pending
from storage.errors import MultipartMissingError, StorageError
from storage.objects import MAX_PARTS, MIN_PART_BYTES, ObjectStore, SignedPut, StoredPart

#: The largest file that is sent in one PUT, in bytes, unless a setting says otherwise.
MULTIPART_BYTES = 100 * 1024**2

#: How many parts one call signs.
MAX_SIGNED = 100

_MIB = 1024**2
_SHA256_BYTES = 32


def part_size(size: int) -> int:
    """The length of every part but the last of a file of `size` bytes: the contract's formula.

    max(5 MiB, size / 10,000 rounded up to 1 MiB): at most 10,000 parts, each as small as S3 allows.
    """
    return max(MIN_PART_BYTES, -(-size // (MAX_PARTS * _MIB)) * _MIB)


def part_count(size: int) -> int:
    return -(-size // part_size(size))


def part_length(size: int, number: int) -> int:
    """The length in bytes of part `number`, from 1 to `part_count`."""
    length = part_size(size)
    return min(length, size - (number - 1) * length)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPart:
    number: int
    put: SignedPut


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    sessions: Sessions
    store: ObjectStore
    address_lifetime: timedelta = timedelta(minutes=5)

    async def sign(self, owner: User, upload_id: UUID, numbers: Sequence[int]) -> list[SignedPart]:
        """Addresses for these parts, in the order asked, as often as they are asked for.

        Where the store has forgotten the multipart upload they are for a new one: who asks for no part that
        went with the old one learns by finalizing that it is missing. Raises InvalidInput for more than 100
        numbers, one that there is no part of, or an upload that is not in parts; Conflict or UploadExpired
        for one that has ended or waits for nothing but finalizing; NotFound; StorageUnavailable.
        """
        media, upload = await find_pending(self.sessions, owner, upload_id)
        _check_numbers(media, upload, numbers)
        if not await self.release(upload):
            raise Conflict(
                "The parts of this upload were put together already: finalize it.",
                UPLOAD_ID,
                current_version=media.version,
            )
        multipart_id = await self.open(media, upload)
        remaining = upload.expires_at - utc_now()
        with storage_refusals():
            return [
                SignedPart(
                    number=number,
                    put=self.store.sign_part(
                        upload.key,
                        multipart_id,
                        number,
                        byte_size=part_length(media.size, number),
                        sha256=claimed_sha256(upload, number),
                        expires_in=max(timedelta(seconds=1), min(self.address_lifetime, remaining)),
                    ),
                )
                for number in numbers
            ]

    async def open(self, media: Media, upload: Upload) -> str:
        """The id of the store's multipart upload, begun now if none is bound. Raises StorageUnavailable."""
        if upload.multipart_id is not None:
            return upload.multipart_id
        with storage_refusals():
            begun = await self.store.create_multipart(
                upload.key, content_type=media.mime_type, part_hashes=upload.block_sha256s is not None
            )
        bound = None
        try:
            bound = await self.bind(upload, begun)
        finally:
            if bound != begun:
                with suppress(StorageError):  # else it is found by its key when the upload has ended
                    await self.store.abort_multipart(upload.key, begun)
        return bound

    async def bind(self, upload: Upload, multipart_id: str) -> str:
        """Make it ours if none is, and return the one that is. Raises InvalidInput if ours has ended."""
        first = (
            update(Upload)
            .where(
                col(Upload.id) == upload.id,
                col(Upload.multipart_id).is_(None),
                col(Upload.status) == UploadStatus.PENDING,
            )
            .values(multipart_id=multipart_id)
        )
        async with self.sessions.begin() as session:
            await session.exec(first)
            statement = select(Upload.multipart_id).where(
                col(Upload.id) == upload.id, col(Upload.status) == UploadStatus.PENDING
            )
            bound = (await session.exec(statement)).one_or_none()
        if bound is None:
            raise InvalidInput("This upload has ended: there is nothing to send.", UPLOAD_ID)
        upload.multipart_id = bound
        return bound

    async def release(self, upload: Upload) -> bool:
        """Unbind a multipart upload that the store has forgotten; False where its parts were put together.

        Somebody has aborted it, perhaps a rule of the store's own for old ones: another one may be begun.
        Raises StorageUnavailable.
        """
        if upload.multipart_id is None:
            return True
        with storage_refusals():
            try:
                await self.store.check_multipart(upload.key, upload.multipart_id)
            except MultipartMissingError:
                if await self.store.head(upload.key) is not None:
                    return False
                await self.unbind(upload)
        return True

    async def unbind(self, upload: Upload) -> None:
        """Let another multipart upload take the place of the bound one, which the store no longer knows."""
        statement = update(Upload).where(
            col(Upload.id) == upload.id,
            col(Upload.multipart_id) == upload.multipart_id,
            col(Upload.status) == UploadStatus.PENDING,
        )
        async with self.sessions.begin() as session:
            await session.exec(statement.values(multipart_id=None))
        upload.multipart_id = None

    async def abort_all(self, prefix: str) -> None:
        """End every multipart upload to the keys that begin so, also those that nobody ever bound.

        Raises the store's errors: then it has to be done again.
        """
        open_uploads = [each async for each in self.store.list_multiparts(prefix)]
        for each in open_uploads:
            await self.store.abort_multipart(each.key, each.upload_id)


def missing_parts(media: Media, upload: Upload, received: Sequence[StoredPart]) -> list[int]:
    """Also those that came with another length, or another hash than was claimed."""
    whole = {part.number for part in received if _is_as_announced(media, upload, part)}
    return [number for number in range(1, part_count(media.size) + 1) if number not in whole]


def claimed_sha256(upload: Upload, number: int) -> str | None:
    """In lower-case hex; None where the client claimed none."""
    return None if upload.block_sha256s is None else _digest(upload.block_sha256s, number).hex()


def block_sha256s(upload: Upload) -> list[str]:
    """The claims of all parts, as `claimed_sha256`; none where the client claimed none."""
    return [digest.hex() for digest in block_digests(upload)]


def block_digests(upload: Upload) -> list[bytes]:
    """As `block_sha256s`, of 32 bytes each."""
    claims = upload.block_sha256s or b""
    return [_digest(claims, number) for number in range(1, len(claims) // _SHA256_BYTES + 1)]


def _digest(claims: bytes, number: int) -> bytes:
    return claims[(number - 1) * _SHA256_BYTES : number * _SHA256_BYTES]


def _is_as_announced(media: Media, upload: Upload, part: StoredPart) -> bool:
    if not 1 <= part.number <= part_count(media.size):
        return False
    claimed = claimed_sha256(upload, part.number)
    return part.byte_size == part_length(media.size, part.number) and (
        claimed is None or part.sha256 is None or part.sha256 == claimed
    )


def _check_numbers(media: Media, upload: Upload, numbers: Sequence[int]) -> None:
    if upload.part_size is None:
        raise InvalidInput("This upload is sent in one PUT: see upload.target.", UPLOAD_ID)
    if not 1 <= len(numbers) <= MAX_SIGNED:
        raise InvalidInput(f"numbers must be 1 to {MAX_SIGNED}, not {len(numbers)}.", "numbers")
    count = part_count(media.size)
    for number in numbers:
        if not 1 <= number <= count:
            raise InvalidInput(f"numbers must be from 1 to {count}, not {number}.", "numbers")
