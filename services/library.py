"""The library: finding media, changing what their owner says of them, deleting them."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final
from uuid import UUID

from db.blobs import give_to_collector
from db.events import log_state
from db.media import (
    MediaCriteria,
    change_media,
    count_media,
    delete_media,
    lock_media,
    page_media,
)
from db.models import Media, MediaEventType, User, is_same_json
from db.sessions import Sessions
from pubsub.doorbell import Doorbell
from services import validation
from services.cursors import LiveCursors
from services.errors import Conflict, InvalidInput, NotFound, Refusal, Rejected, collecting
from services.page_cursors import PageCursors

#: Where a page of media ended: microseconds since 1970 and the id.
_POSITION = struct.Struct(">q16s")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DEFAULT_PAGE = 20
MAX_PAGE = 100


class Unset(Enum):
    """A field that the client left out, which is not the same as null."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaChanges:
    """Absent is unchanged, None is cleared."""

    title: str | Unset | None = UNSET
    description: str | Unset | None = UNSET
    metadata: object | Unset = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPage:
    """`live_cursor` was taken before the rows: a stream from there on misses nothing that they lack."""

    media: Sequence[Media]
    cursors: Sequence[str]
    has_next: bool
    has_previous: bool
    live_cursor: str


def page_size(first: int | None) -> int:
    """The length asked for, 20 by default. Raises InvalidInput outside 1 to 100."""
    if first is None:
        return DEFAULT_PAGE
    if not 1 <= first <= MAX_PAGE:
        raise InvalidInput(f"first must be from 1 to {MAX_PAGE}, not {first:,}.", "first")
    return first


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    sessions: Sessions
    doorbell: Doorbell
    page_cursors: PageCursors
    live_cursors: LiveCursors
    collection_grace: timedelta

    async def page(
        self, owner: User, criteria: MediaCriteria, *, first: int | None, after: str | None
    ) -> MediaPage:
        """Newest first. Raises InvalidInput for a length out of range or a cursor of another list."""
        size = page_size(first)
        scope = _scope(owner, criteria)
        start = None if after is None else _unpack(self.page_cursors.decode(scope, after))
        async with self.sessions() as session:
            state = await log_state(session)
            rows = await page_media(session, owner.id, criteria, after=start, limit=size + 1)
        media = rows[:size]
        return MediaPage(
            media=media,
            cursors=[self.page_cursors.encode(scope, _pack(row)) for row in media],
            has_next=len(rows) > size,
            has_previous=start is not None,
            live_cursor=self.live_cursors.encode(state.end),
        )

    async def count(self, owner: User, criteria: MediaCriteria) -> int:
        async with self.sessions() as session:
            return await count_media(session, owner.id, criteria)

    async def update(
        self, owner: User, media_id: UUID, changes: MediaChanges, *, if_version: int | None
    ) -> Media:
        """Apply what is given; a call that changes nothing makes no new version.

        Raises Rejected with every field that is wrong, NotFound, and Conflict where `if_version` is not the
        present version.
        """
        values = _clean_changes(changes)
        async with self.sessions.begin() as session:
            media = (await lock_media(session, owner.id, [media_id])).get(media_id)
            if media is None:
                raise no_such_media("id")
            if if_version is not None and if_version != media.version:
                raise Conflict(
                    f"The media is at version {media.version}, not {if_version}: read it again.",
                    "ifVersion",
                    current_version=media.version,
                )
            values = {
                name: value for name, value in values.items() if not is_same_json(getattr(media, name), value)
            }
            if values:
                await change_media(session, media, MediaEventType.UPDATED, **values)
        await self.doorbell.ring()
        return media

    async def delete(self, owner: User, media_id: UUID) -> None:
        """Delete the media at once; its bytes go when the collector comes by. Raises NotFound."""
        async with self.sessions.begin() as session:
            media = (await lock_media(session, owner.id, [media_id])).get(media_id)
            if media is None:
                raise no_such_media("id")
            blob_id = media.blob_id
            await delete_media(session, media)
            await give_to_collector(session, blob_id, grace=self.collection_grace)
        await self.doorbell.ring()


def no_such_media(field: str) -> NotFound:
    return NotFound("There is no such media.", field)


def _clean_changes(changes: MediaChanges) -> dict[str, Any]:
    values: dict[str, Any] = {}
    refusals: list[Refusal] = []
    if changes.title is not UNSET:
        with collecting(refusals):
            values["title"] = validation.clean_title(changes.title)
    if changes.description is not UNSET:
        with collecting(refusals):
            values["description"] = validation.clean_description(changes.description)
    if changes.metadata is not UNSET:
        with collecting(refusals):
            values["client_metadata"] = validation.clean_metadata(changes.metadata)
    if refusals:
        raise Rejected(refusals)
    return values


def _pack(media: Media) -> bytes:
    return _POSITION.pack((media.created_at - _UNIX_EPOCH) // timedelta(microseconds=1), media.id.bytes)


def _unpack(position: bytes) -> tuple[datetime, UUID]:
    microseconds, id = _POSITION.unpack(position)
    return _UNIX_EPOCH + timedelta(microseconds=microseconds), UUID(bytes=id)


def _scope(owner: User, criteria: MediaCriteria) -> str:
    """What binds a cursor to its list: the owner and the filter, in one form for equal filters."""
    parts = [
        f"{name}={sorted(map(str, value)) if isinstance(value, frozenset) else value}"
        for name, value in ((name, getattr(criteria, name)) for name in MediaCriteria.__dataclass_fields__)
    ]
    return f"media of {owner.id} created_at desc " + " ".join(parts)
