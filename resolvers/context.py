"""The context of one request or one WebSocket connection: who asks, and the batch loaders."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar
from uuid import UUID

import strawberry
from strawberry.dataloader import DataLoader

from db import models
from resolvers.pages import connection_of
from schema.connections import MediaConnection
from schema.enums import Disposition
from schema.ids import global_id
from schema.scalars import URL, BigInt
from schema.types import (
    ByteRange,
    HttpHeader,
    MultipartUploadTarget,
    PossessionChallenge,
    SignedUrl,
    SingleUploadTarget,
    StoredUploadTarget,
    UploadedPart,
    UploadTarget,
)
from services.bundle import Services
from services.delivery import Address
from services.errors import StorageUnavailable
from services.library import MediaPage
from services.pages import PageRequest, page_request
from services.part_listings import PartListing
from services.parts import missing_parts
from services.possession import Challenge
from services.uploads import PartsTarget, StoredTarget
from storage.objects import Disposition as StoreDisposition
from storage.objects import SignedGet, SignedPut

Value = TypeVar("Value")


@dataclass(kw_only=True)
class RequestContext:
    """The loaders batch and never cache: what was read before a mutation, or an event, is old after it."""

    viewer: models.User
    services: Services

    @cached_property
    def tags_of_media(self) -> DataLoader[UUID, list[models.Tag]]:
        return self._lists(self.services.lookups.tags_of_media)

    @cached_property
    def renditions_of_blob(self) -> DataLoader[UUID, list[models.Rendition]]:
        return self._lists(self.services.lookups.renditions_of_blobs)

    @cached_property
    def publication(self) -> DataLoader[UUID, models.Publication | None]:
        return self._optional(self.services.lookups.publications)

    @cached_property
    def upload_of_media(self) -> DataLoader[UUID, models.Upload | None]:
        return self._optional(self.services.lookups.uploads_of_media)

    @cached_property
    def blob(self) -> DataLoader[UUID, models.Blob | None]:
        return self._optional(self.services.lookups.blobs)

    @cached_property
    def user(self) -> DataLoader[UUID, models.User | None]:
        return self._optional(self.services.lookups.users)

    @cached_property
    def media(self) -> DataLoader[UUID, models.Media | None]:
        async def load(ids: Sequence[UUID]) -> Mapping[UUID, models.Media]:
            return await self.services.lookups.media(self.viewer, ids)

        return self._optional(load)

    @cached_property
    def first_of_tag(self) -> DataLoader[tuple[models.Tag, PageRequest], MediaPage]:
        async def load(asked: list[tuple[models.Tag, PageRequest]]) -> list[MediaPage]:
            return await self.services.library.first_of_tags(self.viewer, asked)

        return DataLoader(load, cache=False)

    async def media_of_tag(self, tag: models.Tag, first: int | None, after: str | None) -> MediaConnection:
        """Only a page from a cursor on costs statements of its own."""
        request = page_request(first=first, after=after)
        if request.after is None:
            page = await self.first_of_tag.load((tag, request))
        else:
            page = await self.services.library.page_of_tag(self.viewer, tag, request)

        async def count() -> int:
            return tag.media_count if tag.owner_id == self.viewer.id else 0

        return connection_of(page, count)

    def quota_of(self, user: models.User) -> int | None:
        return self.services.quotas.of(user)

    @cached_property
    def challenge_of_upload(self) -> DataLoader[tuple[models.Media, models.Upload], Challenge | None]:
        return DataLoader(self.services.possession.challenges, cache=False)

    async def upload_target(self, media: models.Media, upload: models.Upload) -> UploadTarget | None:
        challenge = await self.challenge_of_upload.load((media, upload))
        target = challenge or self.services.uploads.target(media, upload)
        match target:
            case None:
                return None
            case StoredTarget():
                return StoredUploadTarget(media_id=strawberry.ID(global_id("Media", target.media_id)))
            case Challenge():
                ranges = [ByteRange(offset=BigInt(offset), length=length) for offset, length in target.ranges]
                return PossessionChallenge(nonce=target.nonce, ranges=ranges)
            case PartsTarget():
                return MultipartUploadTarget(
                    media_row=media,
                    upload_row=upload,
                    part_size=target.part_size,
                    part_count=target.part_count,
                )
            case SignedPut():
                return SingleUploadTarget(
                    method="PUT",
                    url=URL(target.url),
                    headers=http_headers(target.headers),
                    expires_at=target.expires_at,
                )

    @cached_property
    def parts_of_upload(self) -> DataLoader[models.Upload, PartListing]:
        return DataLoader(self.services.part_listings.of, cache=False)

    async def missing_parts(self, media: models.Media, upload: models.Upload) -> list[int]:
        listing = await self.parts_of_upload.load(upload)
        return [] if listing.is_whole else missing_parts(media, upload, listing.parts)

    async def received_parts(self, upload: models.Upload) -> list[UploadedPart] | None:
        if upload.part_size is None or upload.status is not models.UploadStatus.PENDING:
            return None
        try:
            listing = await self.parts_of_upload.load(upload)
        except StorageUnavailable:
            return None
        return [
            UploadedPart(number=part.number, size=BigInt(part.byte_size), sha256=part.sha256)
            for part in listing.parts
        ]

    def original_url(
        self, media: models.Media, blob: models.Blob, disposition: Disposition
    ) -> SignedUrl | None:
        signed = self.services.delivery.original(media, blob, StoreDisposition(disposition.value.lower()))
        return None if signed is None else _signed_url(signed)

    async def rendition_url(self, rendition: models.Rendition, media: models.Media) -> SignedUrl:
        is_public = media.visibility is models.Visibility.PUBLIC
        publication = await self.publication.load(media.id) if is_public else None
        return _signed_url(self.services.delivery.rendition(rendition, publication))

    def _lists(
        self, find: Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, list[Value]]]]
    ) -> DataLoader[UUID, list[Value]]:
        async def load(ids: list[UUID]) -> list[list[Value]]:
            found = await find(ids)
            return [found.get(id, []) for id in ids]

        return DataLoader(load, cache=False)

    def _optional(
        self, find: Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, Value]]]
    ) -> DataLoader[UUID, Value | None]:
        async def load(ids: list[UUID]) -> list[Value | None]:
            found = await find(ids)
            return [found.get(id) for id in ids]

        return DataLoader(load, cache=False)


def _signed_url(address: SignedGet | Address) -> SignedUrl:
    return SignedUrl(url=URL(address.url), expires_at=address.expires_at)


def http_headers(headers: Mapping[str, str]) -> list[HttpHeader]:
    return [HttpHeader(name=name, value=value) for name, value in headers.items()]
