"""`python -m app backup | restore | doctor` as processes, with the settings of the test and no others."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.container_files import CHECKOUT

COMMAND_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def document(self) -> dict[str, Any]:
        [only] = self.documents
        return only


@dataclass(frozen=True, slots=True)
class Operations:
    directory: Path

    async def start(self, *arguments: str | Path, **settings: str) -> asyncio.subprocess.Process:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "app", *map(str, arguments)),
            cwd=CHECKOUT,
            env={**environment, **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str | Path, **settings: str) -> Said:
        process = await self.start(*arguments, **settings)
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                stdout, stderr = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Said(code=process.returncode, stdout=stdout.decode(), stderr=stderr.decode())

    async def backup(self, data_dir: Path, file: Path, *options: str, **settings: str) -> Said:
        return await self.run("backup", file, *options, DARKROOM_DATA_DIR=str(data_dir), **settings)

    async def restore(self, data_dir: Path, file: Path, *options: str, **settings: str) -> Said:
        return await self.run("restore", file, *options, DARKROOM_DATA_DIR=str(data_dir), **settings)
