"""A network before the store as a client sees it: cached there while it is public, and forgotten then."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.operations.errors import OperationError
from app.worker import running_worker
from tests.api.client import Client
from tests.api.service import running_service
from tests.api.test_publishing import addresses, are_signed, ready, set_visibility, settle, until
from tests.postgres import create_database
from tests.serving import serve
from tests.unit.test_cdn_signing import KEY, pem

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN = "canary-token-that-nobody-may-ever-see"


@dataclass
class Network:
    """Keeps what its origin gave with `public`, until it is asked to forget it; refuses `failing` purges."""

    address: str = ""
    origin: str = ""
    failing: int = 0
    kept: dict[str, bytes] = field(default_factory=dict)

    async def get(self, request: Request) -> Response:
        path = request.url.path
        if path not in self.kept:
            async with httpx.AsyncClient(trust_env=False) as http:
                answer = await http.get(f"{self.origin}/objects{path}")
            if answer.status_code != 200 or not answer.headers["cache-control"].startswith("public"):
                return Response(answer.content, answer.status_code)
            self.kept[path] = answer.content
        return Response(self.kept[path])

    async def purge(self, request: Request) -> Response:
        if self.failing or request.headers["authorization"] != f"Bearer {TOKEN}":
            self.failing -= 1
            return Response(status_code=503)
        beneath = urlsplit((await request.json())["address"]).path + "/"
        self.kept = {path: content for path, content in self.kept.items() if not path.startswith(beneath)}
        return Response(status_code=202)


@asynccontextmanager
async def serving(network: Network) -> AsyncIterator[Network]:
    routes = [
        Route("/purge", network.purge, methods=["POST"]),
        Route("/{path:path}", network.get, methods=["GET"]),
    ]
    async with serve(lambda _: Starlette(routes=routes)) as network.address:
        yield network


@pytest_asyncio.fixture(loop_scope="session")
async def network() -> AsyncIterator[Network]:
    async with serving(Network()) as network:
        yield network


@pytest_asyncio.fixture(loop_scope="session")
async def client(
    network: Network, postgres_server: str, template: str, tmp_path: Path
) -> AsyncIterator[Client]:
    settings = {
        "cdn_url": network.address,
        "cdn_purge_url": f"{network.address}/purge",
        "cdn_purge_token": TOKEN,
    }
    async with (
        create_database(postgres_server, template) as url,
        running_service(url, tmp_path, **settings) as service,
        httpx.AsyncClient(base_url=service.address, timeout=20, trust_env=False) as http,
    ):
        network.origin = service.address
        yield Client(service=service, user=await service.add_user(), http=http)


async def test_what_is_unpublished_is_gone_from_the_network_when_the_mutation_answers(
    client: Client, network: Network
) -> None:
    id = await ready(client, visibility="PUBLIC")
    await settle(client, id)
    urls = [url["url"] for url in await addresses(client, id)]
    assert all(url.startswith(f"{network.address}/public/") for url in urls)
    for url in urls:
        assert (await client.http.get(url)).content == b"a picture"
    assert len(network.kept) == len(urls)
    await set_visibility(client, id, "PRIVATE")
    assert network.kept == {}
    assert {(await client.http.get(url)).status_code for url in urls} == {404}
    private = await addresses(client, id)
    assert are_signed(private)
    assert private[0]["url"].startswith(f"{client.service.address}/objects/")


async def test_a_network_that_refuses_is_asked_again_by_the_job(client: Client, network: Network) -> None:
    id = await ready(client, visibility="PUBLIC")
    await settle(client, id)
    [url, _] = [url["url"] for url in await addresses(client, id)]
    assert (await client.http.get(url)).status_code == 200
    network.failing = 1
    assert (await set_visibility(client, id, "PRIVATE"))["visibility"] == "PRIVATE"
    assert (await client.http.get(url)).status_code == 200, "the network was not asked successfully yet"

    async def is_forgotten() -> bool:
        return (await client.http.get(url)).status_code == 404

    async with running_worker(client.service.runtime):
        await until(is_forgotten)


async def test_a_service_does_not_start_with_a_key_pair_before_the_disk_store(
    database_url: str, tmp_path: Path
) -> None:
    settings = {
        "cdn_url": "https://cdn.example.com",
        "cdn_key_pair_id": "K2JCJMDEHXQW5F",
        "cdn_private_key": pem(KEY).decode(),
    }
    with pytest.raises(OperationError, match="needs objects on S3"):
        async with running_service(database_url, tmp_path, **settings):
            pass
