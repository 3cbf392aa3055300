"""GraphiQL's page and files, as HTTP gives them out. What people do with them: tests/browser."""

import re
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Origin

from app.graphiql_page import BUILT
from tests.api.client import TRANSPORT_WS, Client
from tests.api.conftest import OwnService
from tests.api.service import running_service

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: What Chromium and Firefox send when somebody opens an address.
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
QUESTION = {"query": "{ viewer { id } }"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_browser_that_opens_the_address_gets_the_page(client: Client, method: str) -> None:
    page = await client.http.request(method, "/graphql", headers=BROWSER)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert ("<title>GraphiQL · Darkroom</title>" in page.text) == (method == "GET")
    assert page.headers["cache-control"] == "no-cache"
    assert "Accept" in page.headers["vary"].split(", ")


async def test_a_browser_gets_the_page_even_with_a_question_in_the_address(client: Client) -> None:
    page = await client.http.get("/graphql", params=QUESTION, headers=BROWSER)
    assert page.text.startswith("<!doctype html>")


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json", "*/*"])
async def test_whoever_does_not_ask_for_html_gets_the_api(client: Client, accept: str) -> None:
    answer = await client.http.get("/graphql", params=QUESTION, headers={"accept": accept})
    assert "viewer" in answer.json()["data"]


async def test_a_post_is_for_the_api_whatever_it_accepts(client: Client) -> None:
    assert "viewer" in (await client.post(QUESTION, **BROWSER)).json()["data"]


async def test_page_and_files_are_kept_from_everything_foreign(client: Client) -> None:
    for path in ("/graphql", await an_asset(client)):
        headers = (await client.http.get(path, headers=BROWSER)).headers
        policy = dict(directive.split(" ", 1) for directive in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
        assert {source for sources in policy.values() for source in sources.split()} == {
            "'none'",
            "'self'",
            "'unsafe-inline'",
            "data:",
        }
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


async def test_a_foreign_host_gets_neither_page_nor_files(client: Client) -> None:
    for path in ("/graphql", await an_asset(client)):
        answer = await client.http.get(path, headers={**BROWSER, "host": "evil.example.com"})
        assert answer.status_code == 400


async def test_files_may_be_kept_for_ever_and_errors_not_at_all(client: Client) -> None:
    asset = await client.http.get(await an_asset(client))
    assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert asset.headers["content-type"].startswith("text/javascript")
    for path in ("nothing.js", "", "../index.html", "%2e%2e/index.html", "..%2f..%2fpackage.json"):
        missing = await client.http.get(f"/graphiql-assets/{path}")
        assert missing.status_code == 404
        assert "cache-control" not in missing.headers


async def test_every_file_is_there_under_a_name_made_from_its_content(client: Client) -> None:
    files = list((BUILT / "graphiql-assets").iterdir())
    assert files
    for file in files:
        assert re.fullmatch(r"[\w.-]+-[\w-]{8}\.(js|css|svg|ttf|txt|woff2?)", file.name)
        answer = await client.http.get(f"/graphiql-assets/{file.name}")
        assert answer.content == file.read_bytes()


async def test_the_start_page_names_it(client: Client) -> None:
    assert "GraphiQL" in (await client.http.get("/")).text


async def test_a_setting_takes_it_away_and_leaves_the_api(own: OwnService, tmp_path: Path) -> None:
    asset = await an_asset(own.client)
    url = own.service.runtime.database_url
    async with (
        running_service(url, tmp_path / "other", graphiql=False) as service,
        httpx.AsyncClient(base_url=service.address, timeout=20, trust_env=False) as http,
    ):
        assert "viewer" in (await http.get("/graphql", params=QUESTION, headers=BROWSER)).json()["data"]
        assert (await http.get(asset)).status_code == 404
        assert "GraphiQL" not in (await http.get("/")).text


async def test_it_works_behind_a_gateway_that_speaks_tls(own: OwnService, tmp_path: Path) -> None:
    """The gateway passes the public host on; page and socket have addresses that begin with https and wss."""
    url = own.service.runtime.database_url
    async with (
        running_service(url, tmp_path / "other", allowed_hosts=("media.example.com",)) as service,
        httpx.AsyncClient(base_url=service.address, timeout=20, trust_env=False) as http,
    ):
        page = await http.get("/graphql", headers={**BROWSER, "host": "media.example.com"})
        assert page.text.startswith("<!doctype html>")
        assert "http:" not in page.text
        async with connect(
            "ws://media.example.com/graphql",
            host="127.0.0.1",
            port=int(service.address.rpartition(":")[2]),
            origin=Origin("https://media.example.com"),
            subprotocols=[TRANSPORT_WS],
            proxy=None,
        ) as connection:
            assert connection.subprotocol == TRANSPORT_WS


async def an_asset(client: Client) -> str:
    page = (await client.http.get("/graphql", headers=BROWSER)).text
    [path] = re.findall(r'<script type="module"[^>]* src="(/graphiql-assets/[^"]+)"', page)
    return str(path)
