"""Publishing as a client sees it: which address a rendition has, for whom, and what it costs to ask."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from app.worker import running_worker
from db.models import Role
from schema.ids import id_of
from tests.api.client import Client, Json
from tests.api.conftest import OwnService
from tests.api.service import CORS_ORIGIN
from tests.api.test_media_items import EVERYTHING, finish

pytestmark = pytest.mark.asyncio(loop_scope="session")

RENDITIONS = """
    query ($id: ID!) { media(id: $id) { visibility renditions { id name url { url expiresAt } } } }
"""
NODE = "query ($id: ID!) { node(id: $id) { ... on Rendition { name url { url expiresAt } } } }"
SET_VISIBILITY = """
    mutation ($id: ID!, $visibility: Visibility!) {
      updateMedia(input: {id: $id, visibility: $visibility}) {
        media { version visibility renditions { url { url expiresAt } } } userErrors { code } } }
"""
DELETE = "mutation ($id: ID!) { deleteMedia(id: $id) { deletedId userErrors { code } } }"


async def ready(client: Client, **fields: Any) -> str:
    """A media that is READY, with two renditions whose bytes are stored."""
    requested = await client.request(**fields)
    await finish(client, [requested.media_id])
    for status in ("PROCESSING", "READY"):
        await client.service.execute(
            """UPDATE media SET status = :status, version = version + 1
               WHERE owner_id = :owner AND status <> 'READY'""",
            owner=client.user.id,
            status=status,
        )
    await store_renditions(client)
    return requested.media_id


async def store_renditions(client: Client) -> None:
    runtime = client.service.runtime
    source = runtime.settings.data_dir / "rendition"
    source.write_bytes(b"a picture")
    async with runtime.engine.connect() as connection:
        statement = text("""
            SELECT renditions.key FROM renditions JOIN blobs ON blobs.id = blob_id WHERE owner_id = :owner
        """)
        for key in (await connection.execute(statement, {"owner": client.user.id})).scalars():
            await runtime.store.put_file(key, source, content_type="image/webp")


async def settle(client: Client, id: str) -> None:
    """As the job does."""
    media_id = id_of(id, "Media")
    assert media_id is not None
    await client.service.runtime.services.publications.settle(media_id)


async def set_visibility(client: Client, id: str, visibility: str) -> Json:
    payload = (await client.graphql(SET_VISIBILITY, id=id, visibility=visibility))["updateMedia"]
    assert payload["userErrors"] == []
    media: Json = payload["media"]
    return media


async def addresses(client: Client, id: str) -> list[Json]:
    media = (await client.graphql(RENDITIONS, id=id))["media"]
    return [rendition["url"] for rendition in media["renditions"]]


def are_signed(urls: list[Json]) -> bool:
    return bool(urls) and all("signature=" in url["url"] and url["expiresAt"] for url in urls)


def are_public(urls: list[Json]) -> bool:
    return bool(urls) and all("/objects/public/" in url["url"] and url["expiresAt"] is None for url in urls)


async def public_files(client: Client) -> list[str]:
    root = client.service.runtime.settings.data_dir / "objects" / "public"
    return [str(path.relative_to(root)) for path in await asyncio.to_thread(lambda: list(root.rglob("*.*")))]


async def test_a_published_rendition_has_one_lasting_address_for_everybody(
    client: Client, stranger: Client
) -> None:
    id = await ready(client, visibility="PUBLIC")
    assert are_signed(await addresses(client, id)), "not published yet"
    await settle(client, id)
    urls = await addresses(client, id)
    assert are_public(urls)
    assert await addresses(stranger, id) == urls
    for url in urls:
        response = await client.http.get(url["url"])
        assert (response.status_code, response.content) == (200, b"a picture")
        assert response.headers["content-type"] == "image/webp"
        assert response.headers["cache-control"] == "public, max-age=86400, immutable"
        assert str(client.user.id) not in url["url"]


async def test_a_rendition_as_a_node_has_the_same_address(client: Client, stranger: Client) -> None:
    id = await ready(client, visibility="PUBLIC")
    await settle(client, id)
    renditions = (await client.graphql(RENDITIONS, id=id))["media"]["renditions"]
    for rendition in renditions:
        for asking in (client, stranger):
            node = (await asking.graphql(NODE, id=rendition["id"]))["node"]
            assert node["url"] == rendition["url"]


async def test_a_private_rendition_has_a_signed_address(client: Client) -> None:
    id = await ready(client)
    await settle(client, id)
    assert are_signed(await addresses(client, id))


async def test_unpublishing_ends_the_public_address_before_it_answers(client: Client) -> None:
    id = await ready(client, visibility="PUBLIC")
    await settle(client, id)
    [url, _] = await addresses(client, id)
    etag = (await client.http.get(url["url"])).headers["etag"]
    media = await set_visibility(client, id, "PRIVATE")
    for headers in ({}, {"If-None-Match": etag}, {"If-None-Match": "*"}):
        gone = await client.http.get(url["url"], headers=headers)
        assert gone.status_code == 404
        assert gone.headers["cache-control"] == "no-store"
    urls = [rendition["url"] for rendition in media["renditions"]]
    assert are_signed(urls)
    assert (await client.http.get(urls[0]["url"])).content == b"a picture"


async def test_published_again_it_has_another_address(client: Client) -> None:
    id = await ready(client, visibility="PUBLIC")
    await settle(client, id)
    before = await addresses(client, id)
    await set_visibility(client, id, "PRIVATE")
    await set_visibility(client, id, "PUBLIC")
    await settle(client, id)
    after = await addresses(client, id)
    assert are_public(after)
    assert {url["url"] for url in before}.isdisjoint(url["url"] for url in after)
    assert (await client.http.get(before[0]["url"])).status_code == 404


async def test_deleting_a_published_media_ends_its_address_before_it_answers(client: Client) -> None:
    id = await ready(client, visibility="PUBLIC")
    await settle(client, id)
    [url, _] = await addresses(client, id)
    assert (await client.graphql(DELETE, id=id))["deleteMedia"]["deletedId"] == id
    assert (await client.http.get(url["url"])).status_code == 404


@pytest.mark.parametrize("visibility", ["PUBLIC", "PRIVATE"])
async def test_a_change_of_visibility_queues_the_settling_with_it(client: Client, visibility: str) -> None:
    id = await ready(client, visibility="PRIVATE" if visibility == "PUBLIC" else "PUBLIC")
    before = (await client.service.row_counts())["pgqueuer"]
    await set_visibility(client, id, visibility)
    assert (await client.service.row_counts())["pgqueuer"] == before + 1
    await set_visibility(client, id, visibility)
    assert (await client.service.row_counts())["pgqueuer"] == before + 1


async def test_a_store_that_is_away_does_not_keep_the_answer(own: OwnService) -> None:
    id = await ready(own.client, visibility="PUBLIC")
    await settle(own.client, id)
    [url, _] = await addresses(own.client, id)
    incoming = own.service.runtime.settings.data_dir / "objects" / ".incoming"
    hidden = incoming.rename(incoming.with_name(".elsewhere"))
    assert (await set_visibility(own.client, id, "PRIVATE"))["visibility"] == "PRIVATE"
    assert are_signed(await addresses(own.client, id)), "nobody is given the public address any more"
    hidden.rename(incoming)
    assert (await own.client.http.get(url["url"])).status_code == 200

    async def is_gone() -> bool:
        return (await own.client.http.get(url["url"])).status_code == 404

    async with running_worker(own.service.runtime):
        await until(is_gone)
    assert await public_files(own.client) == []


async def test_clients_who_flip_at_once_and_a_worker_end_with_what_is_true(own: OwnService) -> None:
    id = await ready(own.client)

    async def flip(first: str, then: str) -> None:
        for number in range(12):
            await set_visibility(own.client, id, then if number % 2 else first)

    async def nothing_is_queued() -> bool:
        return (await own.service.row_counts())["pgqueuer"] == 0

    async with running_worker(own.service.runtime):
        turns = [("PUBLIC", "PRIVATE"), ("PRIVATE", "PUBLIC")] * 3
        await asyncio.gather(*(flip(*turn) for turn in turns))
        for visibility, count in (("PUBLIC", 2), ("PRIVATE", 0), ("PUBLIC", 2)):
            await set_visibility(own.client, id, visibility)
            await until(nothing_is_queued)
            assert are_public(await addresses(own.client, id)) is (visibility == "PUBLIC")
            assert len(await public_files(own.client)) == count


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(600):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("Waited 30 s in vain.")


async def test_a_page_of_public_media_costs_one_statement_more_whatever_its_length(client: Client) -> None:
    ids = [await ready(client, visibility="PUBLIC", tags=["cat"]) for _ in range(6)]
    for id in ids[:3]:
        await settle(client, id)
    costs = {}
    for first in (1, 6):
        with client.service.statements() as statements:
            nodes = (await client.graphql(EVERYTHING, first=first))["mediaItems"]["nodes"]
        assert len(nodes) == first
        costs[first] = len(statements)
    assert costs == {1: 8, 6: 8}
    shown = [are_public([{**url, "expiresAt": None} for url in urls_of(node)]) for node in nodes]
    assert shown == [False] * 3 + [True] * 3


def urls_of(node: Json) -> list[Json]:
    return [rendition["url"] for rendition in node["renditions"]]


async def test_any_page_may_show_what_is_public_and_none_shares_an_answer(client: Client) -> None:
    id = await ready(client, visibility="PUBLIC")
    await settle(client, id)
    [url, _] = await addresses(client, id)
    for origin in (CORS_ORIGIN, "https://any.example.com", None):
        headers = {} if origin is None else {"origin": origin}
        for address in (url["url"], url["url"] + "x"):
            answer = await client.http.get(address, headers=headers)
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "vary" not in answer.headers
            assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [CORS_ORIGIN, "https://any.example.com"])
async def test_a_page_that_adds_a_header_may_fetch_what_is_public(client: Client, origin: str) -> None:
    id = await ready(client, visibility="PUBLIC")
    await settle(client, id)
    [url, _] = await addresses(client, id)
    asked = {"origin": origin, "access-control-request-method": "GET"}
    for header in ("range", "if-none-match", "x-page"):
        preflight = await client.http.options(
            url["url"], headers=asked | {"access-control-request-headers": header}
        )
        assert preflight.status_code == 204
        assert preflight.content == b""
        allowed = preflight.headers["access-control-allow-headers"].split(", ")
        assert "*" in allowed or header in allowed
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert preflight.headers["access-control-allow-methods"] == "GET, HEAD"
        assert int(preflight.headers["access-control-max-age"]) >= 600
        assert "access-control-allow-credentials" not in preflight.headers
        assert "vary" not in preflight.headers
    part = await client.http.get(url["url"], headers={"origin": origin, "range": "bytes=0-0"})
    assert (part.status_code, part.content) == (206, b"a")


async def test_what_is_private_is_preflighted_for_own_pages_alone(client: Client) -> None:
    id = await ready(client)
    [url, _] = await addresses(client, id)
    for origin, status in ((CORS_ORIGIN, 200), ("https://any.example.com", 400)):
        asked = {"origin": origin, "access-control-request-method": "GET"}
        assert (await client.http.options(url["url"], headers=asked)).status_code == status


async def test_what_is_public_is_answered_to_own_hosts_alone(client: Client) -> None:
    response = await client.http.get("/objects/public/a/b.webp", headers={"host": "evil.example.com"})
    assert response.status_code == 400


async def test_an_original_is_never_public(client: Client, stranger: Client) -> None:
    id = await ready(client, visibility="PUBLIC")
    await settle(client, id)
    download = "query ($id: ID!) { media(id: $id) { download { url expiresAt } } }"
    mine = (await client.graphql(download, id=id))["media"]["download"]
    assert are_signed([mine])
    assert (await stranger.graphql(download, id=id))["media"]["download"] is None
    admin = Client(service=client.service, user=await client.service.add_user(Role.ADMIN), http=client.http)
    assert are_signed([(await admin.graphql(download, id=id))["media"]["download"]])
