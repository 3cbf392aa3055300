"""The `info` of a resolver, with the context that this room supplies."""

from strawberry.types import Info as StrawberryInfo

from resolvers.context import RequestContext

Info = StrawberryInfo[RequestContext, None]
