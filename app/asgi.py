"""The HTTP application: what answers at which path, and what every request passes first."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from app.body_limit import BodyLimit
from app.graphiql_page import GraphiQLPage, graphiql_assets
from app.graphql_view import CONNECTION_INIT_PATIENCE, GraphQLView
from app.health import health_routes
from app.objects import object_routes
from app.observability import Observability
from app.public_objects import is_public_path, public_options
from app.runtime import Runtime

# A page that was written for S3 may send them to the disk store too, which has all of it in the address.
_S3_HEADERS = ["if-none-match", "x-amz-checksum-sha256", "x-amz-sdk-checksum-algorithm"]


def create_app(
    runtime: Runtime, *, connection_init_patience: timedelta = CONNECTION_INIT_PATIENCE
) -> ASGIApp:
    """The runtime's feed must be running while the application serves."""
    graphql = BodyLimit(GraphQLView(runtime, connection_init_patience=connection_init_patience))
    graphiql = runtime.settings.graphiql
    return Starlette(
        routes=[
            Route("/", _welcome(graphiql)),
            Route("/graphql", GraphiQLPage(graphql) if graphiql else graphql),
            WebSocketRoute("/graphql", graphql),
            *([graphiql_assets()] if graphiql else []),
            *([] if runtime.disk_store is None else object_routes(runtime.disk_store)),
            *health_routes(runtime),
        ],
        middleware=[
            Middleware(Observability),
            Middleware(TrustedHostMiddleware, allowed_hosts=runtime.settings.hosts, www_redirect=False),
            Middleware(
                _Cors,
                allow_origins=runtime.settings.cors_origins,
                allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
                allow_headers=["content-type", "content-md5", "authorization", "range", *_S3_HEADERS],
                expose_headers=["etag", "content-range", "accept-ranges", "content-length"],
                max_age=600,
            ),
        ],
    )


class _Cors(CORSMiddleware):
    """Public objects say the same to every page, so that shared caches can keep it: no setting counts."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_public_path(scope):
            await super().__call__(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await public_options()(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _welcome(graphiql: bool) -> Callable[[Request], Awaitable[Response]]:
    text = (
        "This is Darkroom.\n\n"
        "  /graphql   the API: POST, and WebSocket (graphql-transport-ws)\n"
        + ("             in a browser: GraphiQL, to try it out\n" if graphiql else "")
        + "  /readyz    whether it can serve\n"
        "  /metrics   what it has counted\n"
    )

    async def welcome(request: Request) -> Response:
        return PlainTextResponse(text)

    return welcome
