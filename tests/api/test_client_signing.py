"""`signUploadRequest`: what is signed for a client that speaks S3 itself, and all that never is."""

import asyncio
import hashlib
import random
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from sqlmodel import col, select

from db.models import Upload, utc_now
from tests.api.client import PICTURE, Client, Json, Requested
from tests.api.service import Service, running_service
from tests.postgres import create_database
from tests.storage_settings import STORES, storage_settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024**2
FILE = random.Random(4).randbytes(17 * MIB)
PARTS = [FILE[at : at + 5 * MIB] for at in range(0, len(FILE), 5 * MIB)]

SIGN = """
    mutation ($input: SignUploadRequestInput!) { signUploadRequest(input: $input) { url key headers fields } }
"""

SIGN_PARTS = """
    mutation ($id: ID!, $numbers: [Int!]!) { signUploadParts(uploadId: $id, numbers: $numbers) {
      parts { number method url headers { name value } } userErrors { message } } }
"""

RECEIVED = "query ($id: ID!) { node(id: $id) { ... on Upload { receivedParts { number } } } }"

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
    async with client.service.runtime.sessions() as session:
        upload = (await session.exec(select(Upload).where(col(Upload.key) == requested.key))).one()
        return upload.multipart_id


async def stored(client: Client, requested: Requested) -> bytes:
    store = client.service.runtime.store
    length = 9 * MIB
    return b"".join([await store.read(requested.key, offset=at, length=length) for at in (0, length)])


async def open_multiparts(client: Client, requested: Requested) -> list[str]:
    found = client.service.runtime.store.list_multiparts(requested.key)
    return [each.upload_id async for each in found]


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=STORES)
async def anywhere_service(
    request: pytest.FixtureRequest,
    postgres_server: str,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Service]:
    """Files of more than 8 MiB are sent in parts."""
    directory = tmp_path_factory.mktemp(request.param)
    async with (
        create_database(postgres_server, template) as url,
        storage_settings(request.param, request) as storage,
        running_service(url, directory, multipart_bytes=8 * MIB, **storage) as service,
    ):
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def anywhere_http(anywhere_service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=anywhere_service.address, timeout=60, trust_env=False) as http:
        yield http


@pytest_asyncio.fixture(loop_scope="session")
async def anywhere(anywhere_service: Service, anywhere_http: httpx.AsyncClient) -> Client:
    """Somebody new, in front of either store."""
    return Client(service=anywhere_service, user=await anywhere_service.add_user(), http=anywhere_http)


@pytest_asyncio.fixture(loop_scope="session")
async def somebody_else(anywhere: Client) -> Client:
    return replace(anywhere, user=await anywhere.service.add_user())


@pytest_asyncio.fixture(loop_scope="session")
async def in_parts(client: Client) -> Requested:
    """Announced, and nothing sent: 24 parts."""
    return await client.request(filename="cat.tif", mimeType="image/tiff", size=120 * MIB)


# --- what is signed --------------------------------------------------------------------------------


