"""`signUploadRequest`: what is signed for a client that speaks S3 itself, and all that never is."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio

from db.models import utc_now
from tests.api.client import PICTURE, Client, Json, Requested
from tests.api.conftest import OwnService
from tests.api.service import Service, running_service
from tests.postgres import create_database

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024**2
FILE = random.Random(4).randbytes(17 * MIB)
PARTS = [FILE[at : at + 5 * MIB] for at in range(0, len(FILE), 5 * MIB)]

SIGN = """
    mutation ($input: SignUploadRequestInput!) { signUploadRequest(input: $input) { url key headers fields } }
"""

NO_UPLOAD = "No upload of yours with this key waits for bytes: request one."
NOT_THE_ONE = "uploadId is not the one with which this upload was begun."


async def sign(client: Client, requested: Requested, **request: Any) -> Json:
    signed: Json = (await client.graphql(SIGN, input={"key": requested.key, **request}))["signUploadRequest"]
    assert (signed["key"], signed["fields"]) == (requested.key, None)
    return signed


async def refusal(client: Client, **request: Any) -> str:
    return await client.refusal(SIGN, input=request)


async def send(client: Client, signed: Json, method: str, body: bytes | str = b"") -> httpx.Response:
    return await client.http.request(method, signed["url"], headers=signed["headers"], content=body)


async def request_in_parts(client: Client) -> Requested:
    return await client.request(FILE, filename="cat.tif", mimeType="image/tiff")


async def begin(client: Client, requested: Requested) -> str:
    """The store's id of a new upload in parts."""
    answer = await send(client, await sign(client, requested, method="POST"), "POST")
    assert answer.status_code == 200, answer.text
    found = re.search("<UploadId>(.+)</UploadId>", answer.text)
    assert found
    return found[1]


async def send_part(
    client: Client, requested: Requested, id: str, number: int, body: bytes | None = None
) -> httpx.Response:
    signed = await sign(client, requested, method="PUT", uploadId=id, partNumber=number)
    return await send(client, signed, "PUT", PARTS[number - 1] if body is None else body)


async def send_parts(client: Client, requested: Requested, id: str, numbers: Any = (1, 2, 3, 4)) -> str:
    """The document that completes the upload with these parts."""
    document = ""
    for number in numbers:
        answer = await send_part(client, requested, id, number)
        assert answer.status_code == 200, answer.text
        etag = answer.headers["etag"].strip('"')
        document += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    return f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>"


async def bound_id(client: Client, requested: Requested) -> str | None:
    async with client.service.runtime.engine.connect() as connection:
        statement = "SELECT multipart_id FROM uploads WHERE key = $1"
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        found: str | None = await raw.fetchval(statement, requested.key)
        return found
