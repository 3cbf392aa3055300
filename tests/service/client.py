"""A client as any other: GraphQL over HTTP, bytes by PUT to the signed address, changes over a WebSocket."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests import pictures

#: A request that is not answered for this long hangs.
REQUEST_SECONDS = 30.0

MEDIA = """
  id version status kind filename mimeType detectedMimeType size sha256 sha256Verified readyAt
  failure { code message step retryable }
  details { ... on ImageDetails { width height animated thumbhash } }
  renditions { name role mimeType width height size url { url expiresAt } }
"""
EVENT = "cursor type mediaId version status previousStatus matches occurredAt"
USER_ERRORS = "userErrors { code message path }"
REQUESTED = f"""
  media {{ id }}
  upload {{ id target {{ ... on SingleUploadTarget {{ method url headers {{ name value }} }} }} }}
  {USER_ERRORS}
"""

Answer = dict[str, Any]


class RefusedError(Exception):
    """The service said in a sentence why not; `codes` are for programs."""

    def __init__(self, user_errors: Sequence[Answer]) -> None:
        super().__init__("; ".join(error["message"] for error in user_errors))
        self.codes = [error["code"] for error in user_errors]


class RequestFailedError(Exception):
    """GraphQL answered with errors instead of data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    media_id: str
    upload_id: str
    url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    code: str
    message: str
    step: str | None
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    name: str
    role: str
    mime_type: str
    width: int
    height: int
    size: int
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    id: str
    version: int
    status: str
    kind: str
    detected_mime_type: str | None
    sha256: str | None
    sha256_verified: bool
    failure: Failure | None
    details: Answer | None
    renditions: tuple[Rendition, ...]

    @classmethod
    def of(cls, answer: Answer) -> "Media":
        failure = answer["failure"]
        return cls(
            id=answer["id"],
            version=answer["version"],
            status=answer["status"],
            kind=answer["kind"],
            detected_mime_type=answer["detectedMimeType"],
            sha256=answer["sha256"],
            sha256_verified=answer["sha256Verified"],
            failure=failure and Failure(**failure),
            details=answer["details"],
            renditions=tuple(
                Rendition(
                    name=rendition["name"],
                    role=rendition["role"],
                    mime_type=rendition["mimeType"],
                    width=rendition["width"],
                    height=rendition["height"],
                    size=rendition["size"],
                    url=rendition["url"]["url"],
                )
                for rendition in answer["renditions"]
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    cursor: str
    type: str
    media_id: str | None
    version: int | None
    status: str | None
    previous_status: str | None
    matches: bool
    at: datetime

    @classmethod
    def of(cls, answer: Answer) -> "Event":
        return cls(
            cursor=answer["cursor"],
            type=answer["type"],
            media_id=answer["mediaId"],
            version=answer["version"],
            status=answer["status"],
            previous_status=answer["previousStatus"],
            matches=answer["matches"],
            at=datetime.fromisoformat(answer["occurredAt"]),
        )


class Client:
    """`async with Client(origin) as client`: many requests at once, on connections of its own."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        # Uvicorn ends a connection after 5 idle seconds, just when a request may be on its way to it.
        limits = httpx.Limits(keepalive_expiry=2)
        self._http = httpx.AsyncClient(trust_env=False, timeout=REQUEST_SECONDS, limits=limits)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, query: str, **variables: object) -> Answer:
        answer = await self._http.post(
            f"{self.origin}/graphql", json={"query": query, "variables": variables}
        )
        body: Answer = answer.json()
        if errors := body.get("errors"):
            raise RequestFailedError(str(errors))
        data: Answer = body["data"]
        return data

    async def request_upload(
        self, data: bytes, filename: str = "picture", mime_type: str = "image/png", **claims: object
    ) -> Requested:
        claimed = {"filename": filename, "mimeType": mime_type, "size": len(data), **claims}
        answer = await self.ask(
            f"mutation ($input: RequestUploadInput!) {{ requestUpload(input: $input) {{ {REQUESTED} }} }}",
            input=claimed,
        )
        payload = _accepted(answer["requestUpload"])
        target = payload["upload"]["target"]
        assert target.get("method", "PUT") == "PUT"
        return Requested(
            media_id=payload["media"]["id"],
            upload_id=payload["upload"]["id"],
            url=target.get("url", ""),
            headers={header["name"]: header["value"] for header in target.get("headers", ())},
        )

    async def put(self, requested: Requested, data: bytes) -> httpx.Response:
        return await self._http.put(requested.url, content=data, headers=requested.headers)

    async def finalize(self, requested: Requested) -> str:
        """Its status."""
        answer = await self.ask(
            f"mutation ($id: ID!) {{ finalizeUpload(uploadId: $id) {{ media {{ status }} {USER_ERRORS} }} }}",
            id=requested.upload_id,
        )
        status: str = _accepted(answer["finalizeUpload"])["media"]["status"]
        return status

    async def upload(
        self,
        data: bytes,
        filename: str = "picture",
        mime_type: str = "image/png",
        *,
        anew: bool = True,
        **claims: object,
    ) -> str:
        """Request, PUT, finalize; the media's id. `anew`: of bytes that the service can't know."""
        if anew and "sha256" not in claims:
            data = pictures.unlike_all_others(data)
        claims.setdefault("sha256", hashlib.sha256(data).hexdigest())
        requested = await self.request_upload(data, filename, mime_type, **claims)
        if not requested.url:
            return requested.media_id  # known bytes
        stored = await self.put(requested, data)
        assert stored.status_code == 200, stored.text
        await self.finalize(requested)
        return requested.media_id

    async def media(self, media_id: str) -> Media:
        answer = await self.ask(f"query ($id: ID!) {{ media(id: $id) {{ {MEDIA} }} }}", id=media_id)
        return Media.of(answer["media"])

    async def ends(self, media_id: str, *, seconds: float = 30) -> Media:
        """The media once it is READY or FAILED, found by asking."""
        async with asyncio.timeout(seconds):
            while True:
                media = await self.media(media_id)
                if media.status in {"READY", "FAILED"}:
                    return media
                await asyncio.sleep(0.05)

    async def becomes_ready(self, media_id: str, *, seconds: float = 30) -> Media:
        media = await self.ends(media_id, seconds=seconds)
        assert media.status == "READY", media.failure
        return media

    async def live_cursor(self) -> str:
        """Of a list that was just read."""
        answer = await self.ask("{ mediaItems(first: 1) { liveCursor } }")
        cursor: str = answer["mediaItems"]["liveCursor"]
        return cursor

    async def get(self, url: str) -> httpx.Response:
        return await self._http.get(url)

    def follow_media(self, media_id: str, after: str | None = None) -> "Stream":
        fields = f"mediaStatus(id: $id, after: $after) {{ {EVENT} }}"
        query = f"subscription ($id: ID!, $after: String) {{ {fields} }}"
        return Stream(self.origin, query, {"id": media_id}, after)

    def follow_library(self, after: str | None = None) -> "Stream":
        query = f"subscription ($after: String) {{ mediaEvents(after: $after) {{ {EVENT} }} }}"
        return Stream(self.origin, query, {}, after)


@dataclass
class Stream:
    """One subscription over as many sockets as it takes, by the rules of every client: resume from the last
    cursor, and drop what is not above the last version seen of its media.

    `events` are those that a user of the client sees. `dropped` counts the repeated ones.
    """

    origin: str
    query: str
    variables: dict[str, object]
    cursor: str | None = None
    events: list[Event] = field(default_factory=list)
    completed: bool = False
    dropped: int = 0
    sockets: int = 0
    _seen: dict[str, int] = field(default_factory=dict)
    _socket: ClientConnection | None = None

    async def read(self, enough: Callable[["Stream"], bool], *, seconds: float = 60) -> None:
        """Receive until `enough` or the stream completes, over one socket that is then cut without goodbye.

        Raises ConnectionClosed or OSError when the other side cuts it first.
        """
        async with asyncio.timeout(seconds), self._subscribed() as socket:
            while not enough(self):
                if not await self._receive(socket):
                    return

    async def read_through(self, enough: Callable[["Stream"], bool], *, seconds: float = 60) -> None:
        """The same, connecting again as often as the other side goes away."""
        async with asyncio.timeout(seconds):
            while not (self.completed or enough(self)):
                try:
                    await self.read(enough, seconds=seconds)
                except (ConnectionClosed, OSError):
                    await asyncio.sleep(0.1)

    async def to_the_end(self, *, seconds: float = 60) -> list[Event]:
        await self.read_through(lambda _: False, seconds=seconds)
        return self.events

    @property
    def told(self) -> list[str | None]:
        """The statuses, in the order in which they were seen."""
        return [event.status for event in self.events]

    def versions(self, media_id: str) -> list[int | None]:
        return [event.version for event in self.events if event.media_id == media_id]

    @asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[ClientConnection]:
        address = f"{self.origin.replace('http', 'ws', 1)}/graphql"
        protocol = Subprotocol("graphql-transport-ws")
        async with connect(address, subprotocols=[protocol], proxy=None, open_timeout=30) as socket:
            try:
                self.sockets += 1
                await _send(socket, {"type": "connection_init"})
                assert (await _next(socket))["type"] == "connection_ack"
                variables = {**self.variables, "after": self.cursor}
                payload = {"query": self.query, "variables": variables}
                await _send(socket, {"id": "1", "type": "subscribe", "payload": payload})
                yield socket
            finally:
                socket.transport.abort()

    async def _receive(self, socket: ClientConnection) -> bool:
        message = await _next(socket)
        match message["type"]:
            case "next":
                payload = message["payload"]
                assert not payload.get("errors"), payload["errors"]
                (answer,) = payload["data"].values()
                self._take(Event.of(answer))
            case "ping":
                await _send(socket, {"type": "pong"})
            case "complete":
                self.completed = True
                return False
            case kind:
                raise AssertionError(f"The stream was sent {kind}: {message}")
        return True

    def _take(self, event: Event) -> None:
        self.cursor = event.cursor
        if event.media_id is not None and event.version is not None:
            if event.version <= self._seen.get(event.media_id, 0):
                self.dropped += 1
                return
            self._seen[event.media_id] = event.version
        self.events.append(event)


async def _send(socket: ClientConnection, message: Answer) -> None:
    await socket.send(orjson.dumps(message), text=True)


async def _next(socket: ClientConnection) -> Answer:
    message: Answer = orjson.loads(await socket.recv())
    return message


def _accepted(payload: Answer) -> Answer:
    if payload["userErrors"]:
        raise RefusedError(payload["userErrors"])
    return payload
