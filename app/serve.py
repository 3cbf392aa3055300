"""`serve`: the API and a worker in one process, until a signal says that it is enough."""

import asyncio
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from app.asgi import create_app
from app.graphiql_page import require_files
from app.launcher import launcher
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.storage_events import following_storage_events
from app.worker import running_worker
from storage.errors import StorageError
from storage.objects import ObjectStore

log = structlog.get_logger()

#: Requests and streams that are open when a signal comes get this long.
GRACE_SECONDS = 5

#: More than an orderly end takes; a database that is frozen would hold us for ever.
STOP_SECONDS = 60.0

#: The store is looked at for so long, once, when the service is up.
STORE_SECONDS = 3.0


class _Server(uvicorn.Server):
    """uvicorn raises captured signals again when it ends, which would cut off what we still have to close."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Raises SystemExit or OperationError with a sentence otherwise."""
    settings.refuse_exposure()
    if settings.graphiql:
        require_files()
    with _listener(settings) as listener, _signals() as stop:
        async with (
            open_runtime(settings) as runtime,
            runtime.feed.running(),
            running_worker(runtime),
            following_storage_events(runtime),
        ):
            server = _Server(_config(runtime))
            serving = asyncio.create_task(server.serve([listener]))
            waiting = asyncio.create_task(_announce_and_wait(server, runtime, stop))
            await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            waiting.cancel()
            await serving
            if not stop.is_set():
                raise SystemExit(1)


async def work(settings: Settings) -> None:
    """Only process, without an API, until SIGINT or SIGTERM."""
    with _signals() as stop:
        async with open_runtime(settings) as runtime, running_worker(runtime):
            log.info("working", slots=settings.slots)
            await stop.wait()


async def follow_events(settings: Settings) -> None:
    """Only follow the storage's events, until SIGINT or SIGTERM."""
    if settings.sqs_url is None:
        raise SystemExit(
            "There is no queue to follow: set DARKROOM_SQS_URL to the one of the bucket's events."
        )
    with _signals() as stop:
        async with open_runtime(settings) as runtime, following_storage_events(runtime):
            await stop.wait()


@contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    """Take the port before anything is started for it; who connects too early waits until we serve."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise SystemExit(_why_not(error, settings)) from None
    with listener:
        yield listener


def _why_not(error: OSError, settings: Settings) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {settings.port} of {settings.host} is in use, perhaps by another Darkroom. "
            "Stop what uses it, or set DARKROOM_PORT to another one."
        )
    reason = str(error.strerror).partition(" (while")[0]  # what follows is the address again
    return f"Darkroom can't listen on {settings.host}, port {settings.port}: {reason}."


@contextmanager
def _signals() -> Iterator[asyncio.Event]:
    """The first SIGINT or SIGTERM asks for the end; a second one, or a minute, does not wait for it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    deadline: asyncio.TimerHandle | None = None

    def heed() -> None:
        nonlocal deadline
        if stop.is_set():
            _end_at_once()
        stop.set()
        deadline = loop.call_later(STOP_SECONDS, _end_at_once)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heed)
    try:
        yield stop
    finally:
        if deadline is not None:
            deadline.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _end_at_once() -> None:
    """As kill -9 does: what is left open is found by the next start."""
    log.warning("ended_unfinished")
    os._exit(1)


def _config(runtime: Runtime) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(runtime),
        host=runtime.settings.host,
        port=runtime.settings.port,
        log_config=None,
        access_log=False,  # its lines hold query strings, and those hold signatures
        ws_per_message_deflate=False,  # 40 KiB a socket and twice the CPU (docs/benchmarks.md)
        ws_max_size=256 * 1024,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


async def _announce_and_wait(server: uvicorn.Server, runtime: Runtime, stop: asyncio.Event) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn tells by this flag only
        await asyncio.sleep(0.02)
    log.info("serving", origin=runtime.settings.origin)
    sys.stderr.write(_banner(runtime.settings))
    looking = asyncio.create_task(_warn_of_store(runtime.store))
    try:
        await stop.wait()
    finally:
        looking.cancel()


async def _warn_of_store(store: ObjectStore) -> None:
    """One line where objects can't be kept: the service runs, for the store may come later."""
    try:
        async with asyncio.timeout(STORE_SECONDS):
            await store.check()
    except TimeoutError:
        said = f"The object store does not answer within {STORE_SECONDS:g} seconds."
    except (StorageError, OSError) as error:
        said = f"The object store does not work: {error}"
    else:
        return
    sys.stderr.write(f"{said} See {launcher()} doctor.\n\n")


def _banner(settings: Settings) -> str:
    in_browsers = " (in a browser: GraphiQL)" if settings.graphiql else ""
    return (
        f"\nDarkroom is ready.\n\n"
        f"  GraphQL   {settings.origin}/graphql{in_browsers}\n"
        f"  Health    {settings.origin}/readyz\n"
        f"  Metrics   {settings.origin}/metrics\n"
        f"  Data      {settings.data_dir}\n\n"
        f"Upload a picture and watch it develop:\n\n"
        f"  {launcher()} upload PHOTO.jpg --tag holiday --watch\n\n"
    )
