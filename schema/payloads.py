"""What mutations answer: the changed thing, or what the user can mend."""

import strawberry
from strawberry.scalars import JSON

from schema.errors import UserError
from schema.scalars import URL
from schema.types import Media, Tag, Upload, UploadPart

_ERRORS = "Why nothing was done; empty when it was."


@strawberry.type(description="The answer to one request for an upload.")
class RequestUploadPayload:
    client_mutation_id: str | None = strawberry.field(
        default=None, description="The name that the client gave this request."
    )
    media: Media | None = strawberry.field(
        default=None, description="The new media: UPLOADING, or further where its bytes were stored already."
    )
    upload: Upload | None = strawberry.field(default=None, description="Where its bytes go.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The answer to a change of a media.")
class MediaPayload:
    media: Media | None = strawberry.field(default=None, description="The media as it is now.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The answer to a change of an upload.")
class UploadPayload:
    upload: Upload | None = strawberry.field(default=None, description="The upload as it is now.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The answer to a request for addresses of parts.")
class SignUploadPartsPayload:
    parts: list[UploadPart] = strawberry.field(
        default_factory=list, description="An address for each number, in the order asked."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(
    description="A signed request of the S3 API, as Uppy's aws-s3 plugin takes it once nulls are left out."
)
class PresignedRequest:
    url: URL = strawberry.field(description="Where to send it.")
    key: str | None = strawberry.field(default=None, description="The key that it is signed for.")
    headers: JSON | None = strawberry.field(
        default=None, description="An object of headers to send exactly so; they are signed, too."
    )
    fields: JSON | None = strawberry.field(
        default=None, description="Fields of a form: always null, for nothing is sent by forms."
    )


@strawberry.type(description="The answer to a change of a tag.")
class TagPayload:
    tag: Tag | None = strawberry.field(default=None, description="The tag as it is now.")
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)


@strawberry.type(description="The answer to a deletion.")
class DeletePayload:
    deleted_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id of what is gone: evict it from your cache."
    )
    user_errors: list[UserError] = strawberry.field(default_factory=list, description=_ERRORS)
