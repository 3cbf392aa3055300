"""The credentials for the store have run out, so nothing is signed: an outage that is told, and no defect."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio

from tests.api.client import Client, Json
from tests.api.conftest import Log
from tests.api.house import House, Opening, claims, media, request, send, send_ready
from tests.unit.test_s3_signing import NOW, Clock, signer
from tests.working import run_steps

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1024**2
SENTENCE = "The object store does not answer: try again later."

UPLOAD = """
    query ($id: ID!) { node(id: $id) { ... on Upload { status target { __typename } } } }
"""
SHOWN = """
    query ($id: ID!) { media(id: $id) { status download { url } renditions { name url { url } } } }
"""
LIST = "{ mediaItems { nodes { filename download { url } } } }"
STATUS = """
    subscription ($id: ID!) { mediaStatus(id: $id) { status media { download { url } } } }
"""
SIGN_PARTS = """
    mutation ($id: ID!, $numbers: [Int!]!) { signUploadParts(uploadId: $id, numbers: $numbers) {
      parts { url } userErrors { __typename code message path } } }
"""
SIGN_REQUEST = "mutation ($input: SignUploadRequestInput!) { signUploadRequest(input: $input) { url } }"


@pytest_asyncio.fixture(loop_scope="session")
async def home(house: Opening) -> AsyncIterator[House]:
    """Files of more than 5 MiB are sent in parts."""
    yield await house(multipart_bytes=5 * MIB)


@pytest_asyncio.fixture(loop_scope="session")
async def expired() -> dict[str, Any]:
    """How a store signs whose session has ended, by name."""
    ended = await signer(Clock(), expires_at=NOW)
    names = ("sign_put", "sign_get", "sign_part", "sign_multipart_request")
    return {name: getattr(ended, name) for name in names}


@contextmanager
def without_credentials(home: House, expired: dict[str, Any]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, method in expired.items():
            patch.setattr(home.runtime.store, name, method)
        yield


async def answer(client: Client, text: str, **variables: object) -> tuple[Any, list[list[str | int]]]:
    """The data and the paths of its errors, each of which says what is the matter."""
    body: Json = (await client.post({"query": text, "variables": variables})).json()
    assert {(error["message"], error["extensions"]["code"]) for error in body["errors"]} == {
        (SENTENCE, "INTERNAL")
    }
    return body["data"], [error["path"] for error in body["errors"]]


async def in_parts(client: Client) -> Json:
    [announced] = await request(client, claims(filename="a.tiff", mimeType="image/tiff", size=6 * MIB))
    return announced


async def test_parts_that_cannot_be_signed_are_an_expected_failure(
    home: House, expired: dict[str, Any], logged: Log
) -> None:
    upload_id = (await in_parts(home.anna))["upload"]["id"]
    with without_credentials(home, expired):
        signed = (await home.anna.graphql(SIGN_PARTS, id=upload_id, numbers=[1, 2]))["signUploadParts"]
    assert signed["parts"] == []
    assert signed["userErrors"] == [
        {"__typename": "GenericError", "code": "STORAGE_UNAVAILABLE", "message": SENTENCE, "path": None}
    ]
    signed = (await home.anna.graphql(SIGN_PARTS, id=upload_id, numbers=[1, 2]))["signUploadParts"]
    assert (len(signed["parts"]), signed["userErrors"]) == (2, [])
    assert logged.lines("request_failed") == []


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (MIB, {"method": "PUT"}),
        (6 * MIB, {"method": "POST"}),
        (6 * MIB, {"method": "PUT", "uploadId": "bound", "partNumber": 1}),
    ],
)
async def test_requests_of_clients_that_speak_s3_are_refused_in_a_sentence(
    home: House, expired: dict[str, Any], logged: Log, size: int, wanted: Json
) -> None:
    [announced] = await request(home.anna, claims(size=size))
    with without_credentials(home, expired):
        data, paths = await answer(
            home.anna, SIGN_REQUEST, input={"key": announced["upload"]["key"], **wanted}
        )
    assert (data, paths) == (None, [["signUploadRequest"]])
    assert logged.lines("request_failed") == []


async def test_an_upload_is_requested_all_the_same_and_its_target_asked_for_again(
    home: House, expired: dict[str, Any], logged: Log
) -> None:
    text = """
        mutation ($input: RequestUploadInput!) { requestUpload(input: $input) {
          media { status } upload { id target { __typename } } userErrors { code } } }
    """
    with without_credentials(home, expired):
        data, paths = await answer(home.anna, text, input=claims())
        requested = data["requestUpload"]
        upload_id = requested["upload"]["id"]
        assert requested == {
            "media": {"status": "UPLOADING"},
            "upload": {"id": upload_id, "target": None},
            "userErrors": [],
        }
        assert paths == [["requestUpload", "upload", "target"]]
        # Null with its error, so that nobody takes the upload for one that has ended.
        data, paths = await answer(home.anna, UPLOAD, id=upload_id)
        assert (data["node"], paths) == ({"status": "PENDING", "target": None}, [["node", "target"]])
    found = (await home.anna.graphql(UPLOAD, id=upload_id))["node"]
    assert found == {"status": "PENDING", "target": {"__typename": "SingleUploadTarget"}}
    assert logged.lines("request_failed") == []


async def test_every_address_that_is_null_has_its_error(home: House, expired: dict[str, Any]) -> None:
    text = """
        mutation ($inputs: [RequestUploadInput!]!) { requestUploads(inputs: $inputs) {
          upload { target { __typename } } userErrors { code } } }
    """
    with without_credentials(home, expired):
        data, paths = await answer(home.anna, text, inputs=[claims() for _ in range(20)])
    assert data["requestUploads"] == [{"upload": {"target": None}, "userErrors": []}] * 20
    assert paths == [["requestUploads", place, "upload", "target"] for place in range(20)]


async def test_a_file_in_parts_needs_no_signature_to_be_announced(
    home: House, expired: dict[str, Any]
) -> None:
    with without_credentials(home, expired):
        assert (await in_parts(home.anna))["upload"]["target"]["__typename"] == "MultipartUploadTarget"


async def test_media_are_shown_without_the_addresses_that_cannot_be_signed(
    home: House, expired: dict[str, Any], logged: Log
) -> None:
    media_id = await send_ready(home)
    renditions = (await media(home.anna, media_id))["renditions"]
    with without_credentials(home, expired):
        data, paths = await answer(home.anna, SHOWN, id=media_id)
        assert data["media"] == {
            "status": "READY",
            "download": None,
            "renditions": [{"name": each["name"], "url": None} for each in renditions],
        }
        assert ["media", "download"] in paths
        assert ["media", "renditions", 0, "url"] in paths
        data, paths = await answer(home.anna, LIST)
        assert data["mediaItems"]["nodes"] == [{"filename": "cat.jpg", "download": None}]
        assert paths == [["mediaItems", "nodes", 0, "download"]]
    assert (await media(home.anna, media_id))["renditions"][0]["url"]["url"]
    assert logged.lines("request_failed") == []


async def test_a_stream_goes_on_without_them(home: House, expired: dict[str, Any], logged: Log) -> None:
    [announced] = await request(home.anna, claims())
    async with home.anna.socket() as socket:
        id = await socket.subscribe(STATUS, id=announced["media"]["id"])
        assert (await socket.event(id))["status"] == "UPLOADING"
        with without_credentials(home, expired):
            await send(home.anna, announced)
            payload = (await socket.message(id))["payload"]
        assert payload["data"]["mediaStatus"] == {"status": "PROCESSING", "media": {"download": None}}
        [error] = payload["errors"]
        assert (error["message"], error["path"]) == (SENTENCE, ["mediaStatus", "media", "download"])
        await run_steps(home.runtime)
        event = await socket.event(id)
        assert (event["status"], event["media"]["download"] is None) == ("READY", False)
    assert logged.lines("request_failed") == []
