"""The event log: positions given after the commit, and read in their order.

Positions have no holes and become visible in their order, and one media's versions stand in theirs; why, and
what the simpler cursors lose, is docs/decisions/0002-positions-after-the-commit.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, Table, column, func, or_, table, true, update
from sqlalchemy import cast as sql_cast
from sqlalchemy import delete as delete_rows
from sqlalchemy.dialects.postgresql import OID
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from db.models import EventLog, MediaEvent, MediaEventType, MediaKind, MediaStatus, Role, User, Visibility

#: Names the advisory lock that lets one process at a time give positions ("dark" in ASCII).
NUMBERING_LOCK = 0x6461726B

#: Rows numbered in one transaction: bounds how long the others wait.
NUMBERING_BATCH = 10_000

#: A process that stops while it holds the lock (SIGSTOP, a lost network) loses it after this long.
NUMBERING_IDLE_MS = 5_000

#: The lines that tell of a status; a change of the title is no transition.
TRANSITIONS = (MediaEventType.CREATED, MediaEventType.STATUS_CHANGED, MediaEventType.DELETED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPosition:
    """A place in one log: everything up to and including `position` has been seen."""

    epoch: UUID
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """`position` is the last number given; lines up to `pruned_through` are no longer kept."""

    epoch: UUID
    position: int
    pruned_through: int

    @property
    def end(self) -> LogPosition:
        return LogPosition(epoch=self.epoch, position=self.position)

    def reaches(self, place: LogPosition) -> bool:
        """Whether everything after `place` can still be read here."""
        return self.epoch == place.epoch and self.pruned_through <= place.position <= self.position


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """A numbered line of the log (`MediaEvent` says what the fields mean)."""

    position: int
    media_id: UUID
    owner_id: UUID
    version: int
    type: MediaEventType
    status: MediaStatus
    previous_status: MediaStatus | None
    kind: MediaKind
    previous_kind: MediaKind | None
    visibility: Visibility
    previous_visibility: Visibility | None
    tags: Sequence[str]
    previous_tags: Sequence[str] | None
    at: datetime


_EVENTS = cast(Table, MediaEvent.__table__)  # type: ignore[attr-defined]
_LOG = cast(Table, EventLog.__table__)  # type: ignore[attr-defined]
_LOGGED = tuple(_EVENTS.c[field.name] for field in fields(LoggedEvent))


async def number_events(session: AsyncSession, limit: int = NUMBERING_BATCH) -> int:
    """Give the next positions to at most `limit` committed lines that have none; say how many it were.

    The session's transaction must be READ COMMITTED and must end right after: the lock is held until then.
    Any number of processes may call it at any time.
    """
    unnumbered = select(_EVENTS.c.id).where(_EVENTS.c.position.is_(None)).limit(1)
    if (await session.exec(unnumbered)).first() is None:
        return 0
    await _take_numbering_lock(session)
    numbered = await _give_positions(session, limit)
    if numbered:
        await session.exec(update(_LOG).values(position=_LOG.c.position + numbered))
    return numbered


async def _take_numbering_lock(session: AsyncSession) -> None:
    """Wait for the lock in a statement of its own: the next one sees what the last holder committed."""
    statement = select(
        func.current_setting("transaction_isolation"),
        func.set_config("idle_in_transaction_session_timeout", str(NUMBERING_IDLE_MS), True),
        func.pg_advisory_xact_lock(NUMBERING_LOCK),
    )
    isolation, *_ = (await session.exec(statement)).one()
    if isolation != "read committed":
        raise RuntimeError(f"Positions are given under READ COMMITTED: {isolation} would lose lines.")


async def _give_positions(session: AsyncSession, limit: int) -> int:
    batch = (
        select(_EVENTS.c.id, _EVENTS.c.version)
        .where(_EVENTS.c.position.is_(None))
        .order_by(_EVENTS.c.version, _EVENTS.c.id)
        .limit(limit)
        .cte("batch")
    )
    rank = func.row_number().over(order_by=(batch.c.version, batch.c.id))
    ranked = select(batch.c.id, rank.label("rank")).subquery("ranked")
    last = select(_LOG.c.position).scalar_subquery()
    # The second "is null" changes nothing but the plan: the small partial index, never the whole log.
    statement = (
        update(_EVENTS)
        .where(_EVENTS.c.id == ranked.c.id, _EVENTS.c.position.is_(None))
        .values(position=last + ranked.c.rank)
    )
    result: CursorResult[*tuple[Any, ...]] = await session.exec(statement)
    return result.rowcount


async def read_events(
    session: AsyncSession,
    *,
    after: int,
    limit: int,
    owner_id: UUID | None = None,
    media_id: UUID | None = None,
) -> list[LoggedEvent]:
    """The next numbered lines after position `after`, in order; only one owner's or one media's if given."""
    statement = select(*_LOGGED).where(_EVENTS.c.position > after).order_by(_EVENTS.c.position).limit(limit)
    if owner_id is not None:
        statement = statement.where(_EVENTS.c.owner_id == owner_id)
    if media_id is not None:
        statement = statement.where(_EVENTS.c.media_id == media_id)
    return [LoggedEvent(**row._mapping) for row in await session.exec(statement)]


async def last_transition(session: AsyncSession, viewer: User, media_id: UUID) -> MediaEvent | None:
    """The newest transition of a media that the log still has, numbered or not, and the viewer may see."""
    statement = (
        select(MediaEvent)
        .where(
            col(MediaEvent.media_id) == media_id,
            col(MediaEvent.type).in_(TRANSITIONS),
            _in_sight(viewer),
        )
        .order_by(col(MediaEvent.version).desc())
        .limit(1)
    )
    return (await session.exec(statement)).one_or_none()


def _in_sight(viewer: User) -> ColumnElement[bool]:
    if viewer.role is Role.ADMIN:
        return true()
    return or_(col(MediaEvent.owner_id) == viewer.id, col(MediaEvent.visibility) == Visibility.PUBLIC)


async def log_state(session: AsyncSession) -> LogState:
    statement = select(_LOG.c.epoch, _LOG.c.position, _LOG.c.pruned_through)
    epoch, position, pruned_through = (await session.exec(statement)).one()
    return LogState(epoch=epoch, position=position, pruned_through=pruned_through)


async def settle_log(session: AsyncSession) -> bool:
    """Draw a new epoch where the log finds itself in another database than before; whether it did.

    A restored dump continues from older positions, so cursors from after it was made must not be followed.
    """
    # Of the last, a dump restored into the very same database gets a new one.
    home = func.concat(
        select(column("system_identifier")).select_from(func.pg_control_system()).scalar_subquery(),
        "/",
        select(column("oid"))
        .select_from(table("pg_database"))
        .where(column("datname") == func.current_database())
        .scalar_subquery(),
        "/",
        sql_cast(func.to_regclass("event_log"), OID),
    )
    result: CursorResult[*tuple[Any, ...]] = await session.exec(
        update(_LOG).where(_LOG.c.home.is_distinct_from(home)).values(home=home, epoch=func.gen_random_uuid())
    )
    return result.rowcount > 0


async def prune_events(session: AsyncSession, *, older_than: datetime, limit: int = NUMBERING_BATCH) -> int:
    """Forget at most `limit` of the oldest lines, all from before `older_than`; say how many it were."""
    state = await log_state(session)
    kept = (
        select(_EVENTS.c.position)
        .where(_EVENTS.c.position > state.pruned_through, _EVENTS.c.at >= older_than)
        .order_by(_EVENTS.c.position)
        .limit(1)
    )
    first_kept = (await session.exec(kept)).first()
    end = state.position if first_kept is None else first_kept - 1
    through = min(end, state.pruned_through + limit)
    result: CursorResult[*tuple[Any, ...]] = await session.exec(
        delete_rows(_EVENTS).where(_EVENTS.c.position <= through)
    )
    await session.exec(update(_LOG).values(pruned_through=func.greatest(_LOG.c.pruned_through, through)))
    return result.rowcount
