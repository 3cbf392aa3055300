"""A library in memory: what every list, count and stream of the service is compared with.

It is written from the contract, not from the service: sets and sorted lists, no SQL and no cursors.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

#: The tags of the test: how they are written, and the slug that the contract gives them.
SLUGS = {
    "Red": "red",
    "RED ": "red",
    "Blue Sky": "blue-sky",
    "blue-sky": "blue-sky",
    "Sun": "sun",
    "Sunset 2": "sunset-2",
    "Ärger": "ärger",
}
PUBLIC, PRIVATE = "PUBLIC", "PRIVATE"


@dataclass(frozen=True, kw_only=True)
class Viewer:
    name: str
    admin: bool = False


@dataclass(kw_only=True)
class Tag:
    id: str
    owner: Viewer
    name: str
    slug: str


@dataclass(frozen=True, kw_only=True)
class Media:
    """`row_id` decides between media that are equal in a list's order."""

    id: str
    row_id: UUID
    owner: Viewer
    filename: str
    size: int
    title: str | None
    description: str | None
    metadata: dict[str, object]
    created_at: datetime
    updated_at: datetime
    visibility: str
    status: str = "UPLOADING"
    version: int = 1
    tag_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A field of None asks nothing."""

    scope: str = "MINE"
    status: str | None = None
    visibility: str | None = None
    tags_all: tuple[str, ...] = ()
    tags_any: tuple[str, ...] | None = None
    tags_none: tuple[str, ...] = ()
    search: str | None = None
    kind: str | None = None
    ids: frozenset[str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    metadata: dict[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class State:
    """What an event tells of a media: enough for the filters of streams."""

    media_id: str
    owner: Viewer
    status: str
    visibility: str
    slugs: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One line of the log. `before` is None for CREATED, `after` for DELETED."""

    type: str
    media_id: str
    version: int
    before: State | None
    after: State | None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a stream sends of a change."""

    type: str
    media_id: str
    version: int
    matches: bool


def words(text: str) -> set[str]:
    """Of texts whose letters need no more folding than this."""
    return set(re.findall(r"[^\W_]+", text.casefold()))


ORDERS = {
    "CREATED_AT_DESC": (lambda media: (media.created_at, media.row_id), True),
    "CREATED_AT_ASC": (lambda media: (media.created_at, media.row_id), False),
    "UPDATED_AT_DESC": (lambda media: (media.updated_at, media.row_id), True),
    "FILENAME_ASC": (lambda media: (ascii_lower(media.filename), media.row_id), False),
    "SIZE_DESC": (lambda media: (media.size, media.row_id), True),
}


def ascii_lower(text: str) -> bytes:
    return text.encode().lower()


@dataclass
class Library:
    media: dict[str, Media] = field(default_factory=dict)
    tags: dict[str, Tag] = field(default_factory=dict)
    log: list[Change] = field(default_factory=list)

    def slugs_of(self, media: Media) -> frozenset[str]:
        return frozenset(self.tags[id].slug for id in media.tag_ids)

    def tag_of(self, owner: Viewer, slug: str) -> Tag | None:
        return next((t for t in self.tags.values() if t.owner == owner and t.slug == slug), None)

    def tags_of(self, owner: Viewer) -> list[Tag]:
        return sorted((t for t in self.tags.values() if t.owner == owner), key=lambda tag: tag.slug.encode())

    def count_of(self, tag: Tag) -> int:
        return sum(tag.id in media.tag_ids for media in self.media.values())

    # What is changed: the log gets a line for each media that is.

    def create(self, media: Media) -> None:
        self.media[media.id] = media
        self._log("CREATED", media.id, None, self._state(media))

    def change(self, media: Media, type: str = "UPDATED", **values: object) -> Media:
        before = self._state(media)
        changed = replace(media, version=media.version + 1, **values)  # type: ignore[arg-type]
        self.media[media.id] = changed
        self._log(type, media.id, before, self._state(changed))
        return changed

    def delete(self, media: Media) -> None:
        del self.media[media.id]
        self.log.append(
            Change(
                type="DELETED",
                media_id=media.id,
                version=media.version + 1,
                before=self._state(media),
                after=None,
            )
        )

    def delete_tag(self, tag: Tag) -> list[Media]:
        carriers = [media for media in self.media.values() if tag.id in media.tag_ids]
        changed = [self.change(media, tag_ids=media.tag_ids - {tag.id}) for media in carriers]
        del self.tags[tag.id]
        return changed

    def _state(self, media: Media) -> State:
        return State(
            media_id=media.id,
            owner=media.owner,
            status=media.status,
            visibility=media.visibility,
            slugs=self.slugs_of(media),
        )

    def _log(self, type: str, media_id: str, before: State | None, after: State | None) -> None:
        version = self.media[media_id].version
        self.log.append(Change(type=type, media_id=media_id, version=version, before=before, after=after))

    # What is read.

    def media_of(self, viewer: Viewer, filter: Filter, order: str = "CREATED_AT_DESC") -> list[Media]:
        key, descending = ORDERS[order]
        found = [media for media in self.media.values() if self._shows(viewer, filter, media)]
        return sorted(found, key=key, reverse=descending)

    def told(self, viewer: Viewer, filter: Filter, since: int = 0) -> dict[str, list[Told]]:
        """By media: between media a stream promises no order."""
        told: dict[str, list[Told]] = defaultdict(list)
        for change in self.log[since:]:
            after = change.after is not None and holds(viewer, filter, change.after)
            before = change.before is not None and holds(viewer, filter, change.before)
            if before or after:
                told[change.media_id].append(
                    Told(type=change.type, media_id=change.media_id, version=change.version, matches=after)
                )
        return dict(told)

    def _shows(self, viewer: Viewer, filter: Filter, media: Media) -> bool:
        if not holds(viewer, filter, self._state(media)):
            return False
        if filter.visibility is not None and media.visibility != filter.visibility:
            return False
        if filter.created_after is not None and media.created_at <= filter.created_after:
            return False
        if filter.created_before is not None and media.created_at >= filter.created_before:
            return False
        if not contains(media.metadata, filter.metadata or {}):
            return False
        own = words(media.filename) | words(media.title or "") | words(media.description or "")
        for tag in self.slugs_of(media):
            own |= words(tag)
        return all(any(word.startswith(part) for word in own) for part in words(filter.search or ""))


def contains(whole: object, part: object) -> bool:
    """As PostgreSQL says of jsonb (§8.14.3), for objects within objects."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    return whole == part


def holds(viewer: Viewer, filter: Filter, state: State) -> bool:
    return (
        in_scope(viewer, filter.scope, state)
        and filter.status in (None, state.status)
        and filter.kind in (None, "IMAGE")
        and (filter.ids is None or state.media_id in filter.ids)
        and state.slugs.issuperset(filter.tags_all)
        and (filter.tags_any is None or bool(state.slugs.intersection(filter.tags_any)))
        and state.slugs.isdisjoint(filter.tags_none)
    )


def in_scope(viewer: Viewer, scope: str, state: State) -> bool:
    match scope:
        case "MINE":
            return state.owner == viewer
        case "PUBLIC":
            return state.visibility == PUBLIC
        case _:
            return viewer.admin


def ids(media: Iterable[Media]) -> Sequence[str]:
    return [each.id for each in media]
