"""The two streams: one media until it is done, and a library that goes on.

Both attach first and read second: a position of the log is taken, then the rows, and the log is followed
from that position, so that nothing falls between.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from db.events import TRANSITIONS, LoggedEvent, LogPosition, LogState, last_transition
from db.media import media_by_ids
from db.media_lists import MediaCriteria, MediaScope
from db.models import (
    Media,
    MediaEvent,
    MediaEventType,
    MediaKind,
    MediaStatus,
    Role,
    User,
    Visibility,
    utc_now,
)
from db.reads import read_snapshot
from db.sessions import Sessions
from services.cursors import LiveCursors
from services.errors import no_such_media
from services.feed import EventFeed, LogTruncatedError

_TERMINAL = (MediaStatus.READY, MediaStatus.FAILED)


class LiveUpdateType(StrEnum):
    """What a stream sends: the logged types, and three that concern only the stream."""

    SNAPSHOT = "SNAPSHOT"
    CREATED = "CREATED"
    STATUS_CHANGED = "STATUS_CHANGED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    RESYNC = "RESYNC"
    CURSOR = "CURSOR"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveUpdate:
    """`media_id`, `version` and `status` are None only for RESYNC and CURSOR.

    `media` is the row as it is now, which may be later than `version`; None when it is gone.
    `matches` is False when the media has just left the filter.
    """

    type: LiveUpdateType
    cursor: str
    occurred_at: datetime
    media_id: UUID | None = None
    version: int | None = None
    status: MediaStatus | None = None
    previous_status: MediaStatus | None = None
    matches: bool = True
    media: Media | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """One of the owner's media, read after a place in the log was taken.

    `row` is None once it is deleted; `last` is the newest transition in the log, None when it was pruned.
    """

    row: Media | None
    last: MediaEvent | None

    @property
    def known(self) -> bool:
        """It is there, or the log still tells that it was."""
        return self.row is not None or (self.last is not None and self.last.type is MediaEventType.DELETED)

    @property
    def ended(self) -> bool:
        return self.row is None or self.row.status in _TERMINAL

    def logged_after(self, place: LogPosition) -> bool:
        """Whether whoever follows from `place` will be told how it stands."""
        if self.last is None:
            return False
        return self.last.position is None or self.last.position > place.position

    def is_history(self, event: LoggedEvent) -> bool:
        """A FAILED that was retried since ends no stream."""
        return self.last is not None and event.version < self.last.version


@dataclass(frozen=True, slots=True)
class LiveEvents:
    sessions: Sessions
    feed: EventFeed
    cursors: LiveCursors

    async def live_cursor(self) -> str:
        """A cursor to follow a list from: take it before the list's rows are read."""
        return self.cursors.encode(await self.feed.position())

    async def follow_media(
        self, viewer: User, media_id: UUID, after: str | None = None
    ) -> AsyncGenerator[LiveUpdate]:
        """The present state, then each transition in order; ends after READY, FAILED or the deletion.

        It also ends, with a last update that doesn't match, once somebody else's media is no longer public.

        With `after` the transitions since that cursor come in place of the present state, unless they are
        no longer there: then RESYNC and the present state. A media that ended before the cursor is told
        once as it is. Raises NotFound and InvalidInput before anything is sent.
        """
        end, place = await self._start(after)
        standing = await self._standing(viewer, media_id)
        if not standing.known or (standing.row is None and after is None):
            raise no_such_media("id")
        if after is not None and place is None:
            yield self._resync(end)
        seen = 0
        while True:
            if place is None or (standing.ended and not standing.logged_after(place)):
                if standing.row is None:
                    return
                yield self._snapshot(standing.row, end)
                if standing.ended:
                    return
                seen = standing.row.version
            try:
                async with aclosing(self.feed.follow(place or end.end, media_id=media_id)) as batches:
                    async for batch in batches:
                        news = [event for event in batch if event.version > seen and _is_told(viewer, event)]
                        rows = await self._rows(viewer, news)
                        for event in news:
                            in_sight = _in_sight(viewer, event.owner_id, event.visibility)
                            yield self._update(event, end.epoch, rows, in_sight and not _is_deletion(event))
                            if not in_sight or (_is_ending(event) and not standing.is_history(event)):
                                return
            except LogTruncatedError:
                end, place = await self.feed.state(), None
                standing = await self._standing(viewer, media_id)
                yield self._resync(end)

    async def follow_library(
        self, viewer: User, criteria: MediaCriteria, after: str | None = None
    ) -> AsyncGenerator[LiveUpdate]:
        """Every change of media that meet the criteria before or after it; does not end.

        Begins with CURSOR when `after` is absent, and goes on from here with RESYNC whenever what was
        missed is no longer there. Raises InvalidInput before anything is sent.
        """
        end, place = await self._start(after)
        if after is None:
            yield self._about_stream(LiveUpdateType.CURSOR, end)
        elif place is None:
            yield self._resync(end)
        owner_id = viewer.id if criteria.scope is MediaScope.MINE else None
        while True:
            try:
                async with aclosing(self.feed.follow(place or end.end, owner_id=owner_id)) as batches:
                    async for batch in batches:
                        for update in await self._matching(viewer, criteria, batch, end.epoch):
                            yield update
            except LogTruncatedError:
                end, place = await self.feed.state(), None
                yield self._resync(end)

    async def _start(self, after: str | None) -> tuple[LogState, LogPosition | None]:
        """The log's end, and the place that `after` names; None when there is none to go on from."""
        state = await self.feed.state()
        place = None if after is None else self.cursors.decode(after, epoch=state.epoch)
        return state, place if place is not None and state.reaches(place) else None

    async def _matching(
        self, viewer: User, criteria: MediaCriteria, batch: Sequence[LoggedEvent], epoch: UUID
    ) -> list[LiveUpdate]:
        before = {event.position for event in batch if _matches_before(viewer, criteria, event)}
        after = {event.position for event in batch if _matches_after(viewer, criteria, event)}
        news = [event for event in batch if event.position in before | after]
        rows = await self._rows(viewer, news)
        return [self._update(event, epoch, rows, event.position in after) for event in news]

    async def _rows(self, viewer: User, events: Sequence[LoggedEvent]) -> dict[UUID, Media]:
        """The media of these events as they are now, in one statement; those in the viewer's sight."""
        if not events:
            return {}

        async def read(session: AsyncSession) -> dict[UUID, Media]:
            rows = await media_by_ids(session, viewer, {event.media_id for event in events})
            return {media.id: media for media in rows}

        return await read_snapshot(self.sessions, read)

    async def _standing(self, viewer: User, media_id: UUID) -> _Standing:
        async def read(session: AsyncSession) -> _Standing:
            rows = await media_by_ids(session, viewer, [media_id])
            last = await last_transition(session, viewer, media_id)
            return _Standing(row=next(iter(rows), None), last=last)

        return await read_snapshot(self.sessions, read)

    def _update(self, event: LoggedEvent, epoch: UUID, rows: dict[UUID, Media], matches: bool) -> LiveUpdate:
        return LiveUpdate(
            type=LiveUpdateType(event.type),
            cursor=self.cursors.encode(LogPosition(epoch=epoch, position=event.position)),
            occurred_at=event.at,
            media_id=event.media_id,
            version=event.version,
            status=event.status,
            previous_status=event.previous_status,
            matches=matches,
            media=rows.get(event.media_id),
        )

    def _snapshot(self, row: Media, end: LogState) -> LiveUpdate:
        return LiveUpdate(
            type=LiveUpdateType.SNAPSHOT,
            cursor=self.cursors.encode(end.end),
            occurred_at=row.updated_at,
            media_id=row.id,
            version=row.version,
            status=row.status,
            media=row,
        )

    def _resync(self, end: LogState) -> LiveUpdate:
        return self._about_stream(LiveUpdateType.RESYNC, end)

    def _about_stream(self, type: LiveUpdateType, end: LogState) -> LiveUpdate:
        return LiveUpdate(type=type, cursor=self.cursors.encode(end.end), occurred_at=utc_now())


