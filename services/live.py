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
from db.media import MediaCriteria, media_by_ids
from db.models import Media, MediaEvent, MediaEventType, MediaKind, MediaStatus, utc_now
from db.reads import read_snapshot
from db.sessions import Sessions
from services.cursors import LiveCursors
from services.errors import NotFound
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
        self, owner_id: UUID, media_id: UUID, after: str | None = None
    ) -> AsyncGenerator[LiveUpdate]:
        """The present state, then each transition in order; ends after READY, FAILED or the deletion.

        With `after` the transitions since that cursor come in place of the present state, unless they are
        no longer there: then RESYNC and the present state. A media that ended before the cursor is told
        once as it is. Raises NotFound and InvalidInput before anything is sent.
        """
        end, place = await self._start(after)
        standing = await self._standing(owner_id, media_id)
        if not standing.known or (standing.row is None and after is None):
            raise NotFound("There is no media with this id.", "id")
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
            following = self.feed.follow(place or end.end, owner_id=owner_id, media_id=media_id)
            try:
                async with aclosing(following) as batches:
                    async for batch in batches:
                        transitions = [e for e in batch if e.type in TRANSITIONS and e.version > seen]
                        rows = await self._rows(owner_id, transitions)
                        for event in transitions:
                            yield self._update(event, end.epoch, rows, not _is_deletion(event))
                            if _is_ending(event) and not standing.is_history(event):
                                return
            except LogTruncatedError:
                end, place = await self.feed.state(), None
                standing = await self._standing(owner_id, media_id)
                yield self._resync(end)

    async def follow_library(
        self, owner_id: UUID, criteria: MediaCriteria, after: str | None = None
    ) -> AsyncGenerator[LiveUpdate]:
        """Every change of the owner's media that meet the criteria before or after it; does not end.

        Begins with CURSOR when `after` is absent, and goes on from here with RESYNC whenever what was
        missed is no longer there. Raises InvalidInput before anything is sent.
        """
        end, place = await self._start(after)
        if after is None:
            yield self._about_stream(LiveUpdateType.CURSOR, end)
        elif place is None:
            yield self._resync(end)
        while True:
            try:
                async with aclosing(self.feed.follow(place or end.end, owner_id=owner_id)) as batches:
                    async for batch in batches:
                        for update in await self._matching(owner_id, criteria, batch, end.epoch):
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
        self, owner_id: UUID, criteria: MediaCriteria, batch: Sequence[LoggedEvent], epoch: UUID
    ) -> list[LiveUpdate]:
        news = [e for e in batch if _matches_before(criteria, e) or _matches_after(criteria, e)]
        rows = await self._rows(owner_id, news)
        return [self._update(event, epoch, rows, _matches_after(criteria, event)) for event in news]

    async def _rows(self, owner_id: UUID, events: Sequence[LoggedEvent]) -> dict[UUID, Media]:
        """The media of these events as they are now, in one statement."""
        if not events:
            return {}

        async def read(session: AsyncSession) -> dict[UUID, Media]:
            rows = await media_by_ids(session, owner_id, {event.media_id for event in events})
            return {media.id: media for media in rows}

        return await read_snapshot(self.sessions, read)

    async def _standing(self, owner_id: UUID, media_id: UUID) -> _Standing:
        async def read(session: AsyncSession) -> _Standing:
            rows = await media_by_ids(session, owner_id, [media_id])
            last = await last_transition(session, owner_id, media_id)
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


def _matches_after(criteria: MediaCriteria, event: LoggedEvent) -> bool:
    if _is_deletion(event):
        return False
    return _holds(criteria, event.media_id, event.kind, event.status, event.tags)


def _matches_before(criteria: MediaCriteria, event: LoggedEvent) -> bool:
    if event.type is MediaEventType.CREATED:
        return False
    return _holds(
        criteria,
        event.media_id,
        event.previous_kind or event.kind,
        event.previous_status or event.status,
        event.tags if event.previous_tags is None else event.previous_tags,
    )


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
