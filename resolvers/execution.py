"""How operations are executed: their limits, what is remembered of a document, what happens to errors."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.extensions import (
    AddValidationRules,
    MaxAliasesLimiter,
    MaxTokensLimiter,
    ParserCache,
    QueryDepthLimiter,
    SchemaExtension,
    ValidationCache,
)
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from resolvers.errors import ErrorPolicy

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


class DocumentCache(ParserCache, ValidationCache):
    """Parses and validates a document once, unless it is long: worth a fifth of a page's CPU."""

    def on_parse(self) -> Iterator[None]:
        hook = super().on_parse() if self._is_short() else _nothing()
        # What can't be parsed is parsed again, outside this hook, where its error goes the way of all others.
        with suppress(GraphQLError):
            next(hook)
        yield

    def on_validate(self) -> Iterator[None]:
        yield from super().on_validate() if self._is_short() else _nothing()

    def _is_short(self) -> bool:
        return len(self.execution_context.query or "") <= MAX_CACHED_CHARACTERS


def _nothing() -> Iterator[None]:
    yield


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


EXTENSIONS: list[type[SchemaExtension] | Callable[[], SchemaExtension]] = [
    ErrorPolicy,
    lambda: AddValidationRules(LIMITING_RULES),
    lambda: MaxTokensLimiter(max_token_count=MAX_TOKENS),
    DocumentCache,
]
