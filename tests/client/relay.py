"""A relay in front of the service that loses answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Relay:
    """Connections whose request holds `word` break when the answer comes, the first `times` times."""

    def __init__(self, port: int, word: bytes, *, times: int) -> None:
        self._port = port
        self._word = word
        self._left = times
        self.origin = ""

    @property
    def lost(self) -> bool:
        """Whether it has lost all that it was to lose."""
        return self._left == 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0) as server:
            self.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._port)
        doomed = asyncio.Event()
        pumps = [
            asyncio.create_task(self._forward(reader, requests, doomed)),
            asyncio.create_task(self._answer(answers, writer, doomed)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            for each in (writer, requests):
                each.close()

    async def _forward(
        self, reader: asyncio.StreamReader, requests: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if self._left and self._word in data:
                    self._left -= 1
                    doomed.set()
                requests.write(data)
                await requests.drain()

    async def _answer(
        self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        with suppress(ConnectionError):
            while data := await answers.read(65_536):
                if doomed.is_set():
                    return
                writer.write(data)
                await writer.drain()