@pytest.mark.parametrize("type", [{}, {"contentType": "image/jpeg"}, {"contentType": "Image/JPEG"}])
async def test_a_whole_file_is_signed_as_in_its_target(anywhere: Client, type: Json) -> None:
    sha256 = hashlib.sha256(PICTURE).hexdigest()
    requested = await anywhere.request(sha256=sha256, md5=hashlib.md5(PICTURE).hexdigest())
    signed = await sign(anywhere, requested, method="PUT", **type)
    assert signed["headers"] == {each["name"]: each["value"] for each in requested.target["headers"]}
    assert (await send(anywhere, signed, "PUT", PICTURE + b"!")).status_code in {400, 403, 413}
    assert (await send(anywhere, signed, "PUT", PICTURE[::-1])).status_code == 400
    assert (await send(anywhere, signed, "PUT", PICTURE)).status_code == 200
    assert (await send(anywhere, signed, "PUT", PICTURE)).status_code == 412
    assert (await anywhere.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"


async def test_a_client_of_s3_sends_a_file_in_parts(anywhere: Client) -> None:
    requested = await request_in_parts(anywhere)
    id = await begin(anywhere, requested)
    await send_parts(anywhere, requested, id, (4, 2))
    listed = await send(anywhere, await sign(anywhere, requested, method="GET", uploadId=id), "GET")
    assert re.findall(r"<PartNumber>(\d+)</PartNumber>", listed.text) == ["2", "4"]
    assert re.findall(r"<Size>(\d+)</Size>", listed.text) == [str(5 * MIB), str(2 * MIB)]

    document = await send_parts(anywhere, requested, id)
    complete = await sign(anywhere, requested, method="POST", uploadId=id)
    answer = await send(anywhere, complete, "POST", document)
    assert answer.status_code == 200
    assert f"<Key>{requested.key}</Key>" in answer.text
    assert "<Location>" in answer.text

    assert (await anywhere.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    assert await stored(anywhere, requested) == FILE


async def test_what_a_client_has_put_together_is_finalized_as_often_as_it_is_asked(anywhere: Client) -> None:
    requested = await request_in_parts(anywhere)
    id = await begin(anywhere, requested)
    document = await send_parts(anywhere, requested, id)
    await send(anywhere, await sign(anywhere, requested, method="POST", uploadId=id), "POST", document)
    answers = await asyncio.gather(*(anywhere.finalize(requested.upload_id) for _ in range(5)))
    assert {answer["media"]["version"] for answer in answers} == {2}


async def test_the_service_puts_together_what_the_client_has_only_sent(anywhere: Client) -> None:
    requested = await request_in_parts(anywhere)
    await send_parts(anywhere, requested, await begin(anywhere, requested))
    assert (await anywhere.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"
    assert await stored(anywhere, requested) == FILE


async def test_what_a_client_has_put_together_too_early_is_not_believed(anywhere: Client) -> None:
    requested = await request_in_parts(anywhere)
    id = await begin(anywhere, requested)
    document = await send_parts(anywhere, requested, id, (1, 2, 3))
    complete = await sign(anywhere, requested, method="POST", uploadId=id)
    assert (await send(anywhere, complete, "POST", document)).status_code == 200
    [error] = (await anywhere.finalize(requested.upload_id))["userErrors"]
    assert error["code"] == "SIZE_MISMATCH"


async def test_an_abort_leaves_nothing_in_the_store(anywhere: Client) -> None:
    requested = await request_in_parts(anywhere)
    id = await begin(anywhere, requested)
    await send_parts(anywhere, requested, id, (1,))
    abort = await sign(anywhere, requested, method="DELETE", uploadId=id)
    assert (await send(anywhere, abort, "DELETE")).status_code == 204
    assert await open_multiparts(anywhere, requested) == []
    [error] = (await anywhere.finalize(requested.upload_id))["userErrors"]
    assert error["code"] == "PARTS_MISSING"


async def test_giving_up_ends_also_what_a_client_has_begun_and_never_named(anywhere: Client) -> None:
    requested = await request_in_parts(anywhere)
    named, unnamed = await begin(anywhere, requested), await begin(anywhere, requested)
    await send_parts(anywhere, requested, named, (1,))
    assert sorted(await open_multiparts(anywhere, requested)) == sorted([named, unnamed])
    await anywhere.abort(requested.upload_id)
    assert await open_multiparts(anywhere, requested) == []


async def test_a_part_of_another_length_is_refused_by_the_store(anywhere: Client) -> None:
    requested = await request_in_parts(anywhere)
    id = await begin(anywhere, requested)
    for number, body in ((1, PARTS[0] + b"!"), (1, PARTS[0][:-1]), (4, PARTS[0])):
        answer = await send_part(anywhere, requested, id, number, body)
        assert 400 <= answer.status_code < 500, answer.text
    listed = await send(anywhere, await sign(anywhere, requested, method="GET", uploadId=id), "GET")
    assert "<PartNumber>" not in listed.text


# --- what can't be overwritten ---------------------------------------------------------------------


async def test_a_completion_that_was_signed_before_the_key_was_taken_overwrites_nothing(
    anywhere: Client, tmp_path: Path
) -> None:
    requested = await request_in_parts(anywhere)
    id = await begin(anywhere, requested)
    document = await send_parts(anywhere, requested, id)
    complete = await sign(anywhere, requested, method="POST", uploadId=id)
    other = tmp_path / "other"
    other.write_bytes(PICTURE)
    store = anywhere.service.runtime.store
    await store.put_file(requested.key, other, content_type="image/tiff")
    assert (await send(anywhere, complete, "POST", document)).status_code == 412
    assert await store.read(requested.key, offset=0, length=len(PICTURE) + 1) == PICTURE


async def test_a_completion_is_refused_without_the_header_that_keeps_it_from_overwriting(
    anywhere: Client,
) -> None:
    requested = await request_in_parts(anywhere)
    id = await begin(anywhere, requested)
    document = await send_parts(anywhere, requested, id)
    complete = await sign(anywhere, requested, method="POST", uploadId=id)
    await assert_condition_is_signed(anywhere, complete, "POST", document)


async def test_a_put_is_refused_without_the_header_that_keeps_it_from_overwriting(anywhere: Client) -> None:
    put = await sign(anywhere, await anywhere.request(), method="PUT")
    await assert_condition_is_signed(anywhere, put, "PUT", PICTURE)


async def assert_condition_is_signed(client: Client, signed: Json, method: str, body: bytes | str) -> None:
    bare = {name: value for name, value in signed["headers"].items() if name.lower() != "if-none-match"}
    if bare == signed["headers"]:
        # The disk store overwrites nothing, whatever the headers.
        assert signed["url"].startswith(f"{client.service.address}/objects/")
        return
    assert (await send(client, {**signed, "headers": bare}, method, body)).status_code == 403


# --- what is refused -------------------------------------------------------------------------------


ID = "0197-some-id"


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (
            {"method": "DELETE"},
            "DELETE needs uploadId: it aborts, and no object is deleted but by abortUpload",
        ),
        ({"method": "GET"}, "GET needs uploadId: it lists parts, and reads no object."),
        ({"method": "PUT"}, "This upload is not sent by one PUT: see upload.target."),
        ({"method": "PUT", "contentType": "image/tiff"}, "This upload is not sent by one PUT"),
        ({"method": "PUT", "uploadId": ID}, "PUT with uploadId needs partNumber."),
        ({"method": "PUT", "partNumber": 1}, "partNumber goes with PUT and uploadId only."),
        ({"method": "POST", "partNumber": 1}, "partNumber goes with PUT and uploadId only."),
        ({"method": "POST", "uploadId": ID, "partNumber": 1}, "partNumber goes with PUT and uploadId only."),
        ({"method": "GET", "uploadId": ID, "partNumber": 1}, "partNumber goes with PUT and uploadId only."),
        (
            {"method": "DELETE", "uploadId": ID, "partNumber": 1},
            "partNumber goes with PUT and uploadId only.",
        ),
        ({"method": "HEAD"}, "method must be PUT, POST, GET or DELETE, not HEAD."),
        ({"method": "PATCH", "uploadId": ID}, "method must be PUT, POST, GET or DELETE, not PATCH."),
        (
            {"method": "put", "uploadId": ID, "partNumber": 1},
            "method must be PUT, POST, GET or DELETE, not put.",
        ),
        ({"method": "PUT", "uploadId": ID, "partNumber": 0}, "partNumber must be from 1 to 24, not 0."),
        ({"method": "PUT", "uploadId": ID, "partNumber": -1}, "partNumber must be from 1 to 24, not -1."),
        ({"method": "PUT", "uploadId": ID, "partNumber": 25}, "partNumber must be from 1 to 24, not 25."),
        ({"method": "POST", "uploadId": ""}, "uploadId must be 1 to 1,024 visible characters of ASCII."),
        ({"method": "POST", "uploadId": "a b"}, "uploadId must be 1 to 1,024 visible characters of ASCII."),
        ({"method": "POST", "uploadId": "a\nb"}, "uploadId must be 1 to 1,024 visible characters of ASCII."),
        ({"method": "POST", "uploadId": "a\0b"}, "uploadId must be 1 to 1,024 visible characters of ASCII."),
        ({"method": "POST", "uploadId": "é"}, "uploadId must be 1 to 1,024 visible characters of ASCII."),
        (
            {"method": "POST", "uploadId": "a" * 1025},
            "uploadId must be 1 to 1,024 visible characters of ASCII.",
        ),
        (
            {"method": "POST", "contentType": "text/html"},
            "contentType must be image/tiff, as announced, not text/html",
        ),
        ({"method": "POST", "contentType": ""}, "contentType must be image/tiff, as announced, not ."),
        ({"method": "POST", "expiresIn": 0}, "expiresIn must be at least 1 second, not 0."),
        ({"method": "POST", "expiresIn": -300}, "expiresIn must be at least 1 second, not -300."),
    ],
)
async def test_what_is_no_request_of_an_upload_in_parts_is_refused_and_binds_nothing(
    in_parts: Requested, client: Client, request_: Json, sentence: str
) -> None:
    assert (await refusal(client, key=in_parts.key, **request_)).startswith(sentence)
    assert await bound_id(client, in_parts) is None


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "POST"},
        {"method": "POST", "uploadId": ID},
        {"method": "GET", "uploadId": ID},
        {"method": "DELETE", "uploadId": ID},
        {"method": "PUT", "uploadId": ID, "partNumber": 1},
    ],
)
async def test_a_file_that_is_sent_whole_is_not_sent_in_parts(client: Client, request_: Json) -> None:
    requested = await client.request()
    sentence = await refusal(client, key=requested.key, **request_)
    assert sentence == "This upload is not sent in parts: see upload.target."
    assert await bound_id(client, requested) is None


