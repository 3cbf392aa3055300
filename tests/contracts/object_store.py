"""What the object store contract is run on: each backend, running, and a client that reaches it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from starlette.applications import Starlette

from app.objects import object_routes
from storage.disk import DiskStore
from storage.objects import Disposition, ObjectStore, SignedPut, StoredPart
from tests.serving import HttpParser, serve

SECRET = b"a signing secret of 32 bytes....".ljust(32, b".")
FIVE_MINUTES = timedelta(minutes=5)


class MovableClock:
    """The real time, plus what a test let pass."""

    def __init__(self) -> None:
        self._passed = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._passed

    async def pass_time(self, time: timedelta) -> None:
        self._passed += time

    @contextmanager
    def back(self, time: timedelta) -> Iterator[None]:
        """Whatever is signed in this block was signed that long ago: no real server's clock can be moved."""
        self._passed -= time
        try:
            yield
        finally:
            self._passed += time


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStore:
    """`clock` is the store's own, by which it signs."""

    store: ObjectStore
    http: httpx.AsyncClient
    clock: MovableClock


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningDiskStore(RunningStore):
    store: DiskStore
    root: Path
    address: str

    async def pass_time(self, time: timedelta) -> None:
        await self.clock.pass_time(time)

    def files(self) -> list[str]:
        """List everything below the root that isn't a directory, `.incoming` included."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir())


@asynccontextmanager
async def running_disk_store(
    root: Path,
    *,
    parser: HttpParser = "httptools",
    body_timeout: timedelta = timedelta(seconds=30),
    send_timeout: timedelta = timedelta(seconds=60),
) -> AsyncIterator[RunningDiskStore]:
    clock = MovableClock()
    stores: list[DiskStore] = []

    def make_app(address: str) -> Starlette:
        stores.append(DiskStore(root, base_url=f"{address}/objects", secret=SECRET, clock=clock))
        routes = object_routes(stores[0], body_timeout=body_timeout, send_timeout=send_timeout)
        return Starlette(routes=list(routes))

    async with serve(make_app, parser=parser) as address, httpx.AsyncClient(trust_env=False) as http:
        yield RunningDiskStore(store=stores[0], http=http, clock=clock, root=root, address=address)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def sign_put(
    running: RunningStore,
    key: str,
    data: bytes,
    *,
    content_type: str = "image/jpeg",
    expires_in: timedelta = FIVE_MINUTES,
) -> SignedPut:
    """Sign an upload of exactly `data`, with everything a client can promise."""
    return running.store.sign_put(
        key,
        content_type=content_type,
        byte_size=len(data),
        sha256=sha256(data),
        md5=md5(data),
        expires_in=expires_in,
    )


def sign_get(
    running: RunningStore,
    key: str,
    *,
    disposition: Disposition = Disposition.ATTACHMENT,
    filename: str = "photo.jpg",
    content_type: str = "image/jpeg",
    expires_in: timedelta = FIVE_MINUTES,
) -> str:
    signed = running.store.sign_get(
        key, disposition=disposition, filename=filename, content_type=content_type, expires_in=expires_in
    )
    return signed.url


async def send(running: RunningStore, signed: SignedPut, data: bytes, **headers: str) -> httpx.Response:
    """PUT `data` as a client would; `headers` (with _ for -) replace what was signed."""
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return await running.http.put(signed.url, content=data, headers={**signed.headers, **changed})


async def upload(running: RunningStore, key: str, data: bytes) -> None:
    response = await send(running, sign_put(running, key, data), data)
    response.raise_for_status()


async def send_part(
    running: RunningStore, key: str, upload_id: str, number: int, data: bytes, *, hashed: bool = True
) -> httpx.Response:
    """Sign a part for exactly `data` and send it."""
    signed = sign_part(running, key, upload_id, number, data, hashed=hashed)
    return await send(running, signed, data)


def sign_part(
    running: RunningStore, key: str, upload_id: str, number: int, data: bytes, *, hashed: bool = True
) -> SignedPut:
    return running.store.sign_part(
        key,
        upload_id,
        number,
        byte_size=len(data),
        sha256=sha256(data) if hashed else None,
        expires_in=FIVE_MINUTES,
    )


async def upload_parts(
    running: RunningStore, key: str, parts: Sequence[bytes], *, content_type: str = "image/jpeg"
) -> tuple[str, Sequence[StoredPart]]:
    """Begin an upload and send all of its parts; return its id and what the store lists."""
    upload_id = await running.store.create_multipart(key, content_type=content_type, part_hashes=True)
    for number, data in enumerate(parts, 1):
        (await send_part(running, key, upload_id, number, data)).raise_for_status()
    return upload_id, await running.store.list_parts(key, upload_id)


async def multiparts(running: RunningStore, prefix: str = "") -> list[tuple[str, str]]:
    """The keys and ids of the open uploads, in the store's order."""
    return [(each.key, each.upload_id) async for each in running.store.list_multiparts(prefix)]


async def stored_bytes(running: RunningStore, key: str, scratch: Path) -> bytes:
    """Read the object past all signatures, by `fetch`."""
    path = scratch / f"read-{sha256(key.encode())[:8]}"
    await running.store.fetch(key, path)
    try:
        return await asyncio.to_thread(path.read_bytes)
    finally:
        path.unlink()


async def keys(running: RunningStore, prefix: str = "") -> list[str]:
    return [info.key async for info in running.store.list(prefix)]


async def begin_upload(
    signed: SignedPut, data: bytes, *, extra: str = ""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a plain connection and send the head of the request and `data`, be that the whole body or not."""
    url = httpx.URL(signed.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = [f"PUT {url.raw_path.decode()} HTTP/1.1", f"Host: {url.netloc.decode()}"]
    lines += [f"{name}: {value}" for name, value in signed.headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n" + extra + "\r\n").encode() + data)
    await writer.drain()
    return reader, writer
