"""A PostgreSQL as the image `postgres` runs it: over TCP, with a password, and a database for the user."""

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from app.embedded_postgres import binaries
from app.postgres_cluster import Cluster, choose_account, program_environment
from tests.postgres import make_reachable_directory, remove_directory
from tests.service.service import free_port

USER = "darkroom"
_START_SECONDS = 30.0


@asynccontextmanager
async def tcp_postgres(password: str, initdb_arguments: str = "") -> AsyncIterator[str]:
    """Yields its URL, which holds the password; it listens on loopback only."""
    directory = make_reachable_directory()
    try:
        cluster = Cluster(data_dir=directory, binaries=binaries())
        account = choose_account(cluster)
        account.own(directory)
        _initialise(cluster, password, initdb_arguments)
        port = free_port()
        server = _start(cluster, port)
        try:
            await _create_database(port, password)
            yield f"postgresql+asyncpg://{USER}:{password}@127.0.0.1:{port}/{USER}"
        finally:
            server.terminate()
            await asyncio.to_thread(server.wait)
    finally:
        remove_directory(directory)


def _start(cluster: Cluster, port: int) -> "subprocess.Popen[bytes]":
    command = [str(cluster.binaries / "postgres"), "-D", str(cluster.directory), "-p", str(port)]
    for setting in ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"):
        command += ["-c", setting]
    with (cluster.data_dir / "log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=cluster.data_dir,
            env=program_environment(),
            stderr=log,
            **choose_account(cluster).process_arguments(),
        )


def _initialise(cluster: Cluster, password: str, arguments: str) -> None:
    account = choose_account(cluster)
    password_file = cluster.data_dir / "password"
    password_file.write_text(password + "\n")
    account.own(password_file)
    command = [str(cluster.binaries / "initdb"), "-D", str(cluster.directory), "--username", USER]
    command += ["--no-sync", "--auth", "scram-sha-256", "--pwfile", str(password_file), *arguments.split()]
    subprocess.run(
        command,
        cwd=cluster.data_dir,
        env=program_environment(),
        check=True,
        stdout=subprocess.DEVNULL,
        **account.process_arguments(),
    )
    os.unlink(password_file)


async def _create_database(port: int, password: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            connection = await asyncpg.connect(
                host="127.0.0.1", port=port, user=USER, password=password, database="postgres", timeout=5
            )
            break
        except (OSError, asyncpg.CannotConnectNowError):
            assert time.monotonic() < deadline, "The server did not start."
            await asyncio.sleep(0.05)
    await connection.execute(f"CREATE DATABASE {USER}")
    await connection.close()
