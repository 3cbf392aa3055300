"""GraphQL over HTTP and WebSocket, held to the GraphQL-over-HTTP specification where Strawberry is not."""

import json
import re
from datetime import timedelta
from typing import Any

import orjson
from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse
from strawberry.http.types import QueryParams
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import Message
from strawberry.types import ExecutionResult

from app.runtime import Runtime
from resolvers.context import RequestContext
from resolvers.errors import transport_error
from resolvers.root import schema

_GRAPHQL_RESPONSE = "application/graphql-response+json"

CONNECTION_INIT_PATIENCE = timedelta(seconds=10)
MAX_SUBSCRIPTIONS = 20

#: As many digits as a number beyond 64 bits has at the least.
_LONG_NUMBER = re.compile(rb"[0-9]{19}")


class _SocketHandler(BaseGraphQLTransportWSHandler[RequestContext, None]):
    async def send_message(self, message: Message) -> None:
        """What the protocol itself refuses gets a code and a trace id, like all that the schema does."""
        if message["type"] == "error":
            message["payload"] = [
                error if error.get("extensions") else {**error, **transport_error(error["message"])}
                for error in message["payload"]
            ]
        await super().send_message(message)


class GraphQLView(GraphQL[RequestContext, None]):
    graphql_transport_ws_handler_class = _SocketHandler

    def __init__(self, runtime: Runtime, *, connection_init_patience: timedelta) -> None:
        super().__init__(
            schema,
            graphql_ide=None,
            subscription_protocols=(GRAPHQL_TRANSPORT_WS_PROTOCOL,),
            connection_init_wait_timeout=connection_init_patience,
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
            response = JSONResponse({"errors": [transport_error(_sentence(error))]}, error.status_code)
        await response(scope, receive, send)

    async def get_context(
        self, request: Request | WebSocket, response: Response | WebSocket
    ) -> RequestContext:
        return RequestContext(viewer=self._runtime.viewer, services=self._runtime.services)

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
        """RFC 8259 to the letter, and integers of any length as they are: orjson makes floats of those."""
        body: object = orjson.loads(data)
        if _LONG_NUMBER.search(data if isinstance(data, bytes) else data.encode()):
            try:
                body = json.loads(data)
            except RecursionError:
                raise json.JSONDecodeError("Nested too deeply", "", 0) from None
        if not isinstance(body, dict):
            raise json.JSONDecodeError("An object is expected", "", 0)
        return body

    def parse_query_params(self, params: QueryParams) -> dict[str, Any]:
        """`variables=null` is the same as none."""
        given = {name: value for name, value in dict(params).items() if value != "null"}
        return super().parse_query_params(given)

    def encode_json(self, data: object) -> str:
        """As text: a WebSocket sends bytes as a binary message, which no GraphQL client reads."""
        return orjson.dumps(data).decode()


def _sentence(error: HTTPException) -> str:
    """The reason, and what was wrong with the JSON where it was that."""
    cause = error.__cause__
    return f"{error.reason}: {cause}." if isinstance(cause, json.JSONDecodeError) else error.reason


def _asks_for_graphql_response(request: Request, response: Response) -> bool:
    return _GRAPHQL_RESPONSE in request.headers.get("accept", "") and response.headers.get(
        "content-type", ""
    ).startswith("application/json")
