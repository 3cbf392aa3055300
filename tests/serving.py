"""A real HTTP server on a free port of the loopback interface, for tests that mean the wire."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import uvicorn
from starlette.types import ASGIApp

HttpParser = Literal["httptools", "h11"]


@asynccontextmanager
async def serve(
    make_app: Callable[[str], ASGIApp], *, parser: HttpParser = "httptools", websockets: bool = False
) -> AsyncIterator[str]:
    """Serve what `make_app` returns for the server's own address, and yield that address.

    `websockets` are served with the settings of `app.serve`.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            make_app(address),
            http=parser,
            ws="auto" if websockets else "none",
            ws_per_message_deflate=False,
            ws_max_size=256 * 1024,
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await until(lambda: server.started or serving.done())
            yield address
        finally:
            server.should_exit = True
            await serving


async def until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    """Wait for what another task, thread or process will bring about; fail when it doesn't."""
    pause = 0.005
    for _ in range(int(seconds / pause)):
        if condition():
            return
        await asyncio.sleep(pause)
    raise AssertionError(f"Waited {seconds} s in vain.")
