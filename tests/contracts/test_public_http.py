"""`/objects/public/…` on the wire: what everybody may read, and that no path leads from there to the rest."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import httpx
import pytest

from tests.contracts.object_store import RunningDiskStore, running_disk_store, sign_put, upload
from tests.serving import HttpParser

KEY = "0197/2026/11/20/blob.jpg"
FOLDER = "public/5f2c/image-1"
DATA = b"what is private until it was copied"


@pytest.fixture(params=get_args(HttpParser))
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningDiskStore]:
    async with running_disk_store(tmp_path / "objects", parser=request.param) as running:
        await upload(running, KEY, DATA)
        await upload(running, "publicx/blob.jpg", DATA)
        yield running


async def publish(running: RunningDiskStore, name: str) -> str:
    key = f"{FOLDER}/{name}"
    await running.store.copy(KEY, key, content_type="image/webp")
    return running.store.public_url(key)


async def raw_get(running: RunningDiskStore, path: str) -> bytes:
    """The whole answer to a path that no client library would send as it is."""
    url = httpx.URL(running.address)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {url.host}\r\nConnection: close\r\n\r\n".encode("latin-1"))
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("webp-320.webp", "image/webp"), ("avif-640.avif", "image/avif"), ("jpeg-1.jpg", "image/jpeg")],
)
async def test_a_rendition_is_shown_as_what_it_is(
    running: RunningDiskStore, name: str, content_type: str
) -> None:
    response = await running.http.get(await publish(running, name))
    assert (response.status_code, response.content) == (200, DATA)
    assert response.headers["content-type"] == content_type
    assert response.headers["content-disposition"] == f"inline; filename*=UTF-8''{name}"


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.jpg.js", "webp", "a.", "a.webp2"])
async def test_what_we_do_not_make_is_only_saved(running: RunningDiskStore, name: str) -> None:
    headers = (await running.http.get(await publish(running, name))).headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith("attachment")


async def test_a_public_object_is_fenced_in_and_open_to_every_page(running: RunningDiskStore) -> None:
    url = await publish(running, "webp-320.webp")
    for headers in ({}, {"Origin": "https://any.example.com"}):
        answer = (await running.http.get(url, headers=headers)).headers
        assert answer["cache-control"] == "public, max-age=86400, immutable"
        assert answer["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer["x-content-type-options"] == "nosniff"
        assert answer["cross-origin-resource-policy"] == "cross-origin"
        assert answer["access-control-allow-origin"] == "*"
        assert "vary" not in answer
        assert "set-cookie" not in answer


async def test_a_query_changes_nothing(running: RunningDiskStore) -> None:
    url = await publish(running, "webp-320.webp")
    assert (await running.http.get(f"{url}?signature=x&expires=1")).content == DATA


async def test_a_range_beyond_the_end_is_416(running: RunningDiskStore) -> None:
    url = await publish(running, "webp-320.webp")
    response = await running.http.get(url, headers={"Range": "bytes=999-"})
    assert (response.status_code, response.headers["content-range"]) == (416, f"bytes */{len(DATA)}")


PATHS = [
    *["/objects/public/../{key}", "/objects/public/x/../../{key}", "/objects/public/./../{key}"],
    *["/objects/public%2f..%2f{key}", "/objects/public/%2e%2e/{key}", "/objects/public/..%2f{key}"],
    *["/objects/public%2F%2E%2E%2F{key}", "/objects/public/%252e%252e/{key}", "/objects/public/..\\{key}"],
    *["/objects/public//{key}", "/objects/public/{key}", "/objects/public/%00/../{key}"],
    *["/objects/public/..;/{key}", "/objects/public/\xc0\xae\xc0\xae/{key}", "/objects/public/%c0%ae./{key}"],
    *["/objects/PUBLIC/../{key}", "/objects/Public/{key}", "/objects//public/../{key}"],
    *[
        "/objects/publicx/blob.jpg",
        "/objects/publicx%2fblob.jpg",
        "/objects/{key}",
        "/objects/%70ublic/../{key}",
    ],
    *["/objects/./public/../{key}", "/objects/x/../public/../{key}", "/objects/public/../public/../{key}"],
    *["/objects/public", "/objects/public/", "/objects/public/.incoming/", "/objects/public/5f2c"],
]


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_to_what_is_private(running: RunningDiskStore, path: str) -> None:
    await publish(running, "webp-320.webp")
    answer = await raw_get(running, path.format(key=KEY))
    assert answer.split(b" ", 2)[1] in {b"400", b"403", b"404"}, answer
    assert DATA not in answer
    assert str(running.root).encode() not in answer


@pytest.mark.parametrize("key", ["never.webp", "..", ".incoming/x", "A", "%00", "x" * 600])
async def test_whatever_is_not_there_gets_one_and_the_same_answer(
    running: RunningDiskStore, key: str
) -> None:
    known = await raw_get(running, "/objects/public/never")
    answer = await raw_get(running, f"/objects/public/{key}")
    status, body = answer.split(b"\r\n", 1)[0], answer.partition(b"\r\n\r\n")[2]
    assert status.startswith(b"HTTP/1.1 404")
    assert body == known.partition(b"\r\n\r\n")[2]
    assert b"cache-control: no-store" in answer.lower()
    assert b"access-control-allow-origin: *" in answer.lower()


async def test_nothing_can_be_put_there(running: RunningDiskStore) -> None:
    signed = sign_put(running, "publicx/new.webp", b"intruder")
    for key in ("public/new.webp", f"{FOLDER}/webp-320.webp"):
        url = signed.url.replace("publicx/new.webp", key)
        response = await running.http.put(url, headers=signed.headers, content=b"intruder")
        assert (response.status_code, response.json()["error"]["code"]) == (403, "SIGNATURE_INVALID")
    assert running.files() == [KEY, "publicx/blob.jpg"]
