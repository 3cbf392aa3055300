"""A client of the service: GraphQL over HTTP, PUT of the bytes, and graphql-transport-ws."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

PATIENCE_SECONDS = 60.0

REQUEST_UPLOAD = """
mutation RequestUpload($input: RequestUploadInput!) {
  requestUpload(input: $input) {
    media { id }
    upload { id target { ... on SingleUploadTarget { url headers { name value } } } }
    userErrors { message }
  }
}
"""
FINALIZE_UPLOAD = """
mutation FinalizeUpload($id: ID!) {
  finalizeUpload(uploadId: $id) { media { id status } userErrors { message } }
}
"""
MEDIA_STATUS = "subscription MediaStatus($id: ID!) { mediaStatus(id: $id) { type version status cursor } }"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    media_id: str
    upload_id: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`at` is `time.perf_counter()` when it was read; `data` is None when the stream has completed."""

    at: float
    data: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Client:
    origin: str
    session: aiohttp.ClientSession

    async def execute(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data. Raises RuntimeError with what the service complains of."""
        body = orjson.dumps({"query": query, "variables": variables})
        headers = {"content-type": "application/json"}
        async with self.session.post(f"{self.origin}/graphql", data=body, headers=headers) as response:
            answer: dict[str, Any] = orjson.loads(await response.read())
        complaints = answer.get("errors") or [
            error for payload in answer["data"].values() for error in payload.get("userErrors", ())
        ]
        if complaints:
            raise RuntimeError(f"The service answered {complaints}")
        data: dict[str, Any] = answer["data"]
        return data

    async def announce(self, filename: str, mime_type: str, size: int) -> Announced:
        request = {"filename": filename, "mimeType": mime_type, "size": size}
        payload = (await self.execute(REQUEST_UPLOAD, {"input": request}))["requestUpload"]
        target = payload["upload"]["target"]
        return Announced(
            media_id=payload["media"]["id"],
            upload_id=payload["upload"]["id"],
            url=target["url"],
            headers={header["name"]: header["value"] for header in target["headers"]},
        )

    async def send(self, announced: Announced, content: bytes) -> None:
        async with self.session.put(announced.url, data=content, headers=announced.headers) as response:
            response.raise_for_status()

    async def finalize(self, announced: Announced) -> float:
        """Returns `time.perf_counter()` of the answer."""
        await self.execute(FINALIZE_UPLOAD, {"id": announced.upload_id})
        return time.perf_counter()


@asynccontextmanager
async def connected(origin: str) -> AsyncIterator[Client]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Client(origin, session)


@dataclass(slots=True)
class Subscription:
    _messages: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    def put(self, message: Message) -> None:
        self._messages.put_nowait(message)

    async def next(self) -> Message:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._messages.get()

    async def until(self, status: str) -> Message:
        """The first message of this status. Raises RuntimeError when the stream ends before."""
        while (message := await self.next()).data is not None:
            ((_, event),) = message.data.items()
            if event["status"] == status:
                return message
        raise RuntimeError(f"The stream ended before {status}.")


class LiveSocket:
    """One connection with any number of subscriptions, read by a task of its own."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._subscriptions: dict[str, Subscription] = {}

    async def subscribe(self, query: str, variables: dict[str, Any]) -> Subscription:
        id = str(len(self._subscriptions))
        subscription = self._subscriptions[id] = Subscription()
        payload = {"query": query, "variables": variables}
        await self._say({"type": "subscribe", "id": id, "payload": payload})
        return subscription

    async def start(self) -> None:
        await self._say({"type": "connection_init"})
        answer = orjson.loads(await self._socket.receive_str())
        if answer["type"] != "connection_ack":
            raise RuntimeError(f"The service answered {answer}")

    async def read(self) -> None:
        async for frame in self._socket:
            at, message = time.perf_counter(), orjson.loads(frame.data)
            match message["type"]:
                case "next" if not message["payload"].get("errors"):
                    self._subscriptions[message["id"]].put(Message(at=at, data=message["payload"]["data"]))
                case "complete":
                    self._subscriptions[message["id"]].put(Message(at=at, data=None))
                case "ping":
                    await self._say({"type": "pong"})
                case _:
                    raise RuntimeError(f"The service sent {message}")
        raise RuntimeError("The service has closed the socket.")

    async def _say(self, message: dict[str, Any]) -> None:
        await self._socket.send_str(orjson.dumps(message).decode())


@asynccontextmanager
async def live_socket(client: Client) -> AsyncIterator[LiveSocket]:
    address = f"{client.origin.replace('http', 'ws', 1)}/graphql"
    async with client.session.ws_connect(address, protocols=("graphql-transport-ws",)) as connection:
        socket = LiveSocket(connection)
        await socket.start()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(socket.read())
            yield socket
            reading.cancel()
