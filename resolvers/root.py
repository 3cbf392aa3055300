"""The table of contents: every root field of the contract and the function that answers it."""

from collections.abc import Iterable, Iterator
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.extensions import (
    AddValidationRules,
    MaxAliasesLimiter,
    MaxTokensLimiter,
    ParserCache,
    QueryDepthLimiter,
    ValidationCache,
)
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

#: Made once: ValidationCache knows a document again only under the very same classes.
LIMITING_RULES = [
    *QueryDepthLimiter(max_depth=MAX_DEPTH).validation_rules,
    *MaxAliasesLimiter(max_alias_count=MAX_ALIASES).validation_rules,
]

#: The caches keep 128 documents each; longer ones would be a way to fill the memory.
MAX_CACHED_CHARACTERS = 8_192


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


@strawberry.type(description="What can be changed.")
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
        description="Give up an upload: its media fails as CANCELLED and what arrived is removed later.",
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


class DocumentCache(ParserCache, ValidationCache):
    """Parses and validates a document once, unless it is long: worth a fifth of a page's CPU."""

    def on_parse(self) -> Iterator[None]:
        yield from super().on_parse() if self._is_short() else _nothing()

    def on_validate(self) -> Iterator[None]:
        yield from super().on_validate() if self._is_short() else _nothing()

    def _is_short(self) -> bool:
        return len(self.execution_context.query or "") <= MAX_CACHED_CHARACTERS


def _nothing() -> Iterator[None]:
    yield


class DarkroomSchema(strawberry.Schema):
    async def execute(
        self,
        query: str | None,
        *args: Any,
        allowed_operation_types: Iterable[OperationType] | None = None,
        **kwargs: Any,
    ) -> ExecutionResult:
        """Queries and mutations: a subscription sent here would be executed as if it were a query."""
        allowed = set(allowed_operation_types or OperationType) - {OperationType.SUBSCRIPTION}
        kwargs["allowed_operation_types"] = allowed
        return await super().execute(query, *args, **kwargs)

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
        lambda: AddValidationRules(LIMITING_RULES),
        lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
        DocumentCache,
    ],
)
