"""One line and one measurement for every request, and the trace id that ties them to errors."""

import time
from uuid import uuid4

import structlog
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

REQUESTS = Counter("darkroom_http_requests", "Requests answered.", ["method", "path", "status"])
DURATION = Histogram("darkroom_http_request_seconds", "Time to the end of the answer.", ["method", "path"])
SOCKETS = Counter("darkroom_websockets", "WebSocket connections ended.", ["path"])

#: The paths that are counted by name: anything else is somebody's guess and must not make a new series.
PATHS = frozenset({"graphql", "graphiql-assets", "objects", "livez", "readyz", "metrics", ""})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})


class Observability:
    """Query strings are never logged: they carry signatures."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(trace_id=uuid4().hex)
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, began = 500, time.perf_counter()

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])  # some set an enum, whose name the log would show
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            path = _path_label(scope["path"])
            REQUESTS.labels(method, path, str(status)).inc()
            DURATION.labels(method, path).observe(seconds)
            log.info("request", method=method, path=path, status=status, ms=round(seconds * 1000, 1))

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _path_label(scope["path"])
        log.info("websocket_opened", path=path)
        try:
            await self._app(scope, receive, send)
        finally:
            SOCKETS.labels(path).inc()
            log.info("websocket_closed", path=path)


def _path_label(path: str) -> str:
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return f"/{first}" if first in PATHS else "other"
