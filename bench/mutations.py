"""Mutations from a process of its own: `python -m bench.mutations`, its task as JSON on standard input.

Unlike `bench.load` it sends every body once, reads the answers whole, and hands them back.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import orjson
import uvloop

PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """`connections` send the bodies in turn, each the next one as soon as it has an answer."""

    port: int
    bodies: Sequence[str]
    connections: int


@dataclass(slots=True, kw_only=True)
class Outcome:
    """`answers` are the payloads, in the order in which they came."""

    wall_seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)


async def send(task: Task) -> Outcome:
    """Raises RuntimeError for an answer with an error in it."""
    outcome, bodies = Outcome(), iter(task.bodies)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.timeout(PATIENCE_SECONDS):
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(task.connections):
                tasks.create_task(_send(session, task.port, bodies, outcome))
        outcome.wall_seconds = time.perf_counter() - began
    return outcome


async def _send(session: aiohttp.ClientSession, port: int, bodies: Iterator[str], outcome: Outcome) -> None:
    headers = {"content-type": "application/json"}
    for body in bodies:
        sent_at = time.perf_counter()
        async with session.post(f"http://127.0.0.1:{port}/graphql", data=body, headers=headers) as response:
            answer = await response.read()
        outcome.latencies_ms.append((time.perf_counter() - sent_at) * 1000)
        outcome.answers.append(_payload(answer))


def _payload(answer: bytes) -> Any:
    body = orjson.loads(answer)
    if body.get("errors"):
        raise RuntimeError(f"The server answered {body['errors']}")
    [payload] = body["data"].values()
    for each in payload if isinstance(payload, list) else [payload]:
        if each["userErrors"]:
            raise RuntimeError(f"The server answered {each['userErrors']}")
    return payload


async def send_from_elsewhere(task: Task) -> Outcome:
    """Run `send` in a process of its own. Raises RuntimeError with what it complains of."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.mutations"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, complaint = await process.communicate(json.dumps(asdict(task)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(complaint.decode()[-500:])
    return Outcome(**json.loads(printed))


if __name__ == "__main__":
    json.dump(asdict(uvloop.run(send(Task(**json.load(sys.stdin))))), sys.stdout)
