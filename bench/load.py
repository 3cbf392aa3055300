"""The load generator, a process of its own: `python -m bench.load`, its task as JSON on standard input.

Each of its connections sends the same request again as soon as the answer is there. It reads of an answer
only status and length, so that it can ask faster than any server here answers.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import cast

import uvloop

#: Beyond the task's own seconds, for connecting and for the last answers.
GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Requests are sent for `seconds`; an answer must be 200 with a body of `answer_bytes` bytes."""

    port: int
    path: str
    body: str
    answer_bytes: int
    connections: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class Outcome:
    requests: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    def __init__(self, task: Task, outcome: Outcome, deadline: float) -> None:
        body = task.body.encode()
        head = (
            f"POST {task.path} HTTP/1.1\r\nhost: 127.0.0.1:{task.port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._task, self._outcome, self._deadline = task, outcome, deadline
        self._answer = bytearray()
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        if not separator or len(body) < self._task.answer_bytes:
            if not head.startswith(b"HTTP/1.1 200"[: len(head)]):
                self._fail(f"The answer was {bytes(self._answer[:300])!r}")
            return
        if f"content-length: {self._task.answer_bytes}\r\n".encode() not in head.lower() + b"\r\n":
            self._fail(f"The answer has not {self._task.answer_bytes} bytes: {bytes(head)!r}")
            return
        now = time.perf_counter()
        self._outcome.requests += 1
        self._outcome.latencies_ms.append((now - self._sent_at) * 1000)
        self._answer.clear()
        if now < self._deadline:
            self._send()
        elif not self.done.done():
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("The connection was lost.")

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def _fail(self, sentence: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(sentence))


async def load(task: Task) -> Outcome:
    outcome, began, cpu = Outcome(), time.perf_counter(), time.process_time()
    loop = asyncio.get_running_loop()
    connections = [
        (
            await loop.create_connection(
                lambda: _Connection(task, outcome, began + task.seconds), "127.0.0.1", task.port
            )
        )[1]
        for _ in range(task.connections)
    ]
    async with asyncio.timeout(task.seconds + GRACE_SECONDS):
        await asyncio.gather(*(connection.done for connection in connections))
    outcome.wall_seconds, outcome.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return outcome


async def load_from_elsewhere(task: Task) -> Outcome:
    """Run `load` in a process of its own. Raises RuntimeError with what it complains of."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(task.seconds + 2 * GRACE_SECONDS):
            printed, complaint = await process.communicate(json.dumps(asdict(task)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(complaint.decode()[-500:])
    return Outcome(**json.loads(printed))


if __name__ == "__main__":
    json.dump(asdict(uvloop.run(load(Task(**json.load(sys.stdin))))), sys.stdout)