async def test_a_whole_file_is_neither_deleted_nor_read_nor_sent_as_another_type(client: Client) -> None:
    key = (await client.request()).key
    assert (await refusal(client, key=key, method="DELETE")).startswith("DELETE needs uploadId")
    assert (await refusal(client, key=key, method="GET")).startswith("GET needs uploadId")
    sentence = await refusal(client, key=key, method="PUT", contentType="text/html")
    assert sentence == "contentType must be image/jpeg, as announced, not text/html."


@pytest.mark.parametrize("method", ["PUT", "POST", "GET", "DELETE"])
async def test_a_stranger_is_told_what_they_are_told_of_a_key_that_never_was(
    client: Client, stranger: Client, method: str
) -> None:
    requested = await client.request()
    request = {"method": method, **({} if method in {"PUT", "POST"} else {"uploadId": ID})}
    never = requested.key.replace(requested.key[:8], "00000000")
    for key in (requested.key, never, "", "..", "public/a", "a\0b", "é", "k" * 9999):
        assert await refusal(stranger, key=key, **request) == NO_UPLOAD


async def test_an_upload_that_has_ended_is_signed_for_no_longer(client: Client) -> None:
    aborted, finalized, expired = await client.request(), await client.upload(), await client.request()
    await client.abort(aborted.upload_id)
    await client.service.execute(
        "UPDATE uploads SET expires_at = :now WHERE key = :key", now=utc_now(), key=expired.key
    )
    for requested in (aborted, finalized, expired):
        assert await refusal(client, key=requested.key, method="PUT") == NO_UPLOAD


