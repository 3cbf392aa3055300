"""Reading and changing media."""

from typing import Annotated

import strawberry

from resolvers.errors import user_errors
from resolvers.filters import criteria
from resolvers.info import Info
from resolvers.pages import media_connection
from schema.connections import After, Before, First, Last, MediaConnection
from schema.enums import MediaOrder
from schema.ids import id_of
from schema.inputs import MediaFilter, UpdateMediaInput
from schema.payloads import DeletePayload, MediaPayload
from schema.types import Media
from services.errors import Refusal, Rejected, no_such_media
from services.library import UNSET, MediaChanges
from services.pages import page_request


async def media(
    info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The media's id.")]
) -> Media | None:
    media_id = id_of(id, "Media")
    row = None if media_id is None else await info.context.media.load(media_id)
    return None if row is None else Media.of(row)


async def media_items(
    info: Info,
    filter: Annotated[
        MediaFilter | None, strawberry.argument(description="Which media; all of the viewer's by default.")
    ] = None,
    order_by: Annotated[
        MediaOrder | None, strawberry.argument(description="In which order.")
    ] = MediaOrder.CREATED_AT_DESC,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> MediaConnection:
    return await media_connection(
        info.context.services.library,
        info.context.viewer,
        criteria(filter),
        order_by or MediaOrder.CREATED_AT_DESC,
        page_request(first=first, after=after, last=last, before=before),
    )


async def update_media(
    info: Info,
    input: Annotated[UpdateMediaInput, strawberry.argument(description="The media and its new values.")],
) -> MediaPayload:
    changes = MediaChanges(
        title=UNSET if input.title is None else input.title.value,
        description=UNSET if input.description is None else input.description.value,
        metadata=UNSET if input.metadata is None else input.metadata.value,
        visibility=input.visibility or UNSET,
    )
    try:
        media_id = id_of(input.id, "Media")
        if media_id is None:
            raise no_such_media("id")
        row = await info.context.services.library.update(
            info.context.viewer, media_id, changes, if_version=input.if_version
        )
    except (Refusal, Rejected) as error:
        return MediaPayload(user_errors=user_errors(error))
    return MediaPayload(media=Media.of(row))


async def delete_media(
    info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The media's id.")]
) -> DeletePayload:
    try:
        media_id = id_of(id, "Media")
        if media_id is None:
            raise no_such_media("id")
        await info.context.services.library.delete(info.context.viewer, media_id)
    except Refusal as refusal:
        return DeletePayload(user_errors=user_errors(refusal))
    return DeletePayload(deleted_id=id)