def _is_deletion(event: LoggedEvent) -> bool:
    return event.type is MediaEventType.DELETED


def _is_ending(event: LoggedEvent) -> bool:
    return _is_deletion(event) or event.status in _TERMINAL


def _in_sight(viewer: User, owner_id: UUID, visibility: Visibility) -> bool:
    return viewer.role is Role.ADMIN or owner_id == viewer.id or visibility is Visibility.PUBLIC


def _is_told(viewer: User, event: LoggedEvent) -> bool:
    """To whoever watches one media: its transitions, and that it has gone out of sight."""
    if _in_sight(viewer, event.owner_id, event.visibility):
        return event.type in TRANSITIONS
    return event.previous_visibility is Visibility.PUBLIC


def _matches_after(viewer: User, criteria: MediaCriteria, event: LoggedEvent) -> bool:
    if _is_deletion(event) or not _in_scope(viewer, criteria.scope, event.owner_id, event.visibility):
        return False
    return _holds(criteria, event.media_id, event.kind, event.status, event.tags)


def _matches_before(viewer: User, criteria: MediaCriteria, event: LoggedEvent) -> bool:
    visibility = event.previous_visibility or event.visibility
    if event.type is MediaEventType.CREATED or not _in_scope(
        viewer, criteria.scope, event.owner_id, visibility
    ):
        return False
    return _holds(
        criteria,
        event.media_id,
        event.previous_kind or event.kind,
        event.previous_status or event.status,
        event.tags if event.previous_tags is None else event.previous_tags,
    )


def _in_scope(viewer: User, scope: MediaScope, owner_id: UUID, visibility: Visibility) -> bool:
    match scope:
        case MediaScope.MINE:
            return owner_id == viewer.id
        case MediaScope.PUBLIC:
            return visibility is Visibility.PUBLIC
        case MediaScope.ALL:
            return viewer.role is Role.ADMIN


def _holds(
    criteria: MediaCriteria, media_id: UUID, kind: MediaKind, status: MediaStatus, tags: Sequence[str]
) -> bool:
    return (
        (criteria.media_ids is None or media_id in criteria.media_ids)
        and (criteria.kinds is None or kind in criteria.kinds)
        and (criteria.statuses is None or status in criteria.statuses)
        and criteria.tags_all.issubset(tags)
        and (criteria.tags_any is None or not criteria.tags_any.isdisjoint(tags))
        and criteria.tags_none.isdisjoint(tags)
    )
