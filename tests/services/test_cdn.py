"""A network before the store: addresses beneath it, and asking it to forget what is public no longer."""

import asyncio
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from app.cdn import purged_cdn, read_addresses
from app.operations.errors import OperationError
from app.purge_hook import PurgeError, PurgeHook
from app.settings import Settings
from db.models import Publication, Rendition, RenditionRole, Role, User, Visibility, new_id
from db.sessions import Sessions, create_engine, create_sessions
from services.cdn import NoCdn
from services.delivery import Delivery
from services.publications import Publications
from storage.disk import DiskStore
from storage.disk_signing import DiskSigner
from tests.services.publishing import Gallery
from tests.serving import serve

CDN = "https://cdn.example.com/media"
TOKEN = "canary-token-that-nobody-may-ever-see"
LIFETIME = timedelta(minutes=5)
PEM = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)

#: The signing half of a store that is no disk store: all that addresses need of one.
STORE = DiskSigner(base_url="https://store.example.com", secret=bytes(32), clock=lambda: datetime.now(UTC))

RENDITION = Rendition(
    blob_id=new_id(),
    recipe="image-1",
    name="webp-640",
    role=RenditionRole.IMAGE,
    mime_type="image/webp",
    width=640,
    height=480,
    size=1,
    key="owner/2026/11/20/blob/image-1/webp-640.webp",
)
PUBLISHED = Publication(media_id=new_id(), prefix=f"public/{'0' * 40}")


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def delivery(**values: Any) -> Delivery:
    return Delivery(addresses=read_addresses(settings(**values), STORE), address_lifetime=LIFETIME)


def signing(**values: Any) -> dict[str, Any]:
    return {"cdn_url": CDN, "cdn_key_pair_id": "K2JCJMDEHXQW5F", "cdn_private_key": PEM, **values}


def test_without_a_network_everything_is_read_from_the_store() -> None:
    assert read_addresses(settings(), STORE) is STORE
    assert isinstance(purged_cdn(settings()), NoCdn)


def test_a_public_rendition_is_read_beneath_the_networks_address() -> None:
    for values in ({"cdn_url": f"{CDN}/"}, signing()):
        address = delivery(**values).rendition(RENDITION, PUBLISHED)
        assert address.url == f"{CDN}/{PUBLISHED.prefix}/image-1/webp-640.webp"
        assert address.expires_at is None


def test_a_private_rendition_is_read_from_the_store_unless_there_is_a_key_pair() -> None:
    own = delivery(cdn_url=CDN).rendition(RENDITION, None)
    assert own.url.startswith(f"https://store.example.com/{RENDITION.key}?")
    signed = delivery(**signing()).rendition(RENDITION, None)
    assert signed.url.startswith(f"{CDN}/{RENDITION.key}?")
    query = parse_qs(urlsplit(signed.url).query, strict_parsing=True)
    assert query["response-content-disposition"] == ["inline; filename*=UTF-8''webp-640.webp"]
    assert query["response-content-type"] == ["image/webp"]
    assert (query["Key-Pair-Id"], query["Hash-Algorithm"]) == (["K2JCJMDEHXQW5F"], ["SHA256"])
    assert signed.expires_at is not None
    assert query["Expires"] == [str(int(signed.expires_at.timestamp()))]


def test_a_network_that_knows_no_hash_algorithm_is_told_of_none() -> None:
    address = delivery(**signing(cdn_hash_algorithm="SHA1")).rendition(RENDITION, None)
    assert "Hash-Algorithm" not in address.url
    assert "&Signature=" in address.url


def test_a_key_comes_from_a_file_or_on_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(PEM)
    on_one_line = PEM.replace("\n", "\\n")
    urls = {
        urlsplit(delivery(**signing(**key)).rendition(RENDITION, None).url).path
        for key in (
            {"cdn_private_key": None, "cdn_private_key_file": tmp_path / "key.pem"},
            {"cdn_private_key": on_one_line},
        )
    }
    assert urls == {f"/media/{RENDITION.key}"}


def test_a_key_that_cannot_be_used_is_refused_by_the_settings_name(tmp_path: Path) -> None:
    elliptic = (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode()
    )
    with pytest.raises(OperationError, match=r"^DARKROOM_CDN_PRIVATE_KEY: The private key is not an RSA key"):
        delivery(**signing(cdn_private_key=elliptic))
    (tmp_path / "key.pem").write_text("nothing")
    with pytest.raises(OperationError, match=r"^DARKROOM_CDN_PRIVATE_KEY_FILE: This is no private key"):
        delivery(**signing(cdn_private_key=None, cdn_private_key_file=tmp_path / "key.pem"))
    with pytest.raises(OperationError, match=r"missing\.pem can't be read: No such file"):
        delivery(**signing(cdn_private_key=None, cdn_private_key_file=tmp_path / "missing.pem"))


def test_a_key_pair_before_the_disk_store_is_refused(tmp_path: Path) -> None:
    disk = DiskStore(tmp_path, base_url="https://media.example.com/objects", secret=bytes(32))
    with pytest.raises(OperationError, match="DARKROOM_CDN_KEY_PAIR_ID needs objects on S3"):
        read_addresses(settings(**signing()), disk)
    public = Delivery(addresses=read_addresses(settings(cdn_url=CDN), disk), address_lifetime=LIFETIME)
    assert public.rendition(RENDITION, PUBLISHED).url.startswith(f"{CDN}/public/")


