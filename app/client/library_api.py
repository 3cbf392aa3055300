"""What the commands for the library ask of the service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.client.answers import USER_ERRORS, listed_media, rendition, tag, user_errors
from app.client.endpoint import Endpoint
from app.client.errors import NotConnectedError
from app.client.media import ListedMedia, Order, Rendition, Status, Tag, UserError
from app.client.selection import Selection

#: How many things one request may name or list.
PAGE_SIZE = 100

#: Enough for a row of a list, and for an event's.
LISTED = """
  id version kind status visibility filename title mimeType size createdAt updatedAt
  failure { code message } tags { id name slug }
"""
_SHOWN = """
  __typename id version kind status visibility filename title description metadata mimeType detectedMimeType
  size sha256 sha256Verified createdAt updatedAt readyAt
  failure { code message step retryable } tags { id name slug }
  details { __typename ... on ImageDetails { width height animated thumbhash } }
  renditions { name role mimeType width height size url { url expiresAt } }
  download { url expiresAt }
"""
_PAGE = f"""
  query Page($filter: MediaFilter, $orderBy: MediaOrder!, $first: Int!, $after: String) {{
    mediaItems(filter: $filter, orderBy: $orderBy, first: $first, after: $after) {{
      nodes {{ {LISTED} }} pageInfo {{ hasNextPage endCursor }} liveCursor
    }}
  }}"""
_COUNTS = """
  query Counts($uploading: MediaFilter, $processing: MediaFilter, $ready: MediaFilter, $failed: MediaFilter) {
    uploading: mediaItems(filter: $uploading, first: 1) { totalCount }
    processing: mediaItems(filter: $processing, first: 1) { totalCount }
    ready: mediaItems(filter: $ready, first: 1) { totalCount }
    failed: mediaItems(filter: $failed, first: 1) { totalCount }
  }"""
_SHOW = f"query Show($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Media {{ {_SHOWN} }} }} }}"
_NAMES = "query Names($ids: [ID!]!) { nodes(ids: $ids) { ... on Media { id filename } } }"
_ORIGINAL = """
  query Original($id: ID!) {
    media(id: $id) { status filename mimeType size sha256 sha256Verified download { url } }
  }"""
_RENDITIONS = """
  query Renditions($id: ID!) {
    media(id: $id) { status filename renditions { name mimeType width height size url { url } } }
  }"""
_DELETE = f"mutation Delete($id: ID!) {{ deleteMedia(id: $id) {{ deletedId {USER_ERRORS} }} }}"
_RETAGGED = f"media {{ id filename tags {{ id name slug }} }} {USER_ERRORS}"
_TAG = f"""
  mutation Tag($ids: [ID!]!, $names: [String!]!) {{
    answers: tagMedia(mediaIds: $ids, tags: $names) {{ {_RETAGGED} }}
  }}"""
_UNTAG = f"""
  mutation Untag($ids: [ID!]!, $names: [String!]!) {{
    answers: untagMedia(mediaIds: $ids, tags: $names) {{ {_RETAGGED} }}
  }}"""
_TAGS = """
  query Tags($search: String, $first: Int!, $after: String) {
    tags(search: $search, first: $first, after: $after) {
      nodes { id name slug mediaCount } pageInfo { hasNextPage endCursor }
    }
  }"""


_ORDERS = {
    Order.NEWEST: "CREATED_AT_DESC",
    Order.OLDEST: "CREATED_AT_ASC",
    Order.CHANGED: "UPDATED_AT_DESC",
    Order.NAME: "FILENAME_ASC",
    Order.LARGEST: "SIZE_DESC",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`next` is the cursor of the following page, None at the end; follow the list from `live_cursor`."""

    media: tuple[ListedMedia, ...]
    next: str | None
    live_cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagPage:
    tags: tuple[Tag, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """`sha256` in hex, where the service itself computed it; `url` is None before there are bytes."""

    status: Status
    filename: str
    byte_size: int
    sha256: str | None
    url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renditions:
    status: Status
    filename: str
    renditions: tuple[Rendition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retagged:
    filename: str
    tags: tuple[Tag, ...]


class LibraryApi(Endpoint):
    async def page(
        self, selection: Selection, *, first: int, after: str | None = None, order: Order = Order.NEWEST
    ) -> Page:
        """At most `PAGE_SIZE` media."""
        variables = {
            "filter": selection.filter(),
            "orderBy": _ORDERS[order],
            "first": first,
            "after": after,
        }
        connection = (await self._repeat(_PAGE, variables))["mediaItems"]
        return Page(
            media=tuple(map(listed_media, connection["nodes"])),
            next=_next(connection),
            live_cursor=connection["liveCursor"],
        )

    async def counts(self, selection: Selection) -> dict[Status, int]:
        """How many of the selected media are in each status."""
        wanted = set(selection.statuses or Status)
        variables = {
            status.lower(): {**selection.filter(), "status": [status] if status in wanted else []}
            for status in Status
        }
        answer = await self._repeat(_COUNTS, variables)
        return {status: int(answer[status.lower()]["totalCount"] or 0) for status in Status}

    async def show(self, ids: Sequence[str]) -> list[Mapping[str, Any] | None]:
        """Everything of at most `PAGE_SIZE` media, in the order of `ids`; None where there is none."""
        return [node or None for node in (await self._repeat(_SHOW, {"ids": list(ids)}))["nodes"]]

    async def filenames(self, ids: Sequence[str]) -> list[str | None]:
        """Of at most `PAGE_SIZE` media, in the order of `ids`; None where there is none."""
        nodes = (await self._repeat(_NAMES, {"ids": list(ids)}))["nodes"]
        return [node["filename"] if node else None for node in nodes]

    async def original(self, media_id: str) -> Original | None:
        """With a freshly signed address; None when there is no such media."""
        media = (await self._repeat(_ORIGINAL, {"id": media_id}))["media"]
        if media is None:
            return None
        return Original(
            status=Status(media["status"]),
            filename=media["filename"],
            byte_size=media["size"],
            sha256=media["sha256"] if media["sha256Verified"] else None,
            url=(media["download"] or {}).get("url"),
        )

    async def renditions(self, media_id: str) -> Renditions | None:
        """With freshly signed addresses; None when there is no such media."""
        media = (await self._repeat(_RENDITIONS, {"id": media_id}))["media"]
        if media is None:
            return None
        return Renditions(
            status=Status(media["status"]),
            filename=media["filename"],
            renditions=tuple(map(rendition, media["renditions"])),
        )

    async def delete(self, media_id: str) -> list[UserError]:
        """Why it was not deleted; empty when it was.

        Said again only if it can't have been heard: the second answer would be that there is no such media.
        """
        answer = await self._repeat(_DELETE, {"id": media_id}, on=NotConnectedError)
        return user_errors(answer["deleteMedia"])

    async def tag(self, ids: Sequence[str], names: Sequence[str]) -> list[Retagged | list[UserError]]:
        """Put tags on at most `PAGE_SIZE` media; answers in the order of `ids`."""
        return _retagged(await self._repeat(_TAG, {"ids": list(ids), "names": list(names)}))

    async def untag(self, ids: Sequence[str], names: Sequence[str]) -> list[Retagged | list[UserError]]:
        """Take tags off at most `PAGE_SIZE` media; answers in the order of `ids`."""
        return _retagged(await self._repeat(_UNTAG, {"ids": list(ids), "names": list(names)}))

    async def tags(self, *, search: str | None, first: int, after: str | None = None) -> TagPage:
        """At most `PAGE_SIZE` tags, by slug; with `search` those whose slug begins with it."""
        variables = {"search": search, "first": first, "after": after}
        connection = (await self._repeat(_TAGS, variables))["tags"]
        return TagPage(tags=tuple(map(tag, connection["nodes"])), next=_next(connection))


def _next(connection: Mapping[str, Any]) -> str | None:
    info = connection["pageInfo"]
    return info["endCursor"] if info["hasNextPage"] else None


def _retagged(answer: Mapping[str, Any]) -> list[Retagged | list[UserError]]:
    return [
        user_errors(payload)
        or Retagged(filename=payload["media"]["filename"], tags=tuple(map(tag, payload["media"]["tags"])))
        for payload in answer["answers"]
    ]
