"""The files of the image start the service: read-only, without a home, as a user without rights."""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import httpx
import pytest

from app.postgres_cluster import Account
from tests import pictures
from tests.container_files import copy_into, health_command, image_environment
from tests.postgres import make_reachable_directory, remove_directory
from tests.service.client import Client
from tests.service.service import free_port

#: The image's user does not exist here, and PostgreSQL wants one with a name.
UID = pwd.getpwnam("nobody").pw_uid

START_SECONDS = 90.0

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="NOT TESTED: the image's files, which are for Linux"
)


class Container:
    """A root directory with the copied files, and a volume."""

    def __init__(self, directory: Path, interpreter: Path) -> None:
        self._interpreter = str(interpreter)
        self.checkout = directory / "root" / "opt" / "darkroom"
        self.volume = directory / "data"
        self.port = free_port()
        copy_into(directory / "root")
        self.volume.mkdir(mode=0o700)
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            os.chown(self.volume, UID, UID)
            self._identity = {"user": UID, "group": UID, "extra_groups": []}
        # The file system is not mounted read-only here; to a user who is not root this is the same.
        subprocess.run(["chmod", "-R", "a-w,a+rX", directory / "root"], check=True)

    @property
    def environment(self) -> dict[str, str]:
        """The image's, but for where things are on this machine. There is no HOME."""
        here = {
            "DARKROOM_DATA_DIR": str(self.volume),
            "DARKROOM_PORT": str(self.port),
            "DARKROOM_HOST": "127.0.0.1",
            # The packages of these tests: those of the lock and a few more.
            "PYTHONPATH": sysconfig.get_path("purelib"),
            "LD_LIBRARY_PATH": str(Path(self._interpreter).parent.parent / "lib"),
        }
        return {**image_environment(), **here, "PATH": os.defpath}

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        assert command[0] == "python"
        command = (self._interpreter, *command[1:])
        return subprocess.Popen(
            command,
            cwd=self.checkout,
            env={**self.environment, **environment},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **self._identity,
        )

    def run(self, *command: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(*command, **environment)
        stdout, stderr = process.communicate(timeout=START_SECONDS)
        return process.returncode, stdout, stderr


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Path]:
    """The one of these tests; a copy where other users can't reach it, as root's own often lies in /root."""
    found = Path(sys.executable).resolve()
    if Account(uid=UID, gid=UID, switched=os.geteuid() == 0).reaches(found):
        yield found
        return
    directory = make_reachable_directory()
    try:
        version = f"python3.{sys.version_info.minor}"
        (directory / "bin").mkdir(mode=0o755)
        shutil.copy(found, directory / "bin" / version)
        left_out = shutil.ignore_patterns("test", "site-packages", "__pycache__")
        shutil.copytree(Path(sys.base_prefix) / "lib" / version, directory / "lib" / version, ignore=left_out)
        for library in (Path(sys.base_prefix) / "lib").glob("libpython*"):
            shutil.copy(library, directory / "lib")
        subprocess.run(["chmod", "-R", "a+rX", directory], check=True)
        yield directory / "bin" / version
    finally:
        remove_directory(directory)


@pytest.fixture
def container(interpreter: Path) -> Iterator[Container]:
    directory = make_reachable_directory()
    try:
        yield Container(directory, interpreter)
    finally:
        subprocess.run(["chmod", "-R", "u+w", directory / "root"], check=True)
        remove_directory(directory)


def test_the_commands_are_there(container: Container) -> None:
    code, stdout, stderr = container.run("python", "-m", "app", "--help")
    assert code == 0, stderr
    for command in ("serve", "worker", "migrate", "backup", "restore", "doctor"):
        assert command in stdout


def test_it_does_not_serve_everybody_unless_told_to(container: Container) -> None:
    code, _, stderr = container.run("python", "-m", "app", "serve", DARKROOM_HOST="0.0.0.0")
    assert code == 1
    assert "Darkroom does not listen on 0.0.0.0: there are no accounts yet" in stderr


async def test_it_serves_and_is_healthy(container: Container) -> None:
    code, _, stderr = container.run(*health_command())
    assert code != 0, "Nothing serves yet."
    assert "refused" in stderr
    service = container.start("python", "-m", "app", "serve")
    try:
        _wait_until_ready(service, container.port)
        assert container.run(*health_command()) == (0, "", "")
        await _shows_graphiql(f"http://127.0.0.1:{container.port}")
        async with Client(f"http://127.0.0.1:{container.port}") as client:
            await client.becomes_ready(await client.upload(pictures.png(300, 200)))
        code, stdout, stderr = container.run("python", "-m", "app", "doctor", "--json")
        assert code == 0, stdout + stderr
        assert {json.loads(line)["state"] for line in stdout.splitlines()} <= {"ok", "warning"}
    finally:
        service.send_signal(signal.SIGTERM)
        output = service.communicate(timeout=START_SECONDS)
    assert service.returncode == 0, output
    written = [path for path in container.checkout.rglob("*") if path.name == "__pycache__"]
    assert written == []


async def _shows_graphiql(origin: str) -> None:
    async with httpx.AsyncClient(base_url=origin, trust_env=False) as browser:
        page = await browser.get("/graphql", headers={"accept": "text/html"})
        assert page.status_code == 200
        named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(named) >= 3
        for address in named:
            assert (await browser.get(address)).status_code == 200, address


def _wait_until_ready(service: "subprocess.Popen[str]", port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert service.poll() is None, service.communicate()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError("It was not ready in time.")
