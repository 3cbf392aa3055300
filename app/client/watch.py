"""The live status of one media, through cut connections and restarts of the service, each transition once."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import aiohttp
import stamina
from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.exceptions import TransportError, TransportQueryError

from app.client.endpoint import query_problem
from app.client.errors import ServiceError, UnreachableError
from app.client.media import Status
from app.client.upload_api import UploadApi

_MEDIA_STATUS = """
  subscription MediaStatus($id: ID!, $after: String) {
    mediaStatus(id: $id, after: $after) { cursor type version status }
  }"""

_PROTOCOL = "graphql-transport-ws"
_CONNECT_SECONDS = 10
_CLOSE_SECONDS = 1

#: A peer that answers no ping within half of it is gone, whatever TCP believes.
_HEARTBEAT_SECONDS = 20.0

#: After a stream that broke, so that a service which only accepts connections is not run over.
_PAUSE_SECONDS = 0.5

#: So many streams in a row may break before they tell anything.
_MUTE_STREAMS = 20

#: Without a word for so long: longer than a long queue takes.
_SILENCE_SECONDS = 3600.0


class _StreamBrokenError(Exception):
    """The stream ended otherwise than by the service's word."""


class _Line:
    """Tells of changes only."""

    def __init__(self, report: Callable[[bool], None]) -> None:
        self._report = report
        self.alive = True

    def tell(self, alive: bool) -> None:
        if alive is not self.alive:
            self.alive = alive
            self._report(alive)


@asynccontextmanager
async def open_watcher(api: UploadApi) -> AsyncIterator["Watcher"]:
    async with aiohttp.ClientSession() as session:
        yield Watcher(api, session)


class Watcher:
    """One connection for each media: they break and come back independently."""

    def __init__(self, api: UploadApi, session: aiohttp.ClientSession) -> None:
        self._api = api
        self._session = session

    async def follow(self, media_id: str, connection: Callable[[bool], None]) -> AsyncGenerator[Status]:
        """Each status once and in order, up to and including READY or FAILED.

        `connection` is called with False when the connection broke, with True when it is there again.
        Raises ServiceError, also for a media that was deleted, and UnreachableError when patience ends.
        """
        line = _Line(connection)
        cursor: str | None = None
        version, status, mute = 0, None, 0
        while mute < _MUTE_STREAMS:
            try:
                async with aclosing(self._events(media_id, cursor, line)) as events:
                    async for event in events:
                        mute = 0
                        if event["type"] == "RESYNC":
                            # The present state follows; it is all there is, so it must not be missed.
                            cursor, version = None, 0
                            continue
                        cursor = event["cursor"]
                        if event["type"] == "DELETED":
                            raise _deleted()
                        if event["version"] <= version or Status(event["status"]) is status:
                            continue
                        version, status = event["version"], Status(event["status"])
                        yield status
                        if status.ended:
                            return
                await self._check_existence(media_id)
            except _StreamBrokenError:
                line.tell(False)
            mute += 1
            await asyncio.sleep(_PAUSE_SECONDS)
        raise UnreachableError("The stream of the live status breaks again and again.")

    async def _events(
        self, media_id: str, after: str | None, line: "_Line"
    ) -> AsyncGenerator[dict[str, Any]]:
        """One stream until it completes; raises _StreamBrokenError when it is cut."""
        request = GraphQLRequest(_MEDIA_STATUS, variable_values={"id": media_id, "after": after})
        try:
            async with self._connected(line) as session, aclosing(session.subscribe(request)) as answers:
                while True:
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        answer = await anext(answers, None)
                    if answer is None:
                        return
                    yield answer["mediaStatus"]
        except TimeoutError:
            raise ServiceError(
                f"Nothing was heard for {_SILENCE_SECONDS / 60:.0f} minutes: look at it later."
            ) from None
        except TransportQueryError as error:
            if _is_internal(error):
                raise _StreamBrokenError from None
            raise ServiceError(query_problem(error)) from None
        except TransportError:
            raise _StreamBrokenError from None

    @asynccontextmanager
    async def _connected(self, line: "_Line") -> AsyncIterator[AsyncClientSession]:
        async with AsyncExitStack() as stack:
            try:
                async for attempt in stamina.retry_context(
                    on=(TransportError, TimeoutError),
                    attempts=None,
                    timeout=self._api.patience,
                    wait_initial=0.2,
                    wait_max=3.0,
                    wait_jitter=0.3,
                ):
                    with attempt:
                        line.tell(attempt.num == 1 and line.alive)
                        client = Client(transport=self._transport(), execute_timeout=None)
                        session = await stack.enter_async_context(client)
            except (TransportError, TimeoutError):
                self._api.lose_patience()
                raise UnreachableError(
                    f"The connection to Darkroom at {self._api.origin} was lost and did not come back; "
                    "what was sent is not lost."
                ) from None
            line.tell(True)
            yield session

    def _transport(self) -> AIOHTTPWebsocketsTransport:
        return AIOHTTPWebsocketsTransport(
            url="ws" + self._api.origin.removeprefix("http") + "/graphql",
            subprotocols=[_PROTOCOL],
            session=self._session,
            heartbeat=_HEARTBEAT_SECONDS,
            connect_timeout=_CONNECT_SECONDS,
            ack_timeout=_CONNECT_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            websocket_close_timeout=_CLOSE_SECONDS,
        )

    async def _check_existence(self, media_id: str) -> None:
        """A stream that completed before the end: the media was deleted, or the service is going down."""
        if await self._api.media(media_id) is None:
            raise _deleted()


def _deleted() -> ServiceError:
    return ServiceError("The media was deleted before it was ready.")


def _is_internal(error: TransportQueryError) -> bool:
    return any((problem.get("extensions") or {}).get("code") == "INTERNAL" for problem in error.errors or ())
