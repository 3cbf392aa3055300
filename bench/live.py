"""How soon a client sees on its WebSocket what it has caused by a mutation."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pyvips

from bench.client import MEDIA_STATUS, Client, LiveSocket, connected, live_socket
from bench.report import Result, percentile
from bench.service import Installation, service

IDLE_SUBSCRIBERS = 100

#: Uploads in one half of a round.
BLOCK = 40

_CUTS = (50, 95, 99)

#: They follow the same owner's library: each is asked about every event, and none matches.
_IDLE = """
subscription Idle($id: ID!) { mediaEvents(filter: {ids: [$id]}) { type version status cursor } }
"""


@dataclass(slots=True)
class Delays:
    """Milliseconds from sending finalizeUpload: to its answer, to PROCESSING, and to READY."""

    answer: list[float] = field(default_factory=list)
    event: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)


async def measure(home: Installation, *, rounds: int) -> Result:
    content = _tiny_picture()
    alone, among = Delays(), Delays()
    async with service(home) as darkroom, connected(darkroom.origin) as client, live_socket(client) as socket:
        await _uploads(client, socket, content, Delays())
        for _ in range(rounds):
            await _uploads(client, socket, content, alone)
            async with _idle_subscribers(client, content):
                await _uploads(client, socket, content, among)
    return _result(alone, among)


def _tiny_picture() -> bytes:
    image = pyvips.Image.black(48, 32, bands=3).copy(interpretation="srgb")
    return bytes(image.draw_rect([40, 120, 200], 0, 0, 48, 16, fill=True).pngsave_buffer())


@asynccontextmanager
async def _idle_subscribers(client: Client, content: bytes) -> AsyncIterator[None]:
    waiting = await client.announce("idle.png", "image/png", len(content))
    async with AsyncExitStack() as stack:
        for _ in range(IDLE_SUBSCRIBERS):
            socket = await stack.enter_async_context(live_socket(client))
            stream = await socket.subscribe(_IDLE, {"id": waiting.media_id})
            await stream.next()  # CURSOR: it is attached.
        yield


async def _uploads(client: Client, socket: LiveSocket, content: bytes, delays: Delays) -> None:
    """One after the other: each begins when nothing of the one before is being done any more."""
    for _ in range(BLOCK):
        announced = await client.announce("tiny.png", "image/png", len(content))
        await client.send(announced, content)
        stream = await socket.subscribe(MEDIA_STATUS, {"id": announced.media_id})
        await stream.until("UPLOADING")
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:  # A refusal must not leave us waiting for the event.
            answering = tasks.create_task(client.finalize(announced))
            processing = await stream.until("PROCESSING")
            ready = await stream.until("READY")
        delays.answer.append((answering.result() - began) * 1000)
        delays.event.append((processing.at - began) * 1000)
        delays.ready.append((ready.at - began) * 1000)


def _result(alone: Delays, among: Delays) -> Result:
    def row(name: str, delays: list[float]) -> list[str]:
        return [
            name,
            *(f"{percentile(delays, cut):.1f}" for cut in _CUTS),
            f"{max(delays):.1f}",
        ]

    with_idle = f"with {IDLE_SUBSCRIBERS} idle subscribers"
    ratio = [f"{percentile(among.event, cut) / percentile(alone.event, cut):.2f}" for cut in _CUTS]
    return Result(
        title="live: from finalizeUpload to the event at the client",
        method=f"{len(alone.event)} uploads each way of a picture of 48 × 32 pixels, one after the other, in "
        f"turns of {BLOCK}; the clock starts when finalizeUpload is sent, and stops when the message is read "
        "from a graphql-transport-ws socket. The idle subscribers follow the same library on a socket each, "
        "with a filter that nothing matches. Client and service share the machine.",
        columns=("ms", "p50", "p95", "p99", "greatest"),
        rows=[
            row("answer to finalizeUpload", alone.answer),
            row("PROCESSING at the client", alone.event),
            row("READY at the client", alone.ready),
            row(f"answer to finalizeUpload, {with_idle}", among.answer),
            row(f"PROCESSING at the client, {with_idle}", among.event),
            row(f"READY at the client, {with_idle}", among.ready),
            [f"PROCESSING, {with_idle} / without", *ratio, ""],
        ],
        samples={
            f"{name}.{figure}_ms": getattr(delays, figure)
            for name, delays in (("alone", alone), ("idle_subscribers", among))
            for figure in ("answer", "event", "ready")
        },
    )
