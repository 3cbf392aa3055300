"""Cursors of lists of media: the place of a row, bound to whose list it is, its filter and its order."""

import hashlib
import struct
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson

from db.media_lists import MediaCriteria, MediaOrder, MediaScope, Place, place_of
from db.models import Media, Role, User
from services.errors import Forbidden
from services.page_cursors import PageCursors

_INTEGER = struct.Struct(">q")
_ID_BYTES = 16
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def check_scope(viewer: User, scope: MediaScope) -> None:
    """Raises Forbidden for all media to anybody but an admin."""
    if scope is MediaScope.ALL and viewer.role is not Role.ADMIN:
        raise Forbidden("filter.scope ALL is for admins only.", "filter", "scope")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlaces:
    """Reads and writes the cursors of one list."""

    cursors: PageCursors
    viewer: User
    criteria: MediaCriteria
    order: MediaOrder

    def encode(self, media: Media) -> str:
        return self.cursors.encode(self._list, _pack(place_of(media, self.order)))

    def decode(self, cursor: str, name: str) -> Place:
        """Raises InvalidInput naming `name` unless this very list gave the cursor out."""
        return _unpack(self.cursors.decode(self._list, cursor, name), self.order)

    @property
    def _list(self) -> str:
        """One form for equal filters."""
        parts = {
            field.name: _canonical(getattr(self.criteria, field.name)) for field in fields(self.criteria)
        }
        encoded = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)
        return f"media of {self.viewer.id} {self.order} {hashlib.sha256(encoded).hexdigest()}"


def _canonical(value: object) -> object:
    match value:
        case frozenset():
            return sorted(map(str, value))
        case UUID():
            return str(value)  # the driver's own class, which orjson does not know
        case _:
            return value


def _pack(place: Place) -> bytes:
    value, id = place
    match value:
        case datetime():
            key = _INTEGER.pack((value - _UNIX_EPOCH) // _MICROSECOND)
        case int():
            key = _INTEGER.pack(value)
        case str():
            key = value.encode()
    return id.bytes + key


def _unpack(packed: bytes, order: MediaOrder) -> Place:
    id, key = UUID(bytes=packed[:_ID_BYTES]), packed[_ID_BYTES:]
    match order:
        case MediaOrder.FILENAME_ASC:
            return key.decode(), id
        case MediaOrder.SIZE_DESC:
            return _INTEGER.unpack(key)[0], id
        case _:
            return _UNIX_EPOCH + _INTEGER.unpack(key)[0] * _MICROSECOND, id
