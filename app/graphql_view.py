"""GraphQL over HTTP and WebSocket, held to the GraphQL-over-HTTP specification where Strawberry is not."""

from datetime import timedelta
from typing import Any

import orjson
from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult

from app.body_limit import refused
from app.runtime import Runtime
from resolvers.context import RequestContext
from resolvers.root import schema

_GRAPHQL_RESPONSE = "application/graphql-response+json"

CONNECTION_INIT_PATIENCE = timedelta(seconds=10)
MAX_SUBSCRIPTIONS = 20


class GraphQLView(GraphQL[RequestContext, None]):
    def __init__(self, runtime: Runtime) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=CONNECTION_INIT_PATIENCE,
            max_subscriptions_per_connection=MAX_SUBSCRIPTIONS,
            allowed_origins=runtime.settings.cors_origins,
        )
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            response = await self.run(Request(scope, receive))
        except HTTPException as error:
            response = refused(error.status_code, error.reason)
        await response(scope, receive, send)

    async def get_context(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> RequestContext:
        return RequestContext(
            viewer=self._runtime.viewer,
            services=self._runtime.services,
            caching=isinstance(request, Request),
        )

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        body = await super().process_result(request, result)
        # GraphQL over HTTP §6.4: a request that was not executed has no `data` at all.
        if result.data is None and result.errors and not any(error.path for error in result.errors):
            body.pop("data", None)
        request.scope["not_executed"] = "data" not in body
        return body

    async def run(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        response = await super().run(request, *args, **kwargs)
        if request.scope["type"] == "http" and _asks_for_graphql_response(request, response):
            response.headers["content-type"] = f"{_GRAPHQL_RESPONSE}; charset=utf-8"
            if request.scope.get("not_executed"):
                response.status_code = 400
        return response

    def decode_json(self, data: str | bytes) -> object:
        return orjson.loads(data)

    def encode_json(self, data: object) -> str:
        """As text: a WebSocket sends bytes as a binary message, which no GraphQL client reads."""
        return orjson.dumps(data).decode()


def _asks_for_graphql_response(request: Request, response: Response) -> bool:
    return _GRAPHQL_RESPONSE in request.headers.get("accept", "") and response.headers.get(
        "content-type", ""
    ).startswith("application/json")
