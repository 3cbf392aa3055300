"""Expected failures, which are data."""

import strawberry

from schema.enums import ErrorCode
from schema.scalars import BigInt


@strawberry.interface(description="Something that the user can mend.")
class UserError:
    code: ErrorCode = strawberry.field(description="The kind of mistake, for programs.")
    message: str = strawberry.field(description="The mistake in a sentence, for people.")
    path: list[str] | None = strawberry.field(description="The field of the input that it speaks of.")


@strawberry.type(description="Any mistake that has no type of its own; `code` tells which.")
class GenericError(UserError):
    pass


@strawberry.type(description="A field has a value that it can't have.")
class InvalidInputError(UserError):
    pass


@strawberry.type(description="There is no such thing, or it is not yours.")
class NotFoundError(UserError):
    pass


@strawberry.type(description="There is no room for these bytes.")
class QuotaExceededError(UserError):
    limit: BigInt = strawberry.field(description="What your originals may have in all, in bytes.")
    used: BigInt = strawberry.field(description="What they have, in bytes.")


@strawberry.type(description="Not all parts are stored as they were announced.")
class PartsMissingError(UserError):
    missing: list[int] = strawberry.field(description="The numbers of the parts to send.")


@strawberry.type(description="The stored bytes have another hash than was announced: request a new upload.")
class ChecksumMismatchError(UserError):
    expected: str = strawberry.field(
        description="The SHA-256 that was expected, in lower-case hex: of the whole file, or of the block "
        "that `message` names."
    )
    actual: str = strawberry.field(description="The SHA-256 of what is stored, in lower-case hex.")


@strawberry.type(description="The thing is in a state that forbids this.")
class ConflictError(UserError):
    current_version: int = strawberry.field(description="The version that the media has now.")
