"""The library: finding media, changing what their owner says of them, deleting them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final
from uuid import UUID

from db.blobs import give_to_collector
from db.events import log_state
from db.media import change_media, delete_media, lock_media
from db.media_lists import MediaCriteria, MediaOrder, Stretch, count_media, first_by_tag, page_media
from db.models import Media, MediaEventType, Tag, User, Visibility, is_same_json
from db.sessions import Sessions
from pubsub.doorbell import Doorbell
from services import validation
from services.cursors import LiveCursors
from services.errors import Conflict, Refusal, Rejected, collecting, no_such_media
from services.media_places import MediaPlaces, check_scope
from services.page_cursors import PageCursors
from services.pages import PageRequest
from services.publications import Publications, queue_publication


class Unset(Enum):
    """A field that the client left out, which is not the same as null."""

    UNSET = "UNSET"


UNSET: Final = Unset.UNSET

_TAG_ORDER = MediaOrder.CREATED_AT_DESC


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaChanges:
    """Absent is unchanged, None is cleared."""

    title: str | Unset | None = UNSET
    description: str | Unset | None = UNSET
    metadata: object | Unset = UNSET
    visibility: Visibility | Unset = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPage:
    """`live_cursor` was taken before the rows: a stream from there on misses nothing that they lack."""

    media: Sequence[Media]
    cursors: Sequence[str]
    has_next: bool
    has_previous: bool
    live_cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    sessions: Sessions
    doorbell: Doorbell
    page_cursors: PageCursors
    live_cursors: LiveCursors
    publications: Publications
    collection_grace: timedelta

    async def page(
        self, viewer: User, criteria: MediaCriteria, order: MediaOrder, request: PageRequest
    ) -> MediaPage:
        """A page of the list in its order, whichever end it was asked from.

        Raises InvalidInput for a length out of range or a cursor of another list, Forbidden for a scope that
        is not the viewer's.
        """
        check_scope(viewer, criteria.scope)
        places = MediaPlaces(cursors=self.page_cursors, viewer=viewer, criteria=criteria, order=order)
        stretch = Stretch(
            limit=request.size + 1,
            after=None if request.after is None else places.decode(request.after, "after"),
            before=None if request.before is None else places.decode(request.before, "before"),
            from_end=request.from_end,
        )
        async with self.sessions() as session:
            state = await log_state(session)
            rows = await page_media(session, viewer, criteria, order, stretch)
        return _page(places, request, rows, self.live_cursors.encode(state.end))

    async def first_of_tags(self, viewer: User, tags: Sequence[tuple[Tag, PageRequest]]) -> list[MediaPage]:
        """The first page of the viewer's media with each tag, newest first; empty for somebody else's tag.

        One statement for all pages of one length. The requests have no cursors.
        """
        async with self.sessions() as session:
            state = await log_state(session)
            rows = {
                size: await first_by_tag(session, viewer, ids, size + 1)
                for size, ids in _by_size(viewer, tags).items()
            }
        live_cursor = self.live_cursors.encode(state.end)
        pages = []
        for tag, request in tags:
            criteria = _of_tag(tag)
            places = MediaPlaces(
                cursors=self.page_cursors, viewer=viewer, criteria=criteria, order=_TAG_ORDER
            )
            media = rows.get(request.size, {}).get(tag.id, [])
            pages.append(_page(places, request, media, live_cursor))
        return pages

    async def page_of_tag(self, viewer: User, tag: Tag, request: PageRequest) -> MediaPage:
        """A page of the list that `first_of_tags` begins. Raises InvalidInput for a cursor of another one."""
        return await self.page(viewer, _of_tag(tag), _TAG_ORDER, request)

    async def count(self, viewer: User, criteria: MediaCriteria) -> int:
        check_scope(viewer, criteria.scope)
        async with self.sessions() as session:
            return await count_media(session, viewer, criteria)

    async def update(
        self, owner: User, media_id: UUID, changes: MediaChanges, *, if_version: int | None
    ) -> Media:
        """Apply what is given; a call that changes nothing makes no new version.

        A media that becomes PRIVATE has lost its public copies when this returns, unless the store does not
        answer in time; one that becomes PUBLIC gets them by a job. Raises Rejected with every field that is
        wrong, NotFound, and Conflict where `if_version` is not the present version.
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
            if "visibility" in values:
                await queue_publication(session, media_id)
        await self.doorbell.ring()
        if values.get("visibility") is Visibility.PRIVATE:
            await self.publications.settle_now(media_id)
        return media

    async def delete(self, owner: User, media_id: UUID) -> None:
        """Delete the media at once, and its public copies as `update` does; the rest of its bytes go when the
        collector comes by. Raises NotFound.
        """
        async with self.sessions.begin() as session:
            media = (await lock_media(session, owner.id, [media_id])).get(media_id)
            if media is None:
                raise no_such_media("id")
            blob_id, was_public = media.blob_id, media.visibility is Visibility.PUBLIC
            await delete_media(session, media)
            await give_to_collector(session, blob_id, grace=self.collection_grace)
            if was_public:
                await queue_publication(session, media_id)
        await self.doorbell.ring()
        if was_public:
            await self.publications.settle_now(media_id)


def _page(places: MediaPlaces, request: PageRequest, rows: Sequence[Media], live_cursor: str) -> MediaPage:
    media, has_next, has_previous = request.cut(rows)
    return MediaPage(
        media=media,
        cursors=[places.encode(row) for row in media],
        has_next=has_next,
        has_previous=has_previous,
        live_cursor=live_cursor,
    )


def _of_tag(tag: Tag) -> MediaCriteria:
    """The viewer's media with it: by its id, so that its pages go on when it is renamed between them."""
    return MediaCriteria(tag_id=tag.id)


def _by_size(viewer: User, tags: Sequence[tuple[Tag, PageRequest]]) -> dict[int, list[UUID]]:
    """The ids of the viewer's own tags, by the length of the page that is asked for."""
    sizes: dict[int, list[UUID]] = {}
    for tag, request in tags:
        if tag.owner_id == viewer.id:
            sizes.setdefault(request.size, []).append(tag.id)
    return sizes


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
    if changes.visibility is not UNSET:
        values["visibility"] = changes.visibility
    if refusals:
        raise Rejected(refusals)
    return values
