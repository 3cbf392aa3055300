"""What columns of all tables are made of: ids are UUIDv7, times timestamptz in UTC."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson
import uuid_utils
from sqlalchemy import DateTime, Enum
from sqlalchemy.dialects.postgresql import JSONB


def new_id() -> UUID:
    return UUID(int=uuid_utils.uuid7().int)


def utc_now() -> datetime:
    return datetime.now(UTC)


def text_enum(enum: type[StrEnum]) -> Any:
    """Stored as text: a new value needs no ALTER TYPE. Reading a value that the enum lacks raises."""
    return Enum(enum, native_enum=False, length=32, create_constraint=False)


TIMESTAMP = DateTime(timezone=True)


def is_same_json(one: object, other: object) -> bool:
    """Whether two values are one JSON text, keys in any order: to Python, 1, 1.0 and True are equal."""
    return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)


class Json(JSONB):
    """Sees every change of a value: an attribute that is set to an equal one is not written."""

    def compare_values(self, x: Any, y: Any) -> bool:
        return is_same_json(x, y)
