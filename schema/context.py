"""What the types of the contract ask of a request's context; `resolvers` supplies it.

Each `load` answers for all parents of a level in one call.
"""

from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import UUID

from strawberry.types import Info as StrawberryInfo

from db import models

if TYPE_CHECKING:
    from schema.connections import MediaConnection
    from schema.enums import Disposition
    from schema.types import SignedUrl, UploadedPart, UploadTarget

Key = TypeVar("Key", contravariant=True)
Value = TypeVar("Value", covariant=True)


class Loader(Protocol[Key, Value]):
    async def load(self, key: Key) -> Value: ...


class Context(Protocol):
    @property
    def viewer(self) -> models.User: ...

    @property
    def tags_of_media(self) -> Loader[UUID, list[models.Tag]]: ...

    @property
    def renditions_of_blob(self) -> Loader[UUID, list[models.Rendition]]: ...

    @property
    def upload_of_media(self) -> Loader[UUID, models.Upload | None]: ...

    @property
    def blob(self) -> Loader[UUID, models.Blob | None]: ...

    @property
    def user(self) -> Loader[UUID, models.User | None]: ...

    def quota_of(self, user: models.User) -> int | None: ...

    async def upload_target(self, media: models.Media, upload: models.Upload) -> "UploadTarget | None": ...

    async def missing_parts(self, media: models.Media, upload: models.Upload) -> list[int]: ...

    async def received_parts(self, upload: models.Upload) -> "list[UploadedPart] | None": ...

    def original_url(
        self, media: models.Media, blob: models.Blob, disposition: "Disposition"
    ) -> "SignedUrl | None": ...

    async def media_of_tag(
        self, tag: models.Tag, first: int | None, after: str | None
    ) -> "MediaConnection": ...

    async def rendition_url(self, rendition: models.Rendition, media: models.Media) -> "SignedUrl": ...


Info = StrawberryInfo[Context, None]
