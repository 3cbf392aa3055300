"""The table of contents: every root field of the contract and the function that answers it."""

from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from resolvers import live as live_resolvers
from resolvers import media as media_resolvers
from resolvers import nodes as node_resolvers
from resolvers import tags as tag_resolvers
from resolvers import uploads as upload_resolvers
from resolvers.errors import ErrorPolicy
from schema.errors import ConflictError, GenericError, InvalidInputError, NotFoundError
from schema.scalars import SCALARS
from schema.types import Rendition

#: Far above what a page of media with everything in it needs (7, 1 and about 200).
MAX_DEPTH = 12
MAX_ALIASES = 30
MAX_TOKENS = 2_000


@strawberry.type(description="What can be read.")
class Query:
    node = strawberry.field(
        resolver=node_resolvers.node,
        description="Anything by its global id; null where it is not there or not yours.",
    )
    nodes = strawberry.field(
        resolver=node_resolvers.nodes, description="Several things by their global ids, in the order asked."
    )
    media = strawberry.field(
        resolver=media_resolvers.media, description="One media; null where it is not there or not yours."
    )
    media_items = strawberry.field(
        resolver=media_resolvers.media_items, description="The viewer's media, the newest first."
    )
    tags = strawberry.field(resolver=tag_resolvers.tags, description="The viewer's tags, by slug.")
    viewer = strawberry.field(resolver=node_resolvers.viewer, description="Who asks.")


@strawberry.type(description="What can be changed. Every mutation may be sent again.")
class Mutation:
    request_upload = strawberry.mutation(
        resolver=upload_resolvers.request_upload,
        description="Announce a file; the answer says where to send its bytes.",
    )
    request_uploads = strawberry.mutation(
        resolver=upload_resolvers.request_uploads,
        description="Announce up to 100 files; one that is refused does not hold back the others.",
    )
    finalize_upload = strawberry.mutation(
        resolver=upload_resolvers.finalize_upload,
        description="Tell that the bytes were sent, which starts their processing.",
    )
    abort_upload = strawberry.mutation(
        resolver=upload_resolvers.abort_upload,
        description="Give up an upload: its media fails as CANCELLED and what arrived is removed.",
    )
    update_media = strawberry.mutation(
        resolver=media_resolvers.update_media, description="Change what the owner says of a media."
    )
    delete_media = strawberry.mutation(
        resolver=media_resolvers.delete_media, description="Delete a media with everything made from it."
    )
    create_tag = strawberry.mutation(
        resolver=tag_resolvers.create_tag, description="Create a tag, or find the one that there is already."
    )
    tag_media = strawberry.mutation(resolver=tag_resolvers.tag_media, description="Put tags on media.")
    untag_media = strawberry.mutation(resolver=tag_resolvers.untag_media, description="Take tags off media.")


@strawberry.type(description="What can be followed.")
class Subscription:
    media_status = strawberry.subscription(
        resolver=live_resolvers.media_status,
        description="One media: its present state at once, then every transition in order; "
        "completes after READY, FAILED or deletion.",
    )
    media_events = strawberry.subscription(
        resolver=live_resolvers.media_events,
        description="Every change of the viewer's media that match the filter; never completes by itself.",
    )


class DarkroomSchema(strawberry.Schema):
    async def execute(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        """One answer to one request: subscriptions have none, they are streamed."""
        allowed = set(kwargs.pop("allowed_operation_types", None) or OperationType)
        kwargs["allowed_operation_types"] = allowed - {OperationType.SUBSCRIPTION}
        return await super().execute(*args, **kwargs)

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
