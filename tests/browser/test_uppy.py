"""`examples/uppy` in a browser: Uppy sends straight to the store, whichever it is, and Darkroom signs."""

import asyncio
import hashlib
import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route

from app.worker import running_worker
from tests import pictures
from tests.api.service import Service, running_service
from tests.browser.chromium import Visitor, visitor
from tests.browser.uppy import COMPLETE, CREATE, LIST_PARTS, WHOLE, Example, example_page, part
from tests.postgres import create_database

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024**2

SMALL = pictures.tiff(640, 480)

#: Four parts: TIFF says where its pixels lie, and nothing of what follows them.
LARGE = SMALL + random.Random(6).randbytes(17 * MIB - len(SMALL))

MEDIA = """{ mediaItems { nodes { filename status size sha256 sha256Verified failure { code }
  upload { status } } } }"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A service that nobody has used, and somebody at the example's page who may speak to it and the store."""

    service: Service
    person: Visitor
    example: Example

    async def media(self) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(base_url=self.service.address, trust_env=False) as http:
            answer = (await http.post("/graphql", json={"query": MEDIA})).json()
        found: list[dict[str, Any]] = answer["data"]["mediaItems"]["nodes"]
        return found

    async def keeps(self, name: str, data: bytes) -> None:
        """One media, READY, of exactly these bytes."""
        assert await self.media() == [
            {
                "filename": name,
                "status": "READY",
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "sha256Verified": True,
                "failure": None,
                "upload": {"status": "COMPLETED"},
            }
        ]


@pytest_asyncio.fixture(loop_scope="session")
async def stage(
    chromium: Browser, postgres_server: str, template: str, tmp_path: Path
) -> AsyncIterator[Stage]:
    async with (
        create_database(postgres_server, template) as url,
        example_page() as page,
        running_service(url, tmp_path, cors_origin=page, multipart_bytes=8 * MIB) as service,
        running_worker(service.runtime),
        visitor(chromium, page, others=(service.address,)) as person,
    ):
        example = await Example.opened(person.page, page, darkroom=service.address)
        yield Stage(service=service, person=person, example=example)
        assert person.foreign == []
        assert person.complaints == []


async def test_a_small_file_is_sent_by_one_put(stage: Stage) -> None:
    row = await stage.example.choose("small.tif", SMALL)
    await row.says("Ready")
    await row.shows_a_picture()
    assert stage.example.signed == [WHOLE]
    assert stage.example.answers == [("PUT", 200)]
    await stage.keeps("small.tif", SMALL)
