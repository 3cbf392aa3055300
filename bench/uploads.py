"""What it costs to request uploads and to finalize them, against the same transactions written by hand."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from bench.mutations import Task, send_from_elsewhere
from bench.processes import clean_environment, cpu_seconds, free_port, running, tree_cpu_seconds
from bench.report import Result, percentile, ratios, spread
from bench.service import Installation, Service, service

#: Of one round: single requests, each of them finalized afterwards, and batches.
UPLOADS, BATCHES, BATCH = 240, 12, 100
CONNECTIONS, BATCH_CONNECTIONS = 16, 4
WARM_UP = 32

#: Looks at the log, 0.2 s apart.
NUMBERING_TURNS = 150

CONTENT = b"A few bytes that nobody is going to decode.\n"
INPUT = {
    "filename": "IMG_0042.jpg",
    "mimeType": "image/jpeg",
    "size": len(CONTENT),
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
}

_PAYLOAD = """
    media { id }
    upload { id key target { ... on SingleUploadTarget { method url headers { name value } expiresAt } } }
    userErrors { code message path }
"""
REQUEST = f"mutation One($input: RequestUploadInput!) {{ requestUpload(input: $input) {{ {_PAYLOAD} }} }}"
REQUESTS = (
    f"mutation Many($inputs: [RequestUploadInput!]!) {{ requestUploads(inputs: $inputs) {{ {_PAYLOAD} }} }}"
)
FINALIZE = """
    mutation Finalize($id: ID!) {
      finalizeUpload(uploadId: $id) { media { id version status } userErrors { code message path } }
    }
"""

#: What both servers must have written alike before anything is measured.
TABLES = (
    *("blobs", "media", "media_events", "media_search", "uploads"),
    *("processing_steps", "pgqueuer", "pgqueuer_log"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One operation of one server; CPU in ms per operation."""

    per_second: float
    server_ms: float
    database_ms: float
    latencies_ms: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    home: Installation
    connection: "asyncpg.Connection[asyncpg.Record]"

    @property
    def objects(self) -> Path:
        return self.home.directory / "var" / "objects"

    async def phase(
        self, server: Service, bodies: Sequence[str], connections: int
    ) -> tuple[Phase, list[Any]]:
        """The CPU is that until all events are numbered: also the last ones, which outlive their answers."""
        used, database = cpu_seconds(server.pid), tree_cpu_seconds(self.home.postmaster)
        outcome = await send_from_elsewhere(Task(port=server.port, bodies=bodies, connections=connections))
        await self._numbered()
        used = cpu_seconds(server.pid) - used
        database = tree_cpu_seconds(self.home.postmaster) - database
        phase = Phase(
            per_second=len(bodies) / outcome.wall_seconds,
            server_ms=used / len(bodies) * 1000,
            database_ms=database / len(bodies) * 1000,
            latencies_ms=outcome.latencies_ms,
        )
        return phase, outcome.answers

    async def _numbered(self) -> None:
        unnumbered = "SELECT EXISTS (SELECT FROM media_events WHERE position IS NULL)"
        for _ in range(NUMBERING_TURNS):
            if not await self.connection.fetchval(unnumbered):
                return
            await asyncio.sleep(0.2)
        raise RuntimeError("The events are not numbered.")

    async def round(self, server: Service, uploads: int, batches: int) -> dict[str, Phase]:
        one = _body(REQUEST, input=INPUT)
        single, requested = await self.phase(server, [one] * uploads, CONNECTIONS)
        for payload in requested:
            self._store(payload["upload"]["key"])
        finalizing = [_body(FINALIZE, id=payload["upload"]["id"]) for payload in requested]
        finalized, _ = await self.phase(server, finalizing, CONNECTIONS)
        many = _body(REQUESTS, inputs=[INPUT] * BATCH)
        batched, _ = await self.phase(server, [many] * batches, BATCH_CONNECTIONS)
        return {
            "requestUpload": single,
            f"requestUploads, {BATCH} each": batched,
            "finalizeUpload": finalized,
        }

    def _store(self, key: str) -> None:
        path = self.objects / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)

    async def rows(self) -> dict[str, int]:
        return {table: await self.connection.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}


