"""One `python -m app …` as a real process on a data directory: started, killed, and started again."""

import asyncio
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from app.postgres_cluster import Cluster
from app.postgres_socket import PORT, remembered_socket_directory
from tests.corpus import CHECKOUT
from tests.service import proc
from tests.service.patience import until

_numbers = itertools.count(1)

START_SECONDS = 60.0
#: Draining, streams, and the checkpoint of a PostgreSQL on a busy disk; usually below 1.
END_SECONDS = 45.0


def free_port() -> int:
    """Of the loopback interface, outside the range from which the kernel takes ports for connections."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Service:
    """The process is the leader of its own group, as one that a shell starts; only it is ever signalled."""

    def __init__(
        self,
        data_dir: Path,
        *,
        command: str = "serve",
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "app", command]
        self._settings = dict(settings or {})
        name = f"{data_dir.name}-{command}-{next(_numbers)}"
        self._stdout = data_dir.parent / f"{name}.log"
        self._stderr = data_dir.parent / f"{name}.err"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def launch(self) -> None:
        """Start the process without waiting for it; its output is added to that of earlier starts."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
        with self._stdout.open("ab") as stdout, self._stderr.open("ab") as stderr:
            self._process = subprocess.Popen(
                self._command,
                cwd=CHECKOUT,
                env={
                    **environment,
                    "DARKROOM_DATA_DIR": str(self.data_dir),
                    "DARKROOM_PORT": str(self.port),
                    **self._settings,
                },
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    async def start(self) -> float:
        """Start and wait until /readyz says yes; how many seconds that took."""
        began = time.monotonic()
        self.launch()
        await self.becomes_ready()
        return time.monotonic() - began

    async def becomes_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while time.monotonic() < deadline:
                assert self.is_alive(), self.complaint()
                try:
                    if (await client.get(f"{self.origin}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.02)
        raise AssertionError(f"It was not ready within {START_SECONDS:g} s: {self.complaint()}")

    async def restart(self) -> float:
        """Start again on the same data directory and port."""
        assert not self.is_alive()
        return await self.start()

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill9(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, as a service manager does; its exit code."""
        os.kill(self.pid, number)
        return await self.ends()

    async def press_ctrl_c(self) -> int:
        """As a terminal does: everybody in the foreground process group is told."""
        os.killpg(self.pid, signal.SIGINT)
        return await self.ends()

    async def ends(self) -> int:
        assert self._process is not None
        await until(lambda: not self.is_alive(), seconds=END_SECONDS, why="The process did not end.")
        return self._process.wait()

    def end(self) -> None:
        """Leave nothing of it, in whatever state it is."""
        if self._process is not None:
            self.kill9()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    def logged(self, event: str | None = None) -> list[dict[str, Any]]:
        """The lines of its log, or those of one event; each line must be a JSON object."""
        lines: list[dict[str, Any]] = [json.loads(line) for line in self.stdout.splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    def complaint(self) -> str:
        return f"{self.stdout[-2000:]}\n{self.stderr[-2000:]}"

    def child_doing(self, task: str) -> int | None:
        """The process that does this task of the pipeline for this service."""
        for child in proc.children_of(self.pid):
            match proc.command_of(child):
                case [_, _, _, program, request, *_] if program.endswith("child.py"):
                    if json.loads(request)["task"] == task:
                        return child
        return None

    async def stops_while_rendering(self, *, seconds: float = 30) -> int:
        """Wait until a picture is being rendered here and stop its process: it stays PROCESSING.

        Not before it has tied its life to its parent's, which it does before it loads libvips.
        """
        child = await until(self._renderer, seconds=seconds, why="Nothing is rendered.")
        proc.stop(child)
        return child

    def _renderer(self) -> int | None:
        child = self.child_doing("render")
        return child if child is not None and proc.has_loaded(child, "libvips") else None

    def postmaster(self) -> int:
        return int((self.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection of the test's own to the private PostgreSQL, past the service."""
        cluster = Cluster(data_dir=self.data_dir, binaries=Path())
        directory = remembered_socket_directory(cluster)
        return await asyncpg.connect(
            host=str(directory), port=PORT, user="postgres", database="darkroom", timeout=10
        )

    async def fetch(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        connection = await self.connect()
        try:
            return [dict(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def make_chores_overdue(self) -> None:
        """Whoever starts next does them all at once, as after a day without any worker."""
        await self.fetch("UPDATE pgqueuer_schedules SET last_run = now() - interval '1 day'")

    def leftovers(self) -> list[str]:
        """What lies in the directories that are only used while something is in work."""
        working = [path for path in (self.data_dir / "work").glob("*/*") if path.name != ".lock"]
        arriving = (self.data_dir / "objects" / ".incoming").iterdir()
        return sorted(str(path.relative_to(self.data_dir)) for path in (*working, *arriving))

    def workspaces(self) -> list[Path]:
        """The directories of processes that work, or that ended without removing theirs."""
        return [path for path in (self.data_dir / "work").iterdir() if path.is_dir()]
