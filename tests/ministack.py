"""S3 and SQS as one real process on loopback, which checks signatures, lengths and hashes.

    from tests.ministack import bucket, ministack

One server for the session, a bucket of its own for each test. `moto` is not a replacement: it checks no
signature.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from tests.service.service import free_port

REGION = "us-east-1"
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"

#: For processes that find their credentials by themselves.
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    "AWS_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}

#: It listens to devices and to SFTP, too, unless it is told not to.
_SETTINGS = {"SERVICES": "s3,sqs,sns,events", "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}

_START_SECONDS = 60.0


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    """The endpoint of the session's server."""
    with running_ministack() as endpoint:
        yield endpoint


@pytest.fixture
async def bucket(ministack: str) -> AsyncIterator[str]:
    """The name of an empty bucket that goes with the test."""
    async with fresh_bucket(ministack) as name:
        yield name


@contextmanager
def running_ministack(port: int | None = None) -> Iterator[str]:
    """Run a server within this block and yield its endpoint; it keeps everything in its memory."""
    port = port or free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="darkroom-ministack-") as directory:
        log = Path(directory) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                # No workers: in this very process, which can then be killed without leaving any.
                [
                    sys.executable,
                    "-m",
                    "hypercorn",
                    "-w",
                    "0",
                    "-b",
                    f"127.0.0.1:{port}",
                    "ministack.app:app",
                ],
                cwd=directory,
                env=_environment(directory) | _SETTINGS | {"GATEWAY_PORT": str(port)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_it_answers(process, endpoint, log)
            yield endpoint
        finally:
            process.kill()  # it has nothing to save
            process.wait()


def aws_client(
    endpoint: str, service: str, *, secret_access_key: str = SECRET_ACCESS_KEY
) -> AbstractAsyncContextManager[Any]:
    """A client of the server's `s3` (path style), `sqs`, `sns` or `events`."""
    context: AbstractAsyncContextManager[Any] = _session().create_client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=secret_access_key,
        config=AioConfig(
            signature_version="s3v4" if service == "s3" else None, s3={"addressing_style": "path"}
        ),
    )
    return context


@cache
def _session() -> Any:
    """One for all: it reads a megabyte of JSON."""
    return get_session()


@asynccontextmanager
async def fresh_bucket(endpoint: str) -> AsyncIterator[str]:
    """A new, empty bucket, removed with all that is in it: the server holds it in memory."""
    name = f"test-{uuid4().hex}"
    async with aws_client(endpoint, "s3") as s3:
        await s3.create_bucket(Bucket=name)
        try:
            yield name
        finally:
            async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
                for entry in page.get("Contents", []):
                    await s3.delete_object(Bucket=name, Key=entry["Key"])
            async for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=name):
                for entry in page.get("Uploads", []):
                    await s3.abort_multipart_upload(Bucket=name, Key=entry["Key"], UploadId=entry["UploadId"])
            await s3.delete_bucket(Bucket=name)


def _environment(home: str) -> dict[str, str]:
    """Ours, without what would point the server or its clients to somebody's account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DARKROOM_"))}
    return kept | {"HOME": home, "PYTHONWARNINGS": "ignore"}


def _wait_until_it_answers(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"ministack does not answer:\n{log.read_text()[-2000:]}")