async def measure(home: Installation, *, rounds: int) -> Result:
    connection = await asyncpg.connect(home.dsn)
    try:
        return await _measure(Bench(home=home, connection=connection), rounds)
    finally:
        await connection.close()


async def _measure(bench: Bench, rounds: int) -> Result:
    async with service(bench.home, ("bench.api_only",)) as darkroom, raw_uploads(bench) as raw:
        servers = {"Darkroom": darkroom, "raw": raw}
        await _same_rows(bench, list(servers.values()))
        phases: dict[str, dict[str, list[Phase]]] = {name: {} for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                for operation, phase in (await bench.round(server, UPLOADS, BATCHES)).items():
                    phases[name].setdefault(operation, []).append(phase)
    return _result(phases["Darkroom"], phases["raw"])


@asynccontextmanager
async def raw_uploads(bench: Bench) -> AsyncIterator[Service]:
    home, port = bench.home, free_port()
    arguments = [str(port), home.dsn, home.owner_id, str(bench.objects)]
    command = [sys.executable, "-m", "bench.raw_uploads", *arguments]
    log = home.directory / "raw_uploads.log"
    async with running(command, environment=clean_environment(), log=log, port=port) as pid:
        yield Service(pid=pid, port=port)


async def _same_rows(bench: Bench, servers: Sequence[Service]) -> None:
    """Warm both up. Raises RuntimeError when they don't write the same number of rows."""
    written = []
    for server in servers:
        before = await bench.rows()
        await bench.round(server, WARM_UP, 1)
        after = await bench.rows()
        written.append({table: after[table] - before[table] for table in TABLES})
    if written[0] != written[1]:
        raise RuntimeError(f"Darkroom writes {written[0]}, and the raw endpoint {written[1]}.")


def _body(query: str, **variables: object) -> str:
    return orjson.dumps({"query": query, "variables": variables}).decode()


#: The figures of a phase that are compared.
_FIGURES: dict[str, Callable[[Phase], float]] = {
    "per_second": lambda phase: phase.per_second,
    "server_ms": lambda phase: phase.server_ms,
    "database_ms": lambda phase: phase.database_ms,
}


def _result(ours: dict[str, list[Phase]], theirs: dict[str, list[Phase]]) -> Result:
    rows: list[list[str]] = []
    samples: dict[str, Sequence[float]] = {}
    for operation in ours:
        sides = {"Darkroom": ours[operation], "raw": theirs[operation]}
        for name, phases in sides.items():
            figures = {figure: [of(phase) for phase in phases] for figure, of in _FIGURES.items()}
            samples |= {f"{operation}.{name}.{figure}": values for figure, values in figures.items()}
            rows.append([operation, name, *_cells(figures, 1, 2, 2), _latencies(phases)])
        compared = {
            figure: ratios([of(p) for p in sides["Darkroom"]], [of(p) for p in sides["raw"]])
            for figure, of in _FIGURES.items()
        }
        samples |= {f"{operation}.ratio.{figure}": values for figure, values in compared.items()}
        rows.append([operation, "Darkroom / raw", *_cells(compared, 3, 1, 1), ""])
    rounds = len(next(iter(ours.values())))
    return Result(
        title="uploads: requesting and finalizing",
        method=f"{rounds} rounds, both servers in turn: {UPLOADS} times requestUpload over {CONNECTIONS} "
        f"connections, the finalizeUpload of each of them, and {BATCHES} times requestUploads with {BATCH} "
        f"files over {BATCH_CONNECTIONS}; one owner. CPU is that of the server's process, which has no "
        "worker, and of all of PostgreSQL, in each case per request. The objects of "
        f"{len(CONTENT)} bytes were laid into the store beforehand.",
        columns=(
            "operation",
            "server",
            "requests/s",
            "server CPU, ms",
            "PostgreSQL CPU, ms",
            "p50 / p95, ms",
        ),
        rows=rows,
        samples=samples,
    )


def _cells(figures: dict[str, list[float]], *digits: int) -> list[str]:
    return [spread(values, places) for values, places in zip(figures.values(), digits, strict=True)]


def _latencies(phases: Sequence[Phase]) -> str:
    latencies = [latency for phase in phases for latency in phase.latencies_ms]
    return f"{percentile(latencies, 50):.1f} / {percentile(latencies, 95):.1f}"
