"""Scalars of the contract that GraphQL itself does not have."""

from datetime import UTC, datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

BigInt = NewType("BigInt", int)
URL = NewType("URL", str)

_MAX = 2**63 - 1


def _parse_big_int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise GraphQLError(f"BigInt must be an integer, not {value!r:.40}.")
    if not -_MAX <= value <= _MAX:
        raise GraphQLError(f"BigInt must be from -{_MAX:,} to {_MAX:,}.")
    return value


def _serialize_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat()


def _parse_time(value: object) -> datetime:
    try:
        time = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise GraphQLError("DateTime must look like 2026-01-31T12:00:00Z.") from None
    if time.tzinfo is None:
        raise GraphQLError("DateTime must have an offset, such as Z or +02:00.")
    return time.astimezone(UTC)


#: For StrawberryConfig.scalar_map.
SCALARS: dict[Any, ScalarDefinition] = {
    BigInt: strawberry.scalar(
        name="BigInt",
        description="An integer of up to 63 bits, as a JSON number.",
        parse_value=_parse_big_int,
    ),
    URL: strawberry.scalar(name="URL", description="An absolute address.", parse_value=str),
    datetime: strawberry.scalar(
        name="DateTime",
        description="A moment as RFC 3339, in UTC, always with an offset.",
        serialize=_serialize_time,
        parse_value=_parse_time,
    ),
    JSON: strawberry.scalar(name="JSON", description="Any JSON value."),
}
