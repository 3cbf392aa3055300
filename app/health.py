"""Whether the process lives, whether it can serve, and what it has counted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app.runtime import Runtime

log = structlog.get_logger()

CHECK_SECONDS = 3.0

#: An event log that nobody has read for this long is one that streams no longer follow.
MAX_FEED_AGE_SECONDS = 15.0


def health_routes(runtime: Runtime) -> list[Route]:
    checks = {
        "database": lambda: _check_database(runtime),
        "storage": runtime.store.check,
        "events": lambda: _check_events(runtime),
    }

    async def livez(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        found = dict(
            zip(checks, await asyncio.gather(*(_passes(*check) for check in checks.items())), strict=True)
        )
        return JSONResponse(found, status_code=200 if all(found.values()) else 503)

    async def metrics(request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]


async def _passes(name: str, check: Callable[[], Awaitable[Any]]) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:
        log.warning("not_ready", check=name, error=repr(error))
        return False
    return True


async def _check_database(runtime: Runtime) -> None:
    async with runtime.engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


async def _check_events(runtime: Runtime) -> None:
    if runtime.feed.status.age_seconds > MAX_FEED_AGE_SECONDS:
        raise RuntimeError(f"The event log was last read {runtime.feed.status.age_seconds:.0f} s ago.")
