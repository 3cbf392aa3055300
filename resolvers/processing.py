"""Trying processing again and cancelling it."""

from typing import Annotated
from uuid import UUID

import strawberry

from resolvers.errors import user_errors
from resolvers.info import Info
from schema.ids import id_of
from schema.payloads import MediaPayload
from schema.types import Media
from services.errors import Refusal, no_such_media

MediaId = Annotated[strawberry.ID, strawberry.argument(description="The media's id.")]


async def retry_processing(
    info: Info,
    media_id: MediaId,
    steps: Annotated[
        list[str] | None,
        strawberry.argument(
            description="Names of steps to do again besides those that did not succeed; what waits for them "
            "is done again as well."
        ),
    ] = None,
) -> MediaPayload:
    control = info.context.services.processing_control
    try:
        row = await control.retry(info.context.viewer, _row_id(media_id), steps)
    except Refusal as refusal:
        return MediaPayload(user_errors=user_errors(refusal))
    return MediaPayload(media=Media.of(row))


async def cancel_processing(info: Info, media_id: MediaId) -> MediaPayload:
    control = info.context.services.processing_control
    try:
        row = await control.cancel(info.context.viewer, _row_id(media_id))
    except Refusal as refusal:
        return MediaPayload(user_errors=user_errors(refusal))
    return MediaPayload(media=Media.of(row))


def _row_id(media_id: strawberry.ID) -> UUID:
    row_id = id_of(media_id, "Media")
    if row_id is None:
        raise no_such_media("mediaId")
    return row_id
