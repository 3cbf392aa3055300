"""Listing and creating tags, and putting them on media."""

from typing import Annotated
from uuid import UUID, uuid4

import strawberry

from db import models
from resolvers.errors import bad_user_input, user_errors
from resolvers.info import Info
from resolvers.pages import page_info
from schema.connections import After, First, TagConnection, TagEdge
from schema.ids import id_of
from schema.payloads import MediaPayload, TagPayload
from schema.types import Media, Tag
from services.errors import Refusal
from services.pages import page_request
from services.validation import clean_term

MediaIds = Annotated[list[strawberry.ID], strawberry.argument(description="The media, 100 at most.")]


async def tags(
    info: Info,
    search: Annotated[
        str | None, strawberry.argument(description="Only tags whose slug begins with this.")
    ] = None,
    first: First = None,
    after: After = None,
) -> TagConnection:
    service, viewer = info.context.services.tags, info.context.viewer
    page = await service.page(viewer, search=search, request=page_request(first=first, after=after))
    nodes = [Tag.of(row) for row in page.tags]
    return TagConnection(
        count=lambda: service.count(viewer, search=page.search),
        edges=[TagEdge(cursor=cursor, node=node) for cursor, node in zip(page.cursors, nodes, strict=True)],
        nodes=nodes,
        page_info=page_info(page),
    )


async def tag(
    info: Info, slug: Annotated[str, strawberry.argument(description="The tag's slug.")]
) -> Tag | None:
    row = await info.context.services.tags.find(info.context.viewer, clean_term(slug, "slug"))
    return None if row is None else Tag.of(row)


async def create_tag(
    info: Info,
    name: Annotated[
        str, strawberry.argument(description="Its name: 1 to 64 characters with a letter or a digit.")
    ],
) -> TagPayload:
    try:
        row = await info.context.services.tags.create(info.context.viewer, name)
    except Refusal as refusal:
        return TagPayload(user_errors=user_errors(refusal))
    return TagPayload(tag=Tag.of(row))


async def tag_media(
    info: Info,
    media_ids: MediaIds,
    tags: Annotated[list[str], strawberry.argument(description="Names; those that are new are created.")],
) -> list[MediaPayload]:
    try:
        answers = await info.context.services.tags.tag(info.context.viewer, _row_ids(media_ids), tags)
    except Refusal as refusal:
        raise bad_user_input(refusal.message) from refusal
    return [_payload(answer) for answer in answers]


async def untag_media(
    info: Info,
    media_ids: MediaIds,
    tags: Annotated[list[str], strawberry.argument(description="Names; those it lacks are ignored.")],
) -> list[MediaPayload]:
    try:
        answers = await info.context.services.tags.untag(info.context.viewer, _row_ids(media_ids), tags)
    except Refusal as refusal:
        raise bad_user_input(refusal.message) from refusal
    return [_payload(answer) for answer in answers]


def _row_ids(ids: list[strawberry.ID]) -> list[UUID]:
    """An id that can't be a media's gets a random one, which is answered as not found in its place."""
    return [id_of(id, "Media") or uuid4() for id in ids]


def _payload(answer: models.Media | Refusal) -> MediaPayload:
    if isinstance(answer, Refusal):
        return MediaPayload(user_errors=user_errors(answer))
    return MediaPayload(media=Media.of(answer))