async def test_an_upload_in_parts_that_has_ended_is_signed_for_no_longer(
    in_parts: Requested, client: Client
) -> None:
    await sign(client, in_parts, method="GET", uploadId=ID)
    await client.abort(in_parts.upload_id)
    for request in ({"method": "POST"}, {"method": "PUT", "partNumber": 1}, {"method": "DELETE"}):
        assert await refusal(client, key=in_parts.key, uploadId=ID, **request) == NO_UPLOAD


# --- the id that is bound --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        {"method": "PUT", "partNumber": 3},
        {"method": "GET"},
        {"method": "POST"},
        {"method": "DELETE"},
    ],
)
async def test_the_first_id_that_is_named_is_the_only_one(
    in_parts: Requested, client: Client, first: Json
) -> None:
    id = await begin(client, in_parts)
    await sign(client, in_parts, uploadId=id, **first)
    assert await bound_id(client, in_parts) == id
    for request in (
        {"method": "POST"},
        {"method": "PUT", "partNumber": 1},
        {"method": "GET"},
        {"method": "DELETE"},
    ):
        assert await refusal(client, key=in_parts.key, uploadId=ID, **request) == NOT_THE_ONE
        await sign(client, in_parts, uploadId=id, **request)
    begun = "This upload was begun already: go on with its uploadId."
    assert await refusal(client, key=in_parts.key, method="POST") == begun
    assert await bound_id(client, in_parts) == id


