"""The objects of the contract, each built from a table row; what needs more asks the context."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Union

import strawberry
from strawberry.scalars import JSON

from db import models
from schema.context import Info
from schema.enums import (
    Disposition,
    FailureCode,
    MediaKind,
    MediaStatus,
    RenditionRole,
    Role,
    UploadStatus,
    Visibility,
)
from schema.ids import global_id
from schema.scalars import URL, BigInt

if TYPE_CHECKING:
    from schema.connections import MediaConnection


@strawberry.interface(description="Anything that has a global id.")
class Node:
    id: strawberry.ID = strawberry.field(description="Global id: opaque, unique over all types.")


@strawberry.type(description="Somebody who uses this service.")
class User(Node):
    row: strawberry.Private[models.User]
    username: str = strawberry.field(description="The name to sign in with.")
    created_at: datetime = strawberry.field(description="When the account was made.")

    @classmethod
    def of(cls, row: models.User) -> "User":
        return cls(row=row, id=global_id("User", row.id), username=row.username, created_at=row.created_at)

    @strawberry.field(description="What the user may do; only for oneself and admins, else null.")
    def role(self, info: Info) -> Role | None:
        return self.row.role if self._is_shown_to(info) else None

    @strawberry.field(
        description="The size of the user's originals in all, in bytes, announced ones included; "
        "only for oneself and admins, else null."
    )
    async def used_bytes(self, info: Info) -> BigInt | None:
        # As it is now: who asks was read when the connection, or the process, began.
        row = await info.context.user.load(self.row.id) if self._is_shown_to(info) else None
        return None if row is None else BigInt(row.used_bytes)

    @strawberry.field(
        description="What the user's originals may have in all, in bytes, null where nothing limits them; "
        "only for oneself and admins, else null."
    )
    async def quota_bytes(self, info: Info) -> BigInt | None:
        row = await info.context.user.load(self.row.id) if self._is_shown_to(info) else None
        quota = None if row is None else info.context.quota_of(row)
        return None if quota is None else BigInt(quota)

    def _is_shown_to(self, info: Info) -> bool:
        viewer = info.context.viewer
        return self.row.id == viewer.id or viewer.role is Role.ADMIN


@strawberry.type(description="A word that its owner puts on media to find them again.")
class Tag(Node):
    row: strawberry.Private[models.Tag]
    name: str = strawberry.field(description="As its owner wrote it.")
    slug: str = strawberry.field(description="The form by which tags are compared and filtered.")
    created_at: datetime = strawberry.field(description="When it was first used.")

    @classmethod
    def of(cls, row: models.Tag) -> "Tag":
        return cls(
            row=row,
            id=global_id("Tag", row.id),
            name=row.name,
            slug=row.slug,
            created_at=row.created_at,
        )

    @strawberry.field(description="How many of the viewer's media carry it.")
    def media_count(self, info: Info) -> int:
        return self.row.media_count if self.row.owner_id == info.context.viewer.id else 0

    @strawberry.field(description="The viewer's media that carry it, the newest first.")
    async def media(
        self,
        info: Info,
        first: Annotated[
            int | None, strawberry.argument(description="How many at most, from 1 to 100.")
        ] = 20,
        after: Annotated[
            str | None, strawberry.argument(description="The cursor after which the page begins.")
        ] = None,
    ) -> Annotated["MediaConnection", strawberry.lazy("schema.connections")]:
        return await info.context.media_of_tag(self.row, first, after)


@strawberry.type(description="An address that carries its own permission, or is public.")
class SignedUrl:
    url: URL = strawberry.field(description="Fetch it with GET; whoever has it may.")
    expires_at: datetime | None = strawberry.field(
        description="Until when it works; null for a public one, which works until the media is unpublished."
    )


@strawberry.type(description="A file that was made from a media for showing it.")
class Rendition(Node):
    row: strawberry.Private[models.Rendition]
    media_row: strawberry.Private[models.Media]
    name: str = strawberry.field(description="Unique within its media, such as webp-640.")
    role: RenditionRole = strawberry.field(description="What it is for.")
    mime_type: str = strawberry.field(description="Its type, such as image/webp.")
    width: int | None = strawberry.field(description="In pixels.")
    height: int | None = strawberry.field(description="In pixels.")
    size: BigInt = strawberry.field(description="In bytes.")

    @classmethod
    def of(cls, row: models.Rendition, media: models.Media) -> "Rendition":
        return cls(
            row=row,
            media_row=media,
            id=global_id("Rendition", row.id),
            name=row.name,
            role=row.role,
            mime_type=row.mime_type,
            width=row.width,
            height=row.height,
            size=BigInt(row.size),
        )

    @strawberry.field(
        description="Where it is to be shown from, inline: a short-lived address, or a lasting public one."
    )
    async def url(self, info: Info) -> SignedUrl | None:
        return await info.context.rendition_url(self.row, self.media_row)


@strawberry.type(description="Why a media failed.")
class ProcessingFailure:
    code: FailureCode = strawberry.field(description="The kind of failure, for programs.")
    message: str = strawberry.field(description="The failure in a sentence, for people.")
    step: str | None = strawberry.field(description="The processing step that failed, if it was one.")
    retryable: bool = strawberry.field(description="Whether another attempt may end differently.")


@strawberry.type(description="What is known of a picture.")
class ImageDetails:
    width: int = strawberry.field(description="In pixels, as displayed (orientation applied).")
    height: int = strawberry.field(description="In pixels, as displayed (orientation applied).")
    animated: bool = strawberry.field(description="Whether it has more than one frame.")
    thumbhash: str | None = strawberry.field(
        description="A placeholder in about 25 bytes: base64 of a ThumbHash; null until rendered."
    )


# A union of one: films, sound and documents will join it, and clients write `... on ImageDetails` today.
MediaDetails = Annotated[
    Union[ImageDetails],  # noqa: UP007
    strawberry.union("MediaDetails", description="What is known of a media, by its kind."),
]


@strawberry.type(description="One header of an HTTP request.")
class HttpHeader:
    name: str = strawberry.field(description="The header's name.")
    value: str = strawberry.field(description="The header's value.")


@strawberry.type(description="Where to send all bytes in one request.")
class SingleUploadTarget:
    method: str = strawberry.field(description="The HTTP method, PUT.")
    url: URL = strawberry.field(description="The signed address; it takes exactly the announced bytes, once.")
    headers: list[HttpHeader] = strawberry.field(description="Send exactly these headers.")
    expires_at: datetime = strawberry.field(
        description="Until when the request must have begun; ask for the target again afterwards."
    )


@strawberry.type(description="A file that is sent in parts, each to an address of `signUploadParts`.")
class MultipartUploadTarget:
    media_row: strawberry.Private[models.Media]
    upload_row: strawberry.Private[models.Upload]
    part_size: int = strawberry.field(
        description="The length in bytes of every part but the last: size / 10,000 rounded up to 1 MiB, "
        "at least 5 MiB."
    )
    part_count: int = strawberry.field(description="How many parts there are; they are numbered from 1.")

    @strawberry.field(
        description="The numbers of the parts that are not stored as announced, asked from the store: "
        "what is left to send."
    )
    async def missing(self, info: Info) -> list[int]:
        return await info.context.missing_parts(self.media_row, self.upload_row)


@strawberry.type(description="The bytes are stored already: there is nothing to send.")
class StoredUploadTarget:
    media_id: strawberry.ID = strawberry.field(description="The media that shows them.")


@strawberry.type(description="A stretch of a file.")
class ByteRange:
    offset: BigInt = strawberry.field(description="Where it begins, in bytes from the file's beginning.")
    length: int = strawberry.field(description="How many bytes it has.")


@strawberry.type(
    description="These bytes are stored already: prove with `answerPossessionChallenge` that you hold them "
    "too, instead of sending them. There is one try; after a wrong answer they are sent as usual."
)
class PossessionChallenge:
    nonce: str = strawberry.field(
        description="The key of the HMAC-SHA-256: the bytes of this text as it stands, in UTF-8."
    )
    ranges: list[ByteRange] = strawberry.field(
        description="What is digested: the bytes of these ranges one after the other, in this order."
    )


UploadTarget = Annotated[
    SingleUploadTarget | MultipartUploadTarget | StoredUploadTarget | PossessionChallenge,
    strawberry.union("UploadTarget", description="Where the bytes of an upload go."),
]


@strawberry.type(description="One permitted request that sends one part.")
class UploadPart:
    number: int = strawberry.field(description="Which part, from 1.")
    method: str = strawberry.field(description="The HTTP method, PUT.")
    url: URL = strawberry.field(description="The signed address; it takes exactly this part's bytes.")
    headers: list[HttpHeader] = strawberry.field(description="Send exactly these headers.")
    expires_at: datetime = strawberry.field(
        description="Until when the request must have begun; ask for the part again afterwards."
    )


@strawberry.type(description="A part that the store holds.")
class UploadedPart:
    number: int = strawberry.field(description="Which part, from 1.")
    size: BigInt = strawberry.field(description="Its length in bytes.")
    sha256: str | None = strawberry.field(
        description="Its SHA-256 in lower-case hex, where the store keeps one."
    )


@strawberry.type(description="The sending of one media's bytes to the object store.")
class Upload(Node):
    row: strawberry.Private[models.Upload]
    media_row: strawberry.Private[models.Media]
    key: str = strawberry.field(description="The object's key in the store.")
    status: UploadStatus = strawberry.field(description="Where the upload stands.")
    expires_at: datetime = strawberry.field(description="Until when the bytes must be there and finalized.")

    @classmethod
    def of(cls, row: models.Upload, media: models.Media) -> "Upload":
        return cls(
            row=row,
            media_row=media,
            id=global_id("Upload", row.id),
            key=row.key,
            status=row.status,
            expires_at=row.expires_at,
        )

    @strawberry.field(
        description="Where to send the bytes, freshly signed; null once they were sent or the upload ended."
    )
    async def target(self, info: Info) -> UploadTarget | None:
        return await info.context.upload_target(self.media_row, self.row)

    @strawberry.field(
        description="The parts that the store holds, by number; null for an upload in one request or one "
        "that has ended, and while the store can't be asked."
    )
    async def received_parts(self, info: Info) -> list[UploadedPart] | None:
        return await info.context.received_parts(self.row)


@strawberry.type(description="One file with all that is known of it and made from it.")
class Media(Node):
    row: strawberry.Private[models.Media]
    version: int = strawberry.field(description="Grows by one with every change of this media.")
    kind: MediaKind = strawberry.field(description="What it is.")
    status: MediaStatus = strawberry.field(description="Where it stands on its way.")
    failure: ProcessingFailure | None = strawberry.field(description="Set exactly when the status is FAILED.")
    filename: str = strawberry.field(description="As the client named it.")
    mime_type: str = strawberry.field(description="The type that the client declared.")
    detected_mime_type: str | None = strawberry.field(
        description="The type that the bytes have; null until inspected."
    )
    size: BigInt = strawberry.field(description="The size of the original, in bytes.")
    sha256: str | None = strawberry.field(description="The SHA-256 of the original, in lower-case hex.")
    sha256_verified: bool = strawberry.field(
        description="Whether the service itself computed `sha256` from the stored bytes."
    )
    title: str | None = strawberry.field(description="A title of the owner's choice.")
    description: str | None = strawberry.field(description="A description of the owner's choice.")
    metadata: JSON = strawberry.field(description="A free-form object of the client's, of at most 16 KiB.")
    visibility: Visibility = strawberry.field(description="Who may look at it.")
    details: MediaDetails | None = strawberry.field(
        description="What is known of it; null until inspected, and for a drawing."
    )
    created_at: datetime = strawberry.field(description="When the upload was requested.")
    updated_at: datetime = strawberry.field(description="When it last changed.")
    ready_at: datetime | None = strawberry.field(description="When it became READY.")

    @classmethod
    def of(cls, row: models.Media) -> "Media":
        return cls(
            row=row,
            id=global_id("Media", row.id),
            version=row.version,
            kind=row.kind,
            status=row.status,
            failure=_failure(row),
            filename=row.filename,
            mime_type=row.mime_type,
            detected_mime_type=row.detected_mime_type,
            size=BigInt(row.size),
            sha256=row.sha256,
            sha256_verified=row.sha256_verified,
            title=row.title,
            description=row.description,
            metadata=JSON(row.client_metadata),
            visibility=row.visibility,
            details=ImageDetails(**row.details) if row.details is not None else None,
            created_at=row.created_at,
            updated_at=row.updated_at,
            ready_at=row.ready_at,
        )

    @strawberry.field(description="The tags it carries, by name.")
    async def tags(self, info: Info) -> list[Tag]:
        return [Tag.of(row) for row in await info.context.tags_of_media.load(self.row.id)]

    @strawberry.field(description="How its bytes came, or are to come; for its owner only, else null.")
    async def upload(self, info: Info) -> Upload | None:
        if self.row.owner_id != info.context.viewer.id:
            return None
        row = await info.context.upload_of_media.load(self.row.id)
        return None if row is None else Upload.of(row, self.row)

    @strawberry.field(description="What was made from it, the narrowest first; empty until READY.")
    async def renditions(
        self,
        info: Info,
        role: Annotated[
            RenditionRole | None, strawberry.argument(description="Only those for this purpose.")
        ] = None,
    ) -> list[Rendition]:
        if self.row.status is not MediaStatus.READY:
            return []  # another media may show the same bytes already
        rows = await info.context.renditions_of_blob.load(self.row.blob_id)
        return [Rendition.of(row, self.row) for row in rows if role is None or row.role is role]

    @strawberry.field(
        description="A short-lived address of the original, as it came; null before it is finalized, and for "
        "everybody but its owner and admins: it may say where and when it was taken."
    )
    async def download(
        self,
        info: Info,
        disposition: Annotated[
            Disposition | None,
            strawberry.argument(
                description="Originals are only given as ATTACHMENT: nobody has vouched for their bytes."
            ),
        ] = Disposition.ATTACHMENT,
    ) -> SignedUrl | None:
        viewer = info.context.viewer
        if self.row.owner_id != viewer.id and viewer.role is not Role.ADMIN:
            return None
        blob = await info.context.blob.load(self.row.blob_id)
        if blob is None:
            return None
        return info.context.original_url(self.row, blob, disposition or Disposition.ATTACHMENT)

    @strawberry.field(description="Whose it is.")
    async def owner(self, info: Info) -> User:
        row = await info.context.user.load(self.row.owner_id)
        if row is None:
            raise RuntimeError(f"The owner {self.row.owner_id} of a media is missing.")
        return User.of(row)


def _failure(row: models.Media) -> ProcessingFailure | None:
    if row.failure_code is None:
        return None
    return ProcessingFailure(
        code=row.failure_code,
        message=row.failure_message or "",
        step=row.failure_step,
        # What came to an end before it was processed has no step, and no bytes to try again on.
        retryable=row.failure_code.retryable and row.failure_step is not None,
    )
