"""The two streams. What they send and in which order is decided in `services.live`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import strawberry

from resolvers.filters import criteria
from resolvers.info import Info
from schema.enums import MediaEventType
from schema.events import MediaEvent
from schema.ids import global_id, id_of
from schema.inputs import MediaEventFilter
from schema.types import Media
from services.errors import no_such_media
from services.live import LiveUpdate
from services.media_places import check_scope

Resume = Annotated[
    str | None, strawberry.argument(description="The cursor of the last event received, to go on from there.")
]


async def media_status(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The media to watch.")],
    after: Resume = None,
) -> AsyncGenerator[MediaEvent, None]:
    media_id = id_of(id, "Media")
    if media_id is None:
        raise no_such_media("id")
    live = info.context.services.live
    async with aclosing(live.follow_media(info.context.viewer, media_id, after)) as updates:
        async for update in updates:
            yield _event(update)


async def media_events(
    info: Info,
    filter: Annotated[
        MediaEventFilter | None, strawberry.argument(description="Which media; all by default.")
    ] = None,
    after: Resume = None,
) -> AsyncGenerator[MediaEvent, None]:
    live = info.context.services.live
    chosen = criteria(filter)
    check_scope(info.context.viewer, chosen.scope)
    async with aclosing(live.follow_library(info.context.viewer, chosen, after)) as updates:
        async for update in updates:
            yield _event(update)


def _event(update: LiveUpdate) -> MediaEvent:
    return MediaEvent(
        cursor=update.cursor,
        type=MediaEventType(update.type.value),
        media_id=None if update.media_id is None else global_id("Media", update.media_id),
        version=update.version,
        status=update.status,
        previous_status=update.previous_status,
        matches=update.matches,
        media=None if update.media is None else Media.of(update.media),
        occurred_at=update.occurred_at,
    )
