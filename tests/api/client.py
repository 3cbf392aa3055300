"""A client like any other: it knows the address and the schema, and nothing of what stands behind."""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from db.models import User
from tests import pictures
from tests.api.service import VIEWER_HEADER, Service

Json = dict[str, Any]

TRANSPORT_WS = Subprotocol("graphql-transport-ws")

PICTURE = pictures.jpeg()

REQUEST_UPLOAD = """
    mutation ($input: RequestUploadInput!) { requestUpload(input: $input) {
      media { id version status kind filename tags { slug } }
      upload { id key status expiresAt
        target { ... on SingleUploadTarget { method url headers { name value } expiresAt } } }
      userErrors { __typename code message path }
    } }
"""

REQUEST_UPLOADS = """
    mutation ($inputs: [RequestUploadInput!]!) { requestUploads(inputs: $inputs) {
      media { id filename } upload { id } userErrors { code message path }
    } }
"""

FINALIZE = """
    mutation ($id: ID!) { finalizeUpload(uploadId: $id) {
      media { id version status failure { code message } }
      userErrors { __typename code message path ... on ConflictError { currentVersion }
        ... on ChecksumMismatchError { expected actual } }
    } }
"""

ABORT = """
    mutation ($id: ID!) { abortUpload(uploadId: $id) {
      upload { id status target { __typename } }
      userErrors { __typename code message path ... on ConflictError { currentVersion } }
    } }
"""


MEDIA_STATUS = """
    subscription ($id: ID!, $after: String) { mediaStatus(id: $id, after: $after) {
      cursor type mediaId version status previousStatus matches media { id version } occurredAt
    } }
"""

MEDIA_EVENTS = """
    subscription ($filter: MediaEventFilter, $after: String) { mediaEvents(filter: $filter, after: $after) {
      cursor type mediaId version status previousStatus matches media { id version title } occurredAt
    } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """What a client knows of an upload it asked for."""

    media_id: str
    upload_id: str
    key: str
    target: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One user's view of the service."""

    service: Service
    user: User
    http: httpx.AsyncClient

    @property
    def headers(self) -> dict[str, str]:
        return {VIEWER_HEADER: str(self.user.id)}

    async def post(self, body: Json, **headers: str) -> httpx.Response:
        return await self.http.post(
            "/graphql",
            content=json.dumps(body),
            headers={**self.headers, "content-type": "application/json", **headers},
        )

    async def graphql(self, text: str, **variables: Any) -> Json:
        """The `data` of an answer without errors."""
        response = await self.post({"query": text, "variables": variables})
        body: Json = response.json()
        assert response.status_code == 200, body
        assert "errors" not in body, body["errors"]
        data: Json = body["data"]
        return data

    async def errors(self, text: str, **variables: Any) -> list[Json]:
        """The errors of an answer that has some; each carries a code and a trace id."""
        body = (await self.post({"query": text, "variables": variables})).json()
        assert body.get("errors"), body
        errors: list[Json] = body["errors"]
        assert all(error["extensions"]["traceId"] for error in errors)
        return errors

    async def refusal(self, text: str, **variables: Any) -> str:
        """The sentence of the one BAD_USER_INPUT that the answer consists of."""
        [error] = await self.errors(text, **variables)
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        message: str = error["message"]
        return message

    async def request(self, data: bytes = PICTURE, **fields: Any) -> Requested:
        """Announce `data` as an upload; nothing is sent yet."""
        claims = {"filename": "cat.jpg", "mimeType": "image/jpeg", "size": len(data), **fields}
        payload = (await self.graphql(REQUEST_UPLOAD, input=claims))["requestUpload"]
        assert payload["userErrors"] == []
        upload = payload["upload"]
        return Requested(
            media_id=payload["media"]["id"],
            upload_id=upload["id"],
            key=upload["key"],
            target=upload["target"],
        )

    async def put(self, target: Json, data: bytes = PICTURE) -> httpx.Response:
        headers = {header["name"]: header["value"] for header in target["headers"]}
        return await self.http.request(target["method"], target["url"], content=data, headers=headers)

    async def finalize(self, upload_id: str) -> Json:
        payload: Json = (await self.graphql(FINALIZE, id=upload_id))["finalizeUpload"]
        return payload

    async def abort(self, upload_id: str) -> Json:
        payload: Json = (await self.graphql(ABORT, id=upload_id))["abortUpload"]
        return payload

    async def upload(self, data: bytes = PICTURE, **fields: Any) -> Requested:
        """Request, PUT and finalize."""
        requested = await self.request(data, **fields)
        assert (await self.put(requested.target, data)).status_code == 200
        assert (await self.finalize(requested.upload_id))["userErrors"] == []
        return requested

    @asynccontextmanager
    async def socket(self) -> AsyncIterator["Socket"]:
        """An open and acknowledged graphql-transport-ws connection."""
        async with self.connection() as connection:
            socket = Socket(connection)
            await socket.initialise()
            yield socket

    @asynccontextmanager
    async def connection(
        self, *, subprotocol: Subprotocol = TRANSPORT_WS, origin: str | None = None
    ) -> AsyncIterator[ClientConnection]:
        async with connect(
            f"{self.service.address.replace('http', 'ws', 1)}/graphql",
            subprotocols=[subprotocol],
            origin=None if origin is None else Origin(origin),
            additional_headers=self.headers,
            proxy=None,
        ) as connection:
            yield connection


@dataclass(slots=True)
class Socket:
    """The client's side of graphql-transport-ws: any number of operations, each with its own messages."""

    connection: ClientConnection
    _numbers: "count[int]" = field(default_factory=count)
    _unread: dict[str, deque[Json]] = field(default_factory=lambda: defaultdict(deque))

    async def initialise(self) -> None:
        await self._send({"type": "connection_init"})
        assert await self._receive() == {"type": "connection_ack"}

    async def subscribe(self, text: str, **variables: Any) -> str:
        """The operation's id."""
        id = str(next(self._numbers))
        await self._send({"id": id, "type": "subscribe", "payload": {"query": text, "variables": variables}})
        return id

    async def message(self, id: str) -> Json:
        while not self._unread[id]:
            message = await self._receive()
            self._unread[message["id"]].append(message)
        return self._unread[id].popleft()

    async def event(self, id: str) -> Json:
        """The one root field's value in the next message of the operation."""
        message = await self.message(id)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        [value] = message["payload"]["data"].values()
        event: Json = value
        return event

    async def follow_until_ready(self, media_id: str) -> None:
        id = await self.subscribe("subscription ($id: ID!) { mediaStatus(id: $id) { status } }", id=media_id)
        while (await self.event(id))["status"] != "READY":
            pass
        await self.complete(id)

    async def error(self, id: str) -> Json:
        """The one error with which the operation ends, whichever message carries it."""
        message = await self.message(id)
        payload = message["payload"]
        [error] = payload if message["type"] == "error" else payload["errors"]
        found: Json = error
        return found

    async def complete(self, id: str) -> None:
        assert (await self.message(id))["type"] == "complete"

    async def stop(self, id: str) -> None:
        await self._send({"id": id, "type": "complete"})

    async def _send(self, message: Json) -> None:
        await self.connection.send(json.dumps(message))

    async def _receive(self) -> Json:
        async with asyncio.timeout(10):
            message: Json = json.loads(await self.connection.recv())
        return message
