"""What clients send. The limits of each field are in its sentence; `services.validation` holds to them."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from schema.enums import MediaKind, MediaScope, MediaStatus, Visibility
from schema.scalars import BigInt


@strawberry.input(description="The hashes of a file's blocks, by which parts that are stored are known.")
class BlocksInput:
    size: int = strawberry.field(
        description="The length of a block in bytes: exactly the part size, which is size / 10,000 rounded "
        "up to 1 MiB, at least 5 MiB; the last block may be shorter."
    )
    sha256s: list[str] = strawberry.field(description="The SHA-256 of each block in hex, in order.")


@strawberry.input(description="A file that is to be uploaded.")
class RequestUploadInput:
    client_mutation_id: str | None = strawberry.field(
        default=None,
        description="Your own name for this request, of up to 255 characters: sent again within 24 hours "
        "with the same input, it gives the same media; with another input it is a CONFLICT.",
    )
    filename: str = strawberry.field(
        description="Its name: 1 to 255 characters, no path separators or control characters."
    )
    mime_type: str = strawberry.field(
        description="Its type: image/apng, image/avif, image/gif, image/heic, image/heif, image/jpeg, "
        "image/jxl, image/png, image/svg+xml, image/tiff or image/webp."
    )
    size: BigInt = strawberry.field(description="Its exact size in bytes, at least 1.")
    sha256: str | None = strawberry.field(
        default=None,
        description="Its SHA-256 in hex: the store refuses other bytes, and the service checks it again.",
    )
    md5: str | None = strawberry.field(
        default=None, description="Its MD5 in hex, as a second check while the bytes are sent."
    )
    title: str | None = strawberry.field(default=None, description="A title of up to 300 characters.")
    description: str | None = strawberry.field(
        default=None, description="A description of up to 10,000 characters."
    )
    tags: list[str] | None = strawberry.field(
        default=None, description="Up to 50 names of tags, of 1 to 64 characters; new ones are created."
    )
    metadata: JSON | None = strawberry.field(
        default=None, description="A free-form JSON object of at most 16 KiB."
    )
    visibility: Visibility | None = strawberry.field(
        default=Visibility.PRIVATE, description="Who may look at it."
    )
    blocks: BlocksInput | None = strawberry.field(
        default=None,
        description="Hashes of its blocks: parts that you have stored already need not be sent again, and "
        "the store refuses other bytes for the others. They count only for a file that is sent in parts. "
        "A request has at most 2 MiB, which is enough for the 10,000 blocks of one file.",
    )


@strawberry.input(
    description="A request of the S3 API that a client wants to send itself, as Uppy's aws-s3 plugin puts it."
)
class SignUploadRequestInput:
    method: str = strawberry.field(
        description="PUT sends the whole file or, with uploadId and partNumber, a part; POST begins an "
        "upload in parts or, with uploadId, completes it; GET lists its parts; DELETE aborts it."
    )
    key: str = strawberry.field(description="The key of the upload: `upload.key`.")
    upload_id: str | None = strawberry.field(
        default=None,
        description="The store's id of the upload in parts; the first that is named is the only one since.",
    )
    part_number: int | None = strawberry.field(
        default=None,
        description="Which part, from 1 to the target's partCount; all but the last are partSize long.",
    )
    content_type: str | None = strawberry.field(
        default=None, description="The type of the file; if it is given, it is the announced one."
    )
    expires_in: int | None = strawberry.field(
        default=None, description="For how many seconds, at least 1; at most five minutes are given."
    )


@strawberry.input(description="What to change of a media: absent stays as it is, null is cleared.")
class UpdateMediaInput:
    id: strawberry.ID = strawberry.field(description="The media.")
    if_version: int | None = strawberry.field(
        default=None, description="Change it only if this is its version."
    )
    title: strawberry.Maybe[str | None] = strawberry.field(
        default=None, description="A title of up to 300 characters."
    )
    description: strawberry.Maybe[str | None] = strawberry.field(
        default=None, description="A description of up to 10,000 characters."
    )
    metadata: strawberry.Maybe[JSON | None] = strawberry.field(
        default=None, description="A free-form JSON object of at most 16 KiB."
    )
    visibility: Visibility | None = strawberry.field(
        default=None, description="PUBLIC publishes it, PRIVATE takes that back; null changes nothing."
    )


@strawberry.input(description="Which tags, by slug.")
class TagFilter:
    all: list[str] | None = strawberry.field(default=None, description="Carries all of these.")
    any: list[str] | None = strawberry.field(default=None, description="Carries one of these at least.")
    none: list[str] | None = strawberry.field(default=None, description="Carries none of these.")


@strawberry.input(description="Which media a list shows; every given field must match.")
class MediaFilter:
    scope: MediaScope | None = strawberry.field(default=MediaScope.MINE, description="Whose media.")
    ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Only these.")
    kind: list[MediaKind] | None = strawberry.field(default=None, description="Only of these kinds.")
    status: list[MediaStatus] | None = strawberry.field(default=None, description="Only in these states.")
    tags: TagFilter | None = strawberry.field(default=None, description="Only with these tags.")
    search: str | None = strawberry.field(
        default=None,
        description="Up to 10 words in 200 characters; each must begin a word of the title, the description, "
        "the filename or a tag. Upper and lower case are the same.",
    )
    visibility: Visibility | None = strawberry.field(
        default=None, description="Only those of this visibility."
    )
    created_after: datetime | None = strawberry.field(
        default=None, description="Only those created after this moment."
    )
    created_before: datetime | None = strawberry.field(
        default=None, description="Only those created before this moment."
    )
    metadata: JSON | None = strawberry.field(
        default=None,
        description="Only those whose metadata contain this object (jsonb's @>), of at most 16 KiB.",
    )


@strawberry.input(description="Which media a stream tells of; every given field must match.")
class MediaEventFilter:
    scope: MediaScope | None = strawberry.field(default=MediaScope.MINE, description="Whose media.")
    ids: list[strawberry.ID] | None = strawberry.field(default=None, description="Only these.")
    kind: list[MediaKind] | None = strawberry.field(default=None, description="Only of these kinds.")
    status: list[MediaStatus] | None = strawberry.field(default=None, description="Only in these states.")
    tags: TagFilter | None = strawberry.field(default=None, description="Only with these tags.")
