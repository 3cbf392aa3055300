"""Relay global ids: base64 of `Type:uuid`, opaque to clients."""

from uuid import UUID

import strawberry
from strawberry.relay import from_base64, to_base64


class InvalidIdError(Exception):
    """Not an id that this service gave out."""


def global_id(type_name: str, id: UUID) -> strawberry.ID:
    return strawberry.ID(to_base64(type_name, str(id)))


def parse_id(value: str) -> tuple[str, UUID]:
    """The type's name and the row's id. Raises InvalidIdError."""
    try:
        type_name, id = from_base64(value)
        return type_name, UUID(id)
    except ValueError:
        raise InvalidIdError from None


def id_of(value: str, type_name: str) -> UUID | None:
    """The row's id, or None where the id is malformed or of another type."""
    try:
        found, id = parse_id(value)
    except InvalidIdError:
        return None
    return id if found == type_name else None
