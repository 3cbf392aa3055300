"""The services of docker-compose.yml as processes on loopback, with exactly the environment it gives them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from app.embedded_postgres import binaries
from tests import pictures
from tests.container_files import CHECKOUT, compose, env_file, health_command, image_environment
from tests.operations.tcp_postgres import tcp_postgres
from tests.operations.test_compose_env import make
from tests.service.client import Client
from tests.service.patience import until
from tests.service.service import free_port

START_SECONDS = 60.0


def run(command: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *command[1:]],
            cwd=CHECKOUT,
            env={"PATH": os.defpath, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def translated(service: dict[str, Any], *, database: str, port: int, data_dir: Path) -> dict[str, str]:
    """Only what a container has and this machine has not: names of hosts, fixed ports, and a volume."""
    environment = {name: str(value) for name, value in service["environment"].items()}
    assert environment["DARKROOM_DATA_DIR"] == "/data"
    here = {
        "DARKROOM_DATABASE_URL": environment["DARKROOM_DATABASE_URL"].replace(
            "@postgres:5432/", f"@{urlsplit(database).hostname}:{urlsplit(database).port}/"
        ),
        "DARKROOM_DATA_DIR": str(data_dir),
        "DARKROOM_PORT": str(port),
    }
    if "DARKROOM_HOST" in environment:
        here["DARKROOM_HOST"] = "127.0.0.1"  # nothing of the tests listens elsewhere
    return {**image_environment(), **environment, **here, "PATH": os.defpath}


async def test_the_services_start_in_their_order_and_serve(tmp_path: Path) -> None:
    make(tmp_path / ".env")
    port = free_port()
    secrets = {**env_file(tmp_path / ".env"), "DARKROOM_PORT": str(port)}
    services = compose(secrets)["services"]
    postgres = services["postgres"]["environment"]
    password = postgres["POSTGRES_PASSWORD"]
    async with tcp_postgres(password, postgres["POSTGRES_INITDB_ARGS"]) as database:
        _is_healthy(services["postgres"], urlsplit(database).port or 0)

        def environment(name: str) -> dict[str, str]:
            return translated(services[name], database=database, port=port, data_dir=tmp_path / "data")

        # Before `migrate` the app refuses: that is what compose makes it wait for.
        early = run(["python", "-m", "app", "serve"], environment("app"), tmp_path / "early.log")
        assert early.wait(START_SECONDS) == 1
        assert "python -m app migrate" in (tmp_path / "early.log").read_text()

        migrate = run(["python", "-m", "app", "migrate"], environment("migrate"), tmp_path / "migrate.log")
        assert migrate.wait(START_SECONDS) == 0, (tmp_path / "migrate.log").read_text()

        log = tmp_path / "app.log"
        app = run(["python", "-m", "app", "serve"], environment("app"), log)
        try:
            await until(
                lambda: run(health_command(), environment("app"), tmp_path / "health.log").wait(10) == 0,
                seconds=START_SECONDS,
                why=log.read_text(),
            )
            async with Client(f"http://127.0.0.1:{port}") as client:
                media = await client.becomes_ready(await client.upload(pictures.png(400, 300)))
                address = media.renditions[0].url
                assert address.startswith(f"http://127.0.0.1:{port}/objects/")
                assert (await client.get(address)).status_code == 200
            began = time.monotonic()
            app.send_signal(signal.SIGTERM)
            grace = float(services["app"]["stop_grace_period"].removesuffix("s"))
            assert app.wait(grace) == 0, log.read_text()
            assert time.monotonic() - began < grace
        finally:
            if app.poll() is None:
                app.kill()
                app.wait()
        for secret in (password, secrets["DARKROOM_SECRET"]):
            assert secret not in log.read_text()


def _is_healthy(service: dict[str, Any], port: int) -> None:
    """By the health check of the file, asked of the port that it has here."""
    _, program, *arguments = service["healthcheck"]["test"]
    assert program == "pg_isready"
    command = [str(binaries() / program), *arguments, f"--port={port}"]
    subprocess.run(command, check=True, timeout=10)
