"""A page of the library by HTTP, against the least that any Python server could do for it."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
import orjson

from bench.library import seed
from bench.load import Outcome, Task, load_from_elsewhere
from bench.processes import clean_environment, cpu_seconds, free_port, running, tree_cpu_seconds
from bench.report import Result, percentile, ratios, spread
from bench.service import Installation, service

CONNECTIONS = 16
SECONDS = 3.0
WARM_UP_SECONDS = 1.5

QUERY = """
query Page($first: Int!, $filter: MediaFilter!) {
  mediaItems(first: $first, filter: $filter) {
    nodes {
      id version kind status filename mimeType size title description createdAt
      tags { name slug }
    }
    pageInfo { hasNextPage }
  }
}
"""
VARIABLES = {"first": 50, "filter": {"status": ["READY"], "tags": {"all": ["tag-07"]}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One server under load for a while; CPU in µs per request, `generator_share` of one core."""

    requests_per_second: float
    server_us: float
    database_us: float
    generator_share: float
    latencies_ms: list[float]


async def measure(home: Installation, *, rounds: int, media: int) -> Result:
    await seed(home.dsn, home.owner_id, media)
    async with service(home) as darkroom, raw_endpoint(home) as (raw_pid, raw_port):
        body = orjson.dumps({"query": QUERY, "variables": VARIABLES}).decode()
        answer = await _same_answer(body, darkroom.port, raw_port)
        task = Task(
            port=darkroom.port,
            path="/graphql",
            body=body,
            answer_bytes=len(answer),
            connections=CONNECTIONS,
            seconds=WARM_UP_SECONDS,
        )
        servers = {"Darkroom": (darkroom.pid, darkroom.port), "raw": (raw_pid, raw_port)}
        for _, port in servers.values():
            await load_from_elsewhere(replace(task, port=port))
        phases: dict[str, list[Phase]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, (pid, port) in servers.items():
                phases[name].append(await _phase(home, pid, replace(task, port=port, seconds=SECONDS)))
    return _result(phases["Darkroom"], phases["raw"], media=media, answer=answer)


@asynccontextmanager
async def raw_endpoint(home: Installation) -> AsyncIterator[tuple[int, int]]:
    port = free_port()
    command = [sys.executable, "-m", "bench.raw_endpoint", str(port), home.dsn, home.owner_id]
    log = home.directory / "raw_endpoint.log"
    async with running(command, environment=clean_environment(), log=log, port=port) as pid:
        yield pid, port


async def _same_answer(body: str, *ports: int) -> bytes:
    """The one answer that all servers give. Raises RuntimeError when they differ."""
    headers = {"content-type": "application/json"}
    answers = []
    async with aiohttp.ClientSession(headers=headers) as session:
        for port in ports:
            async with session.post(f"http://127.0.0.1:{port}/graphql", data=body) as response:
                answers.append(await response.read())
    if len(orjson.loads(answers[0])["data"]["mediaItems"]["nodes"]) != VARIABLES["first"]:
        raise RuntimeError("The library is too small for a full page.")
    if len(set(answers)) != 1:
        raise RuntimeError("Darkroom and the raw endpoint answer with different bytes.")
    return answers[0]


async def _phase(home: Installation, pid: int, task: Task) -> Phase:
    server, database = cpu_seconds(pid), tree_cpu_seconds(home.postmaster)
    outcome: Outcome = await load_from_elsewhere(task)
    server, database = cpu_seconds(pid) - server, tree_cpu_seconds(home.postmaster) - database
    return Phase(
        requests_per_second=outcome.requests / outcome.wall_seconds,
        server_us=server / outcome.requests * 1e6,
        database_us=database / outcome.requests * 1e6,
        generator_share=outcome.cpu_seconds / outcome.wall_seconds,
        latencies_ms=outcome.latencies_ms,
    )


def _result(ours: list[Phase], theirs: list[Phase], *, media: int, answer: bytes) -> Result:
    def row(name: str, phases: list[Phase]) -> list[str]:
        latencies = [latency for phase in phases for latency in phase.latencies_ms]
        return [
            name,
            spread([phase.requests_per_second for phase in phases]),
            spread([phase.server_us for phase in phases]),
            spread([phase.database_us for phase in phases]),
            f"{percentile(latencies, 50):.1f} / {percentile(latencies, 99):.1f}",
            f"{max(phase.generator_share for phase in phases):.0%}",
        ]

    samples = {
        f"{name}.{figure}": [float(getattr(phase, figure)) for phase in phases]
        for name, phases in (("darkroom", ours), ("raw", theirs))
        for figure in ("requests_per_second", "server_us", "database_us", "generator_share")
    }
    samples["ratio.requests_per_second"] = ratios(
        samples["darkroom.requests_per_second"], samples["raw.requests_per_second"]
    )
    samples["ratio.server_us"] = ratios(samples["darkroom.server_us"], samples["raw.server_us"])
    samples["ratio.database_us"] = ratios(samples["darkroom.database_us"], samples["raw.database_us"])
    ratio = [
        "Darkroom / raw",
        spread(samples["ratio.requests_per_second"], 3),
        spread(samples["ratio.server_us"], 1),
        spread(samples["ratio.database_us"], 1),
        "",
        "",
    ]
    return Result(
        title="page: 50 media with their tags",
        method=f"{media:,} media with 2 to 4 tags each; the first 50 that are READY and carry one tag, 10 "
        f"scalars and the tags' names and slugs, {len(answer):,} bytes (the same from both); "
        f"{CONNECTIONS} connections, {len(ours)} rounds of {SECONDS:g} s each, in turn.",
        columns=(
            "server",
            "requests/s",
            "server CPU, µs/request",
            "PostgreSQL CPU, µs/request",
            "p50 / p99, ms",
            "load generator, of a core",
        ),
        rows=[row("Darkroom", ours), row("raw ASGI + asyncpg + orjson", theirs), ratio],
        samples=samples,
    )
