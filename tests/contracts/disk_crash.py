"""A process that runs one method of the disk store and is killed before a chosen system call.

It reads lines of JSON, forks for each, and answers each with `killed` or `done`: a fork costs milliseconds
where a new interpreter costs a second. `CrashingProcess` is the test's end of it.
"""

import asyncio
import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from storage.disk import DiskStore
from storage.disk_part_signing import PartGrant

SECRET = bytes(32)
SOURCE = "0197/source.bin"

# Whatever changes the directory, and what is done to a file on its way there.
_CALLS = [
    *["open", "write", "fsync", "rename", "replace", "link", "unlink", "mkdir", "rmdir"],
    *["copy_file_range", "close"],
]


class CrashingProcess:
    """Runs methods in a process that dies at a chosen call; close it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contracts.disk_crash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, root: Path, method: str, *, kill_before: int, **arguments: object) -> bool:
        """Return whether the method was killed before its call number `kill_before` (from 1 on)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"root": str(root), "method": method, "kill_before": kill_before, **arguments}
        print(json.dumps(command), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().strip()
        assert answer in {"killed", "done"}, answer
        return answer == "killed"

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


async def one_chunk(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def run_method(store: DiskStore, method: str, command: dict[str, Any]) -> None:
    key, upload_id = command["key"], command.get("upload_id", "")
    match method:
        case "create":
            await store.create_multipart(key, content_type="a/b", part_hashes=True)
        case "receive_part":
            data = command["data"].encode()
            expires_at = datetime.now(UTC) + timedelta(minutes=5)
            grant = PartGrant(
                key=key,
                upload_id=upload_id,
                number=1,
                byte_size=len(data),
                sha256=None,
                expires_at=expires_at,
            )
            await store.receive_part(grant, one_chunk(data))
        case "copy_part":
            await store.copy_part(key, upload_id, 1, source=SOURCE, offset=3, length=50_000)
        case "complete":
            parts = await store.list_parts(key, upload_id)
            await store.complete_multipart(key, upload_id, parts, content_type="a/b")
        case "abort":
            await store.abort_multipart(key, upload_id)


def die_before(number: int) -> None:
    """Have this process killed before its call number `number`, in whichever thread that is."""
    calls = itertools.count(1)

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*positional: object, **named: object) -> object:
            if next(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*positional, **named)

        return call

    for name in _CALLS:
        setattr(os, name, counted(getattr(os, name)))
    fcntl.flock = counted(fcntl.flock)  # type: ignore[assignment]


def run_forked(command: dict[str, Any]) -> str:
    pid = os.fork()
    if pid == 0:
        try:
            store = DiskStore(Path(command["root"]), base_url="http://127.0.0.1/objects", secret=SECRET)
            with asyncio.Runner() as runner:
                runner.get_loop()
                die_before(command["kill_before"])
                runner.run(run_method(store, command["method"], command))
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) == signal.SIGKILL else f"signal {os.WTERMSIG(status)}"
    return "done" if os.WEXITSTATUS(status) == 0 else f"exit {os.WEXITSTATUS(status)}"


def main() -> None:
    for line in sys.stdin:
        print(run_forked(json.loads(line)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
