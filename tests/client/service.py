"""The whole service as a process, which a test may kill and start again, and the command against it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from tests.postgres import make_reachable_directory

CHECKOUT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60
_COMMAND_SECONDS = 120


class Service:
    def __init__(self, data_dir: Path, *, port: int | None = None, settings: Mapping[str, str]) -> None:
        self.port = port or free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self._data_dir = data_dir
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            **_environment(),
            "DARKROOM_PORT": str(self.port),
            "DARKROOM_DATA_DIR": str(self._data_dir),
            "DARKROOM_WORKER_SLOTS": "2",
            **self._settings,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve"],
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "The service ended at its start."
            assert time.monotonic() < deadline, "The service did not start."
            time.sleep(0.1)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.origin}/graphql", data=body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            data: dict[str, Any] = json.load(response)["data"]
        return data

    def request_uploads(self, *filenames: str, tags: Sequence[str] = ()) -> list[str]:
        """The ids of new media, UPLOADING, of 1,000 bytes each."""
        inputs = [
            {"filename": name, "mimeType": "image/png", "size": 1000, "tags": list(tags)}
            for name in filenames
        ]
        answers = self.ask(
            "mutation ($inputs: [RequestUploadInput!]!) { requestUploads(inputs: $inputs) { media { id } } }",
            inputs=inputs,
        )
        return [answer["media"]["id"] for answer in answers["requestUploads"]]

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=30)
            self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.origin}/readyz", timeout=5):
                return True
        except (URLError, OSError):
            return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def running_service(*, port: int | None = None, **settings: str) -> Iterator[Service]:
    directory = make_reachable_directory()
    service = Service(directory / "var", port=port, settings=settings)
    try:
        service.start()
        yield service
    finally:
        service.stop()
        shutil.rmtree(directory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]


@contextmanager
def started(origin: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(*arguments),
        cwd=CHECKOUT,
        env=client_environment(origin),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> Said:
    """Wait for its end; what the test has read of the output already is not in the answer."""
    stdout, stderr = process.communicate(timeout=_COMMAND_SECONDS)
    return Said(code=process.returncode, stdout=stdout, stderr=stderr)


def darkroom(origin: str, *arguments: str | Path) -> Said:
    with started(origin, *arguments) as process:
        return finish(process)


def upload(origin: str, *arguments: str | Path) -> Said:
    return darkroom(origin, "upload", *arguments)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "app", *map(str, arguments)]


def upload_command(*arguments: str | Path) -> list[str]:
    return command("upload", *arguments)


def client_environment(origin: str) -> Mapping[str, str]:
    return {**_environment(), "DARKROOM_URL": origin}


def _environment() -> dict[str, str]:
    """Ours, without the settings, the colours and the width of whoever runs the tests."""
    ignored = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TERM", "COLUMNS", "LINES"}
    kept = {name: value for name, value in os.environ.items() if name not in ignored}
    return {name: value for name, value in kept.items() if not name.startswith("DARKROOM_")} | {
        "TERM": "xterm-256color"
    }
