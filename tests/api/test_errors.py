"""Errors: what a client is told of them, what the log keeps, and what neither may ever hold."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.asgi import create_app
from app.body_limit import MAX_BODY_BYTES
from storage.disk import DiskStore
from storage.errors import StorageUnavailableError
from storage.objects import ObjectInfo
from tests.api.client import REQUEST_UPLOAD, Client
from tests.api.conftest import Log, OwnService
from tests.api.service import SECRET

pytestmark = pytest.mark.asyncio(loop_scope="session")

MEDIA = "query ($id: ID!) { media(id: $id) { id } }"
GRAPHQL_RESPONSE = "application/graphql-response+json"


async def test_an_unexpected_exception_is_masked_and_logged_once_with_its_trace_id(
    own: OwnService, logged: Log
) -> None:
    requested = await own.client.request()
    await own.service.execute("ALTER TABLE tags RENAME TO tags_that_broke")
    [error] = await own.client.errors(
        "query ($id: ID!) { media(id: $id) { tags { id } } }", id=requested.media_id
    )
    assert error["message"] == "Something went wrong inside the service."
    assert error["path"] == ["media", "tags"]
    assert error["extensions"].keys() == {"code", "traceId"}
    assert error["extensions"]["code"] == "INTERNAL"
    [line] = logged.lines("request_failed")
    assert line["trace_id"] == error["extensions"]["traceId"]
    assert (line["path"], line["level"]) == ("media.tags", "error")
    assert "UndefinedTable" in line["exception"]
    assert logged.text.count("UndefinedTable") == line["exception"].count("UndefinedTable")
    assert requested.media_id not in logged.text
    assert "signature=" not in logged.text


async def test_a_failing_field_leaves_the_others(own: OwnService) -> None:
    await own.service.execute("ALTER TABLE tags RENAME TO tags_that_broke")
    body = (await own.client.post({"query": "query { viewer { id } tags { nodes { id } } }"})).json()
    assert body["data"] is None
    assert [error["path"] for error in body["errors"]] == [["tags"]]


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        ("query {", {}),
        ("nonsense", {}),
        ("query { nothing }", {}),
        ("query ($id: ID!) { media(id: $id) { id } }", {}),
        ("query ($id: ID!) { media(id: $id) { id } }", {"id": {"a": 1}}),
        (REQUEST_UPLOAD, {"input": {"filename": "a"}}),
        ("query { media(id: 1.5) { id } }", {}),
    ],
    ids=[
        "syntax",
        "no document",
        "unknown field",
        "missing variable",
        "wrong variable",
        "missing input field",
        "wrong literal",
    ],
)
@pytest.mark.parametrize("accept", ["application/json", GRAPHQL_RESPONSE])
async def test_a_request_that_was_not_executed_has_no_data(
    client: Client, logged: Log, text: str, variables: Any, accept: str
) -> None:
    response = await client.post({"query": text, "variables": variables}, accept=accept)
    body = response.json()
    assert "data" not in body
    assert {error["extensions"]["code"] for error in body["errors"]} == {"BAD_USER_INPUT"}
    assert all(error["extensions"]["traceId"] for error in body["errors"])
    assert response.headers["content-type"].partition(";")[0] in {accept, "application/json"}
    if accept == GRAPHQL_RESPONSE:
        assert response.status_code == 400
    assert logged.lines("request_failed") == []


async def test_the_status_is_200_once_a_request_was_executed(client: Client) -> None:
    for query, data in (
        ("query { viewer { username } }", {"viewer": {"username": client.user.username}}),
        ('query { node(id: "x") { id } }', {"node": None}),
        ("query { mediaItems(first: 0) { nodes { id } } }", None),
    ):
        response = await client.post({"query": query}, accept=GRAPHQL_RESPONSE)
        assert response.status_code == 200
        assert response.headers["content-type"] == f"{GRAPHQL_RESPONSE}; charset=utf-8"
        assert response.json()["data"] == data


async def test_a_query_may_be_asked_by_get_and_a_mutation_may_not(client: Client) -> None:
    query = {"query": "query { viewer { username } }"}
    response = await client.http.get("/graphql", params=query, headers=client.headers)
    assert response.json() == {"data": {"viewer": {"username": client.user.username}}}
    before = await client.service.row_counts()
    mutation = {"query": 'mutation { createTag(name: "cat") { tag { id } } }'}
    response = await client.http.get("/graphql", params=mutation, headers=client.headers)
    assert response.status_code in {400, 405}
    assert_refused(response.json(), "mutations are not allowed when using GET")
    assert await client.service.row_counts() == before


async def test_a_subscription_is_not_answered_but_streamed(client: Client, logged: Log) -> None:
    response = await client.post({"query": "subscription { mediaEvents { type } }"})
    assert response.status_code == 400
    assert_refused(response.json(), "subscriptions are not allowed when using POST")
    assert logged.lines("request_failed") == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_what_a_foreign_page_can_post_without_asking_is_refused(
    client: Client, content_type: str
) -> None:
    before = await client.service.row_counts()
    response = await client.http.post(
        "/graphql",
        content='{"query": "mutation { createTag(name: \\"cat\\") { tag { id } } }"}',
        headers={**client.headers, "content-type": content_type},
    )
    assert response.status_code == 400
    assert_refused(response.json(), "")
    assert await client.service.row_counts() == before


@pytest.mark.parametrize("body", ["", "{", "[]", "null", "1", "NaN", '"text"', '{"query": 1}', "{}", "[{}]"])
async def test_a_body_that_is_no_request_is_refused(client: Client, logged: Log, body: str) -> None:
    response = await client.http.post(
        "/graphql", content=body, headers={**client.headers, "content-type": "application/json"}
    )
    assert response.status_code == 400
    assert_refused(response.json(), "")


async def test_a_request_of_more_than_two_mebibytes_is_refused(client: Client) -> None:
    response = await client.post(
        {"query": "query { viewer { id } }", "variables": {"a": "x" * MAX_BODY_BYTES}}
    )
    assert response.status_code == 413
    assert_refused(response.json(), "at most 2,097,152 bytes")


async def test_another_method_is_refused(client: Client) -> None:
    response = await client.http.delete("/graphql", headers=client.headers)
    assert response.status_code == 405
    assert_refused(response.json(), "")


@pytest.mark.parametrize("depth", [900, 1_020, 100_000])
async def test_deeply_nested_json_is_refused(client: Client, depth: int) -> None:
    body = f'{{"query": "{{ viewer {{ id }} }}", "variables": {{"a": {"[" * depth}{2**70}{"]" * depth}}}}}'
    response = await client.http.post(
        "/graphql", content=body, headers={**client.headers, "content-type": "application/json"}
    )
    assert response.status_code in {200, 400}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("query { " + "a: viewer { id } " * 31 + "}", "31 aliases found. Allowed: 30"),
        ("query { " + "viewer { id } " * 600 + "}", "2000 tokens"),
        ("query { viewer " + "{ a " * 13 + "} " * 13 + "}", "exceeds maximum operation depth"),
    ],
    ids=["aliases", "tokens", "depth"],
)
async def test_a_document_that_asks_too_much_is_refused(client: Client, text: str, words: str) -> None:
    assert words in (await client.errors(text))[0]["message"]


async def test_the_list_of_errors_is_bounded(client: Client) -> None:
    fields = " ".join(f"unknown{number}" for number in range(50))
    assert len(await client.errors(f"query {{ {fields} }}")) == 5


async def test_errors_over_a_socket_look_the_same(client: Client) -> None:
    async with client.socket() as socket:
        for text in ("subscription { nothing }", "query { mediaItems(first: 0) { nodes { id } } }"):
            extensions = (await socket.error(await socket.subscribe(text)))["extensions"]
            assert extensions["code"] == "BAD_USER_INPUT"
            assert extensions["traceId"]


class StoreThatIsAway(DiskStore):
    async def head(self, key: str) -> ObjectInfo | None:
        raise StorageUnavailableError(f"connection to {SECRET} refused")


async def test_an_outage_of_the_store_is_said_in_a_sentence(client: Client, tmp_path: Path) -> None:
    requested = await client.request()
    runtime = replace(client.service.runtime, viewer=client.user)
    store = StoreThatIsAway(tmp_path, base_url=client.service.address, secret=SECRET.encode())
    services = replace(runtime.services, finalizing=replace(runtime.services.finalizing, store=store))
    application = create_app(replace(runtime, services=services))
    client.service.gateway.applications[str(client.user.id)] = application
    [error] = (await client.finalize(requested.upload_id))["userErrors"]
    assert (error["code"], error["path"]) == ("STORAGE_UNAVAILABLE", None)
    assert error["message"] == "The object store does not answer: try again later."


async def test_an_original_is_not_given_to_be_shown_inline(client: Client) -> None:
    requested = await client.upload()
    text = "query ($id: ID!) { media(id: $id) { id download(disposition: INLINE) { url } } }"
    body = (await client.post({"query": text, "variables": {"id": requested.media_id}})).json()
    assert body["data"]["media"] == {"id": requested.media_id, "download": None}
    [error] = body["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith("disposition INLINE is refused for an original")


async def test_an_original_is_saved_and_never_shown(client: Client) -> None:
    requested = await client.upload(filename="Kätzchen 🐈.jpg")
    for argument in ("", "(disposition: null)", "(disposition: ATTACHMENT)"):
        text = f"query ($id: ID!) {{ media(id: $id) {{ download{argument} {{ url }} }} }}"
        media = (await client.graphql(text, id=requested.media_id))["media"]
        headers = (await client.http.get(media["download"]["url"])).headers
        assert headers["content-disposition"].startswith("attachment; filename*=UTF-8''K%C3%A4tzchen")
        assert headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"]


async def test_no_secret_no_signature_and_nothing_of_a_client_is_logged(client: Client, logged: Log) -> None:
    canary = "canary-of-the-client"
    requested = await client.request(filename=f"{canary}.jpg", title=canary, metadata={"a": canary})
    await client.put({**requested.target, "headers": []})
    await client.put(requested.target)
    await client.put(requested.target)
    await client.finalize(requested.upload_id)
    await client.http.get(requested.target["url"])
    await client.http.get("/graphql", params={"query": f'{{ media(id: "{canary}") {{ id }} }}'})
    await client.errors(f"query {{ {canary.replace('-', '_')} }}")
    async with client.socket() as socket:
        await socket.error(await socket.subscribe(MEDIA, id=[canary]))
    answer = await client.graphql(
        "query ($id: ID!) { media(id: $id) { download { url } } }", id=requested.media_id
    )
    address = answer["media"]["download"]["url"]
    assert (await client.http.get(address)).status_code == 200
    assert len(logged.lines("request")) >= 10
    for word in (
        SECRET,
        "signature",
        "canary",
        "expires=",
        signature(requested.target["url"]),
        signature(address),
    ):
        assert word not in logged.text


async def test_the_log_is_one_json_object_a_line_with_a_trace_id(client: Client, logged: Log) -> None:
    await client.graphql("query { viewer { id } }")
    [line] = logged.lines("request")
    assert line.keys() == {
        "event",
        "level",
        "logger",
        "method",
        "ms",
        "path",
        "status",
        "timestamp",
        "trace_id",
    }
    assert (line["method"], line["path"], line["status"]) == ("POST", "/graphql", 200)


def assert_refused(body: Any, words: str) -> None:
    assert body.keys() == {"errors"}, body
    [error] = body["errors"]
    assert words in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert len(error["extensions"]["traceId"]) == 32


def signature(address: str) -> str:
    return urlsplit(address).query.partition("signature=")[2]
