"""A relay in front of a PostgreSQL socket that can go silent without closing: a half-open connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import make_url


class Relay:
    """`url` leads through it. While `silent` is set, bytes are swallowed and new connections unanswered."""

    def __init__(self, url: str, directory: Path) -> None:
        target = make_url(url)
        self._target = target
        self._socket = directory / ".s.PGSQL.5432"
        query = {**target.query, "host": str(directory)}
        self.url = target.set(host=None, port=None, query=query).render_as_string(hide_password=False)
        self.silent = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        server = await asyncio.start_unix_server(self._relay, self._socket)
        try:
            yield self
        finally:
            server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await self._open()
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, up_writer))
                pumps.create_task(self._pump(up_reader, writer))
        finally:
            for each in (writer, up_writer):
                each.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._target.query.get("host") or self._target.host, self._target.port or 5432
        assert isinstance(host, str)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
        writer.close()
