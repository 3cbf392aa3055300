"""Who may talk to the service from where, and what it tells of itself."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import make_url
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from app.asgi import create_app
from app.embedded_postgres import asyncpg_dsn
from tests.api.client import MEDIA_EVENTS, TRANSPORT_WS, Client
from tests.api.conftest import OwnService
from tests.api.service import CORS_ORIGIN

pytestmark = pytest.mark.asyncio(loop_scope="session")

FOREIGN = "https://evil.example.com"


@pytest.mark.parametrize("path", ["/graphql", "/objects/x", "/metrics", "/readyz", "/"])
async def test_a_foreign_host_is_refused(client: Client, path: str) -> None:
    """A page may have made its own name point here (DNS rebinding)."""
    response = await client.http.get(path, headers={"host": "evil.example.com"})
    assert response.status_code == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000", "LOCALHOST"])
async def test_the_own_hosts_are_answered(client: Client, host: str) -> None:
    assert (await client.http.get("/livez", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["", "localhost.evil.example.com", "evil.example.com:80", "127.0.0.1@evil"])
async def test_what_only_looks_like_an_own_host_is_refused(client: Client, host: str) -> None:
    assert (await client.http.get("/livez", headers={"host": host})).status_code == 400


async def test_a_socket_from_a_foreign_page_is_refused(client: Client) -> None:
    for origin in (FOREIGN, "null", f"{CORS_ORIGIN}.evil.example.com"):
        with pytest.raises(InvalidStatus) as refused:
            async with client.connection(origin=origin):
                pass
        assert refused.value.response.status_code == 403


async def test_a_socket_under_a_foreign_host_is_refused(client: Client) -> None:
    headers = {
        "host": "evil.example.com",
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": TRANSPORT_WS,
    }
    assert (await client.http.get("/graphql", headers=headers)).status_code in {400, 403}


async def test_a_socket_from_a_configured_page_and_from_no_page_is_welcome(client: Client) -> None:
    for origin in (CORS_ORIGIN, client.service.address, None):
        async with client.connection(origin=origin) as connection:
            assert connection.subprotocol == TRANSPORT_WS


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/graphql"), *[(method, "/objects/a/b.jpg") for method in ("PUT", "POST", "DELETE", "GET")]],
)
async def test_only_pages_of_configured_origins_may_ask(client: Client, method: str, path: str) -> None:
    question = {
        "access-control-request-method": method,
        "access-control-request-headers": "content-type,content-md5,x-amz-checksum-sha256",
    }
    allowed = await client.http.options(path, headers={**question, "origin": CORS_ORIGIN})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == CORS_ORIGIN
    assert method in allowed.headers["access-control-allow-methods"]
    refused = await client.http.options(path, headers={**question, "origin": FOREIGN})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


async def test_only_pages_of_configured_origins_may_read_the_answer(client: Client) -> None:
    requested = await client.request()
    for origin, allowed in ((CORS_ORIGIN, CORS_ORIGIN), (FOREIGN, None)):
        headers = {"origin": origin}
        answers = (
            await client.http.get("/graphql", params={"query": "{ viewer { id } }"}, headers=headers),
            await client.http.get(requested.target["url"], headers=headers),
        )
        assert [answer.headers.get("access-control-allow-origin") for answer in answers] == [allowed] * 2


# --- sockets ---------------------------------------------------------------------------------------


async def test_the_legacy_protocol_is_refused(client: Client) -> None:
    async with client.connection(subprotocol=Subprotocol("graphql-ws")) as connection:
        assert await close_code(connection) == 4406
        assert connection.subprotocol is None


async def test_a_client_that_never_initialises_is_cut_off(client: Client) -> None:
    runtime = client.service.runtime
    applications = client.service.gateway.applications
    applications[str(client.user.id)] = create_app(
        runtime, connection_init_patience=timedelta(milliseconds=50)
    )
    async with client.connection() as connection:
        assert await close_code(connection) == 4408


@pytest.mark.parametrize("message", ["{", "1", "[]", "null", '"text"', "{}", '{"type": "nonsense"}'])
async def test_a_message_that_is_none_closes_the_socket(client: Client, message: str) -> None:
    async with client.connection() as connection:
        await connection.send(message)
        assert await close_code(connection) == 4400


async def test_nothing_is_answered_before_the_connection_is_initialised(client: Client) -> None:
    async with client.connection() as connection:
        await connection.send('{"id": "1", "type": "subscribe", "payload": {"query": "{ viewer { id } }"}}')
        assert await close_code(connection) == 4401


async def test_a_socket_carries_at_most_20_subscriptions(client: Client) -> None:
    async with client.socket() as socket:
        first = [await socket.subscribe(MEDIA_EVENTS) for _ in range(20)]
        for id in first:
            await socket.event(id)
        error = await socket.error(await socket.subscribe(MEDIA_EVENTS))
        assert error["message"] == "Subscription limit reached"
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert error["extensions"]["traceId"]
        await socket.stop(first[0])
        assert (await socket.event(await socket.subscribe(MEDIA_EVENTS)))["type"] == "CURSOR"


async def close_code(connection: Any) -> int:
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionClosed):
            await connection.recv()
    code: int = connection.close_code
    return code


# --- what it tells of itself -----------------------------------------------------------------------


async def test_the_process_lives_and_is_ready(client: Client) -> None:
    assert (await client.http.get("/livez")).text == "ok\n"
    ready = await client.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"database": True, "storage": True, "events": True})


async def test_without_its_database_it_lives_and_is_not_ready(own: OwnService, postgres_server: str) -> None:
    """Nobody may connect any more, as when the server is gone."""
    name = make_url(own.service.runtime.database_url).database
    connection = await asyncpg.connect(asyncpg_dsn(postgres_server))
    await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await connection.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    await connection.close()
    ready = await own.client.http.get("/readyz")
    assert (ready.status_code, ready.json()["database"], ready.json()["storage"]) == (503, False, True)
    assert (await own.client.http.get("/livez")).status_code == 200


async def test_requests_are_counted_by_bounded_labels(client: Client) -> None:
    before = await counts(client)
    requested = await client.request()
    await client.http.get(requested.target["url"])
    for path in ("/wp-admin/setup.php", "/graphql2", "/objectsx", f"/{requested.media_id}"):
        await client.http.get(path)
    await client.http.patch("/livez")
    after = await counts(client)
    added = {labels: after[labels] - before.get(labels, 0) for labels in after}
    assert added[("POST", "/graphql", "200")] == 1
    assert added[("GET", "/objects", "403")] == 1
    assert added[("GET", "other", "404")] == 4
    assert added[("OTHER", "/livez", "405")] == 1
    assert {path for _, path, _ in after} <= {
        "/",
        "/graphql",
        "/graphiql-assets",
        "/livez",
        "/metrics",
        "/objects",
        "/readyz",
        "other",
    }


async def counts(client: Client) -> dict[tuple[str, str, str], float]:
    families = text_string_to_metric_families((await client.http.get("/metrics")).text)
    [requests] = [family for family in families if family.name == "darkroom_http_requests"]
    return {
        (sample.labels["method"], sample.labels["path"], sample.labels["status"]): sample.value
        for sample in requests.samples
        if sample.name.endswith("_total")
    }


async def test_durations_are_measured_by_path(client: Client) -> None:
    await client.graphql("query { viewer { id } }")
    text = (await client.http.get("/metrics")).text
    assert 'darkroom_http_request_seconds_count{method="POST",path="/graphql"}' in text