@dataclass
class Hook:
    """Answers with the statuses in turn, then 202; keeps what it was sent."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    redirected: int = 0

    async def purge(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        status = self.statuses.pop(0) if self.statuses else 202
        if status == 307:
            return RedirectResponse(f"{self.url}/elsewhere", status)
        return Response("canary of the hook", status)

    async def elsewhere(self, request: Request) -> Response:
        self.redirected += 1
        return Response(status_code=202)


@asynccontextmanager
async def listening(*statuses: int) -> AsyncIterator[Hook]:
    hook = Hook(statuses=list(statuses))
    routes = [
        Route("/purge", hook.purge, methods=["POST"]),
        Route("/purge/elsewhere", hook.elsewhere, methods=["POST"]),
    ]
    async with serve(lambda _: Starlette(routes=routes)) as address:
        hook.url = f"{address}/purge"
        yield hook


def hooked(hook: Hook, **values: Any) -> Settings:
    return settings(**{"cdn_url": CDN, "cdn_purge_url": hook.url, "cdn_purge_token": TOKEN, **values})


@pytest.fixture
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = create_engine(database_url)
    yield create_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def gallery(sessions: Sessions, tmp_path: Path) -> Gallery:
    async with sessions.begin() as session:
        owner = User(username=f"owner-{new_id()}", role=Role.EDITOR)
        session.add(owner)
    store = DiskStore(tmp_path / "objects", base_url="http://127.0.0.1/objects", secret=b"s" * 32)
    return Gallery(sessions, store, owner, tmp_path)


async def unpublished(gallery: Gallery, publications: Publications) -> Publication:
    """A media whose copies were public, and whose row says now that they are not to be."""
    media_id = await gallery.add()
    await publications.settle(media_id)
    published = await gallery.publication(media_id)
    assert published
    await gallery.change(media_id, visibility=Visibility.PRIVATE)
    return published


def publications_of(gallery: Gallery, hook: Hook) -> Publications:
    return Publications(sessions=gallery.sessions, store=gallery.store, cdn=purged_cdn(hooked(hook)))


async def test_unpublishing_purges_the_networks_address_of_the_prefix(gallery: Gallery) -> None:
    async with listening() as hook:
        publications = publications_of(gallery, hook)
        published = await unpublished(gallery, publications)
        assert hook.asked == []
        await publications.settle(published.media_id)
    assert hook.asked == [{"address": f"{CDN}/{published.prefix}"}]
    assert hook.headers[0]["authorization"] == f"Bearer {TOKEN}"
    assert hook.headers[0]["content-type"] == "application/json"
    assert await gallery.publication(published.media_id) is None


async def test_a_hook_that_answers_500_is_asked_again_until_it_accepts(gallery: Gallery) -> None:
    async with listening(500, 503) as hook:
        publications = publications_of(gallery, hook)
        published = await unpublished(gallery, publications)
        for status in (500, 503):
            with pytest.raises(PurgeError, match=f"answered {status}"):
                await publications.settle(published.media_id)
            # The copies are gone; the row stays, so that it is gone on with.
            assert await gallery.public_keys() == []
            assert await gallery.publication(published.media_id)
        await publications.settle(published.media_id)
    assert hook.asked == [{"address": f"{CDN}/{published.prefix}"}] * 3
    assert await gallery.publication(published.media_id) is None
    assert await gallery.is_settled()


async def test_whoever_unpublishes_is_not_told_and_the_token_is_nowhere_in_the_log(gallery: Gallery) -> None:
    async with listening(500) as hook:
        publications = publications_of(gallery, hook)
        published = await unpublished(gallery, publications)
        with capture_logs() as logs:
            await publications.settle_now(published.media_id)
    assert [line["event"] for line in logs] == ["publication_not_settled"]
    assert TOKEN not in str(logs)
    assert TOKEN not in repr(publications)


@pytest.mark.parametrize("status", [307, 400, 401, 404, 500])
async def test_what_is_not_accepted_raises_without_saying_what_was_sent_or_answered(status: int) -> None:
    async with listening(status) as hook:
        with pytest.raises(PurgeError, match=f"answered {status}") as refused:
            await purged_cdn(hooked(hook)).purge("public/0123")
    told = "".join(traceback.format_exception(refused.value))
    assert not [secret for secret in (TOKEN, hook.url, "canary") if secret in told]
    assert hook.redirected == 0


async def test_a_hook_that_is_not_there_raises_without_saying_where(unused_tcp_port: int) -> None:
    hook = Hook(url=f"http://127.0.0.1:{unused_tcp_port}/purge?secret={TOKEN}")
    with pytest.raises(PurgeError, match="could not be reached: ClientConnectorError") as refused:
        await purged_cdn(hooked(hook)).purge("public/0123")
    assert TOKEN not in "".join(traceback.format_exception(refused.value))


async def test_a_hook_without_a_token_is_sent_none() -> None:
    async with listening() as hook:
        await purged_cdn(hooked(hook, cdn_purge_token=None)).purge("public/0123")
    assert "authorization" not in hook.headers[0]


async def test_a_hook_that_does_not_answer_is_given_up() -> None:
    release = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        hook = PurgeHook(
            hook_url=f"http://127.0.0.1:{port}/purge", token=None, base_url=CDN, timeout_seconds=0.1
        )
        with pytest.raises(PurgeError, match=r"did not answer within 0\.1 s"):
            await hook.purge("public/0123")
        release.set()
