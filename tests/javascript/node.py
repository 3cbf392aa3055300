"""Node and the packages of `tests/node`, installed as its lock file says, and programs run with them."""

import asyncio
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.corpus import CHECKOUT

HOME = CHECKOUT / "tests" / "node"
LOCK = HOME / "package-lock.json"

#: What Vite and the code generator need at least.
OLDEST_NODE = (20, 19)

INSTALL_SECONDS = 300.0
#: One step of a program; a whole test takes about ten seconds.
STEP_SECONDS = 60.0

#: npm's own words for a registry that is not there.
UNREACHABLE = re.compile(
    r"npm error code (ENOTFOUND|EAI_AGAIN|ECONN\w+|E\w*TIMEDOUT|ENETUNREACH|EHOSTUNREACH)"
)


def installed(home: Path = HOME) -> Path:
    """The node interpreter, with the packages that are locked in `home` beside its programs.

    What is missing is a skip that names it, and a failure on CI.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or _version(node) < OLDEST_NODE:
        oldest = ".".join(map(str, OLDEST_NODE))
        _not_tested(f"NO NODE ≥ {oldest} WITH NPM: Apollo Client, urql and the code generator are not tested")
    stamp = home / "node_modules" / ".installed-from"
    # Another run of the tests in this checkout would install into the same directory.
    with (home / LOCK.name).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = hashlib.sha256(lock.read()).hexdigest()
        if not stamp.exists() or stamp.read_text() != digest:
            _install(npm, home)
            stamp.write_text(digest)
    return Path(node)


def run(node: Path, *arguments: str | Path, cwd: Path = HOME) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [node, *arguments], cwd=cwd, capture_output=True, text=True, timeout=STEP_SECONDS, check=False
    )


def _version(node: str) -> tuple[int, ...]:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    return tuple(int(number) for number in said.strip().removeprefix("v").split(".")[:2])


def _install(npm: str, home: Path) -> None:
    quietly = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retries=1"]
    installing = subprocess.run(
        [npm, "ci", *quietly], cwd=home, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
    )
    if UNREACHABLE.search(installing.stderr):
        _not_tested("NO NPM REGISTRY: Apollo Client, urql and the code generator are not tested")
    assert installing.returncode == 0, installing.stderr


def _not_tested(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Program:
    """One that tells of each of its steps in a line of JSON, and goes on when it is sent one."""

    process: asyncio.subprocess.Process

    async def step(self, name: str) -> dict[str, Any]:
        """What it says of its next step, which must have this name."""
        assert self.process.stdout is not None
        async with asyncio.timeout(STEP_SECONDS):
            line = await self.process.stdout.readline()
            assert line, await self._complaint()
        said: dict[str, Any] = json.loads(line)
        assert said.pop("step") == name, said
        return said

    async def tell(self, **facts: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(facts).encode() + b"\n")
        await self.process.stdin.drain()

    async def ends_well(self) -> None:
        """Without an error, and without a warning."""
        async with asyncio.timeout(STEP_SECONDS):
            complaint = await self._complaint()
            assert (await self.process.wait(), complaint) == (0, "")

    async def _complaint(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@asynccontextmanager
async def running(node: Path, name: str, task: object) -> AsyncIterator[Program]:
    """A program of `tests/node`; it ends with the block."""
    arguments: Sequence[str | Path] = [node, f"{name}.mjs", json.dumps(task)]
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=HOME,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
