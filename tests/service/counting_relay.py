"""A relay in front of a service or a store that counts bytes, and the parts that it handed on whole."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from urllib.parse import parse_qs, urlsplit

_BLOCK_BYTES = 64 * 1024
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_UPGRADE = re.compile(rb"(?i)\r\nupgrade: *websocket")


class CountingRelay:
    """`parts`: how often each part was handed on to its last byte. `body_bytes` are those of all PUTs.

    `on_part` is called at that moment, before anything else is relayed.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.origin = ""
        self.parts: Counter[int] = Counter()
        self.body_bytes = 0
        self.on_part: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop
        self._cuts = 0

    def cut(self) -> None:
        """Hand on nothing more of what is on its way now: megabytes of it may still lie in the kernel."""
        self._cuts += 1

    def forget(self) -> None:
        """Count from nothing again."""
        self.parts.clear()
        self.body_bytes = 0
        self.on_part = lambda: None

    @asynccontextmanager
    async def running(self) -> AsyncIterator["CountingRelay"]:
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0, limit=_BLOCK_BYTES * 2) as server:
            self.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    @contextmanager
    def running_aside(self) -> Iterator["CountingRelay"]:
        """In a thread of its own, for tests that block; `on_part` is called there."""
        started, ended = threading.Event(), asyncio.Event()

        async def run() -> None:
            async with self.running():
                self._loop = asyncio.get_running_loop()
                started.set()
                await ended.wait()

        thread = threading.Thread(target=asyncio.run, args=(run(),))
        thread.start()
        try:
            assert started.wait(10), "The relay did not start."
            yield self
        finally:
            self._loop.call_soon_threadsafe(ended.set)
            thread.join()

    async def _relay(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            service, to_service = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            to_client.close()
            return
        pumps = [
            asyncio.create_task(self._requests(client, to_service)),
            asyncio.create_task(_pump(service, to_client)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for each in (to_client, to_service):
                each.close()

    async def _requests(self, client: asyncio.StreamReader, to_service: asyncio.StreamWriter) -> None:
        cuts = self._cuts
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await client.readuntil(b"\r\n\r\n")
                self._break_off_since(cuts)
                to_service.write(head)
                if _UPGRADE.search(head):
                    await _pump(client, to_service)
                    return
                found = _LENGTH.search(head)
                await self._body(head, int(found[1]) if found else 0, client, to_service, cuts)

    def _break_off_since(self, cuts: int) -> None:
        if cuts != self._cuts:
            raise ConnectionResetError

    async def _body(
        self,
        head: bytes,
        left: int,
        client: asyncio.StreamReader,
        to_service: asyncio.StreamWriter,
        cuts: int,
    ) -> None:
        method, target = head.split(b" ", 2)[:2]
        while left:
            block = await client.read(min(_BLOCK_BYTES, left))
            if not block:
                raise ConnectionResetError
            self._break_off_since(cuts)
            to_service.write(block)
            await to_service.drain()
            left -= len(block)
            if method == b"PUT":
                self.body_bytes += len(block)
        number = parse_qs(urlsplit(target.decode()).query).get("partNumber")
        if method == b"PUT" and number:
            self.parts[int(number[0])] += 1
            self.on_part()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while block := await reader.read(_BLOCK_BYTES):
            writer.write(block)
            await writer.drain()