async def test_what_the_store_has_forgotten_is_begun_anew(anywhere: Client) -> None:
    """As when a lifecycle rule, or the client itself, has aborted it."""
    requested = await request_in_parts(anywhere)
    first = await begin(anywhere, requested)
    await send_parts(anywhere, requested, first, (1,))
    await anywhere.service.runtime.store.abort_multipart(requested.key, first)
    second = await begin(anywhere, requested)
    document = await send_parts(anywhere, requested, second)
    assert await bound_id(anywhere, requested) == second
    complete = await sign(anywhere, requested, method="POST", uploadId=second)
    assert (await send(anywhere, complete, "POST", document)).status_code == 200
    # Put together, it is not begun again: what is left is to finalize it.
    sentence = await refusal(anywhere, key=requested.key, method="POST")
    assert sentence == "This upload was begun already: go on with its uploadId."
    assert await bound_id(anywhere, requested) == second
    assert (await anywhere.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"


async def test_parts_are_signed_for_a_new_upload_where_the_store_has_forgotten_the_old_one(
    anywhere: Client,
) -> None:
    """Also for a client that asks for nothing but addresses, and after another has looked what is there."""
    requested = await request_in_parts(anywhere)
    for ask in (False, True):
        first = await begin(anywhere, requested)
        await send_parts(anywhere, requested, first, (1,))
        await anywhere.service.runtime.store.abort_multipart(requested.key, first)
        if ask:
            received = (await anywhere.graphql(RECEIVED, id=requested.upload_id))["node"]["receivedParts"]
            assert received == []
            assert await bound_id(anywhere, requested) == first  # a query changes nothing
        signed = (await anywhere.graphql(SIGN_PARTS, id=requested.upload_id, numbers=[1]))["signUploadParts"]
        [part] = signed["parts"]
        assert (await anywhere.put(part, PARTS[0])).status_code == 200
        [second] = await open_multiparts(anywhere, requested)
        assert await bound_id(anywhere, requested) == second != first
        await anywhere.service.runtime.store.abort_multipart(requested.key, second)


async def test_nothing_is_signed_for_parts_that_were_put_together(anywhere: Client) -> None:
    requested = await request_in_parts(anywhere)
    id = await begin(anywhere, requested)
    document = await send_parts(anywhere, requested, id)
    await send(anywhere, await sign(anywhere, requested, method="POST", uploadId=id), "POST", document)
    signed = (await anywhere.graphql(SIGN_PARTS, id=requested.upload_id, numbers=[1]))["signUploadParts"]
    [error] = signed["userErrors"]
    assert error["message"] == "The parts of this upload were put together already: finalize it."
    assert (await anywhere.finalize(requested.upload_id))["media"]["status"] == "PROCESSING"


async def test_of_many_ids_at_once_one_wins(in_parts: Requested, client: Client) -> None:
    bodies = [
        {
            "query": SIGN,
            "variables": {"input": {"key": in_parts.key, "method": "GET", "uploadId": f"id-{each}"}},
        }
        for each in range(20)
    ]
    answers = [answer.json() for answer in await asyncio.gather(*map(client.post, bodies))]
    won = [each for each, answer in enumerate(answers) if "errors" not in answer]
    assert [f"id-{each}" for each in won] == [await bound_id(client, in_parts)]
    lost = [answer["errors"] for answer in answers if "errors" in answer]
    assert {error["message"] for [error] in lost} == {NOT_THE_ONE}
    assert len(lost) == 19


async def test_an_upload_that_the_service_has_begun_is_not_begun_again(anywhere: Client) -> None:
    requested = await request_in_parts(anywhere)
    await anywhere.graphql(SIGN_PARTS, id=requested.upload_id, numbers=[1])
    sentence = await refusal(anywhere, key=requested.key, method="POST")
    assert sentence == "This upload was begun already: go on with its uploadId."


async def test_an_upload_with_blocks_is_begun_by_the_service(anywhere: Client) -> None:
    hashes = [hashlib.sha256(part).hexdigest() for part in PARTS]
    requested = await anywhere.request(
        FILE, filename="cat.tif", mimeType="image/tiff", blocks={"size": 5 * MIB, "sha256s": hashes}
    )
    sentence = await refusal(anywhere, key=requested.key, method="POST")
    assert sentence in {
        "An upload with blocks is begun by signUploadParts.",
        "This upload was begun already: go on with its uploadId.",
    }


# --- for how long ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "given"), [(None, 300), (7, 7), (300, 300), (2_147_483_647, 300)])
async def test_an_address_lives_as_long_as_asked_and_five_minutes_at_most(
    client: Client, in_parts: Requested, asked: int | None, given: int
) -> None:
    whole = await client.request()
    for requested, request in (
        (whole, {"method": "PUT"}),
        (in_parts, {"method": "POST"}),
        (in_parts, {"method": "PUT", "uploadId": ID, "partNumber": 24}),
        (in_parts, {"method": "GET", "uploadId": ID}),
    ):
        before = utc_now().timestamp()
        signed = await sign(client, requested, expiresIn=asked, **request)
        [expires] = parse_qs(urlsplit(signed["url"]).query)["expires"]
        assert before + given <= float(expires) <= utc_now().timestamp() + given + 1


async def test_an_address_lives_no_longer_than_its_upload(client: Client, in_parts: Requested) -> None:
    end = utc_now() + timedelta(seconds=60)
    await client.service.execute(
        "UPDATE uploads SET expires_at = :end WHERE key = :key", end=end, key=in_parts.key
    )
    signed = await sign(client, in_parts, method="POST")
    [expires] = parse_qs(urlsplit(signed["url"]).query)["expires"]
    assert float(expires) <= end.timestamp() + 1
