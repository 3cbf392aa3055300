"""The table of contents: every root field of the contract and the function that answers it."""

import strawberry
from graphql import GraphQLError
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from resolvers import live, media, nodes, tags, uploads
from resolvers.errors import ErrorPolicy
from schema.connections import MediaConnection, TagConnection
from schema.errors import ConflictError, GenericError, InvalidInputError, NotFoundError
from schema.events import MediaEvent
from schema.payloads import (
    DeletePayload,
    MediaPayload,
    RequestUploadPayload,
    TagPayload,
    UploadPayload,
)
from schema.scalars import SCALARS
from schema.types import Media, Node, Rendition, User

#: Far above what a page of media with everything in it needs (7, 1 and about 200).
MAX_DEPTH = 12
MAX_ALIASES = 30
MAX_TOKENS = 2_000


@strawberry.type(description="What can be read.")
class Query:
    node: Node | None = strawberry.field(
        resolver=nodes.node, description="Anything by its global id; null where it is not there or not yours."
    )
    nodes: list[Node | None] = strawberry.field(
        resolver=nodes.nodes, description="Several things by their global ids, in the order asked."
    )
    media: Media | None = strawberry.field(
        resolver=media.media, description="One media; null where it is not there or not yours."
    )
    media_items: MediaConnection = strawberry.field(
        resolver=media.media_items, description="The viewer's media, the newest first."
    )
    tags: TagConnection = strawberry.field(
        resolver=tags.tags, description="The viewer's tags, by slug."
    )
    viewer: User | None = strawberry.field(resolver=nodes.viewer, description="Who asks.")


@strawberry.type(description="What can be changed. Every mutation may be sent again.")
class Mutation:
    request_upload: RequestUploadPayload = strawberry.mutation(
        resolver=uploads.request_upload,
        description="Announce a file; the answer says where to send its bytes.",
    )
    request_uploads: list[RequestUploadPayload] = strawberry.mutation(
        resolver=uploads.request_uploads,
        description="Announce up to 100 files; one that is refused does not hold back the others.",
    )
    finalize_upload: MediaPayload = strawberry.mutation(
        resolver=uploads.finalize_upload,
        description="Tell that the bytes were sent, which starts their processing.",
    )
    abort_upload: UploadPayload = strawberry.mutation(
        resolver=uploads.abort_upload,
        description="Give up an upload: its media fails as CANCELLED and what arrived is removed.",
    )
    update_media: MediaPayload = strawberry.mutation(
        resolver=media.update_media, description="Change what the owner says of a media."
    )
    delete_media: DeletePayload = strawberry.mutation(
        resolver=media.delete_media, description="Delete a media with everything made from it."
    )
    create_tag: TagPayload = strawberry.mutation(
        resolver=tags.create_tag, description="Create a tag, or find the one that there is already."
    )
    tag_media: list[MediaPayload] = strawberry.mutation(
        resolver=tags.tag_media, description="Put tags on media."
    )
    untag_media: list[MediaPayload] = strawberry.mutation(
        resolver=tags.untag_media, description="Take tags off media."
    )


@strawberry.type(description="What can be followed.")
class Subscription:
    media_status: MediaEvent = strawberry.subscription(
        resolver=live.media_status,
        description="One media: its present state at once, then every transition in order; "
        "completes after READY, FAILED or deletion.",
    )
    media_events: MediaEvent = strawberry.subscription(
        resolver=live.media_events,
        description="Every change of the viewer's media that match the filter; never completes by itself.",
    )


class DarkroomSchema(strawberry.Schema):
    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Nothing: `ErrorPolicy` logs what is to be logged, once and with the trace id."""


schema = DarkroomSchema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    types=[Rendition, GenericError, InvalidInputError, NotFoundError, ConflictError],
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=[
        ErrorPolicy,
        lambda: QueryDepthLimiter(max_depth=MAX_DEPTH),
        lambda: MaxAliasesLimiter(max_alias_count=MAX_ALIASES),
        lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
    ],
)
