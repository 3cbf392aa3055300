"""Streams over WebSocket: one connection each, made again for as long as patience lasts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any

import aiohttp
import stamina
from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.exceptions import TransportError, TransportQueryError

from app.client.endpoint import Endpoint, query_problem
from app.client.errors import ServiceError, UnreachableError

_PROTOCOL = "graphql-transport-ws"
_CONNECT_SECONDS = 10
_CLOSE_SECONDS = 1

#: A peer that answers no ping within half of it is gone, whatever TCP believes.
_HEARTBEAT_SECONDS = 20.0

#: After a stream that broke, so that a service which only accepts connections is not run over.
PAUSE_SECONDS = 0.5

#: So many streams in a row may break before they tell anything.
MUTE_STREAMS = 20


class StreamBrokenError(Exception):
    """The stream ended otherwise than by the service's word."""


class Line:
    """Tells of changes only: False when the connection broke, True when it is there again."""

    def __init__(self, report: Callable[[bool], None]) -> None:
        self._report = report
        self.alive = True

    def tell(self, alive: bool) -> None:
        if alive is not self.alive:
            self.alive = alive
            self._report(alive)


@asynccontextmanager
async def open_subscriber(endpoint: Endpoint) -> AsyncIterator["Subscriber"]:
    async with aiohttp.ClientSession() as session:
        yield Subscriber(endpoint, session)


class Subscriber:
    """One connection for each stream: they break and come back independently."""

    def __init__(self, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self._endpoint = endpoint
        self._session = session

    async def events(
        self, document: str, variables: Mapping[str, Any], line: Line, *, silence: float | None = None
    ) -> AsyncGenerator[dict[str, Any]]:
        """The answers of one stream until it completes.

        Raises StreamBrokenError when it is cut, UnreachableError when no connection comes about, and
        ServiceError when it is refused or when nothing was heard for `silence` seconds.
        """
        request = GraphQLRequest(document, variable_values=dict(variables))
        try:
            async with self._connected(line) as session, aclosing(session.subscribe(request)) as answers:
                while True:
                    async with asyncio.timeout(silence):
                        answer = await anext(answers, None)
                    if answer is None:
                        return
                    yield answer
        except TimeoutError:
            minutes = (silence or 0) / 60
            raise ServiceError(f"Nothing was heard for {minutes:.0f} minutes: look at it later.") from None
        except TransportQueryError as error:
            if _is_internal(error):
                raise StreamBrokenError from None
            raise ServiceError(query_problem(error)) from None
        except TransportError:
            raise StreamBrokenError from None

    @asynccontextmanager
    async def _connected(self, line: Line) -> AsyncIterator[AsyncClientSession]:
        async with AsyncExitStack() as stack:
            try:
                async for attempt in stamina.retry_context(
                    on=(TransportError, TimeoutError),
                    attempts=None,
                    timeout=self._endpoint.patience,
                    wait_initial=0.2,
                    wait_max=3.0,
                    wait_jitter=0.3,
                ):
                    with attempt:
                        line.tell(attempt.num == 1 and line.alive)
                        client = Client(transport=self._transport(), execute_timeout=None)
                        session = await stack.enter_async_context(client)
            except (TransportError, TimeoutError):
                self._endpoint.lose_patience()
                raise UnreachableError(
                    f"The connection to Darkroom at {self._endpoint.origin} was lost and did not come back; "
                    "what was sent is not lost."
                ) from None
            line.tell(True)
            yield session

    def _transport(self) -> AIOHTTPWebsocketsTransport:
        return AIOHTTPWebsocketsTransport(
            url="ws" + self._endpoint.origin.removeprefix("http") + "/graphql",
            subprotocols=[_PROTOCOL],
            session=self._session,
            heartbeat=_HEARTBEAT_SECONDS,
            connect_timeout=_CONNECT_SECONDS,
            ack_timeout=_CONNECT_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            websocket_close_timeout=_CLOSE_SECONDS,
        )


def _is_internal(error: TransportQueryError) -> bool:
    return any((problem.get("extensions") or {}).get("code") == "INTERNAL" for problem in error.errors or ())
