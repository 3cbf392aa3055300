"""GraphQL over HTTP: a question, its answer, and sentences for what goes wrong."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import stamina
from gql import Client, GraphQLRequest
from gql.client import AsyncClientSession
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import (
    TransportConnectionFailed,
    TransportError,
    TransportQueryError,
    TransportServerError,
)

from app.client.errors import (
    ClientError,
    NotConnectedError,
    ServiceError,
    StoreUnavailableError,
    UnreachableError,
)
from app.client.text import printable
from app.client.waiting import Outage, host_of

#: How long a service that was there before may be away: a restart with recovery takes seconds.
PATIENCE_SECONDS = 90.0

#: Enough for one attempt, too little for a second.
_NO_PATIENCE_SECONDS = 0.1

_REQUEST_SECONDS = 30
_CONNECT_SECONDS = 10

_PING = "{ __typename }"


class Endpoint:
    """Every method raises UnreachableError or ServiceError.

    What may be said twice is said again for as long as `patience` lasts while the service is away.
    """

    def __init__(self, origin: str, session: AsyncClientSession) -> None:
        self.origin = origin
        self._session = session
        #: How long a service that is away is waited for, in seconds: once in vain, then no more.
        self.patience = PATIENCE_SECONDS
        self.outage = Outage()

    async def ping(self) -> None:
        """Raises at once when nobody is there: whoever has not started the service should not wait."""
        await self._execute(_PING)

    async def _repeat(
        self,
        document: str,
        variables: dict[str, Any],
        *,
        on: type[UnreachableError] = UnreachableError,
        check: Callable[[dict[str, Any]], None] = lambda answer: None,
        request_seconds: float | None = None,
    ) -> dict[str, Any]:
        """`request_seconds`: for an answer that takes longer than others."""
        answer: dict[str, Any] = {}
        try:
            async for attempt in stamina.retry_context(
                on=on, attempts=None, timeout=self.patience, wait_initial=0.2, wait_max=3.0, wait_jitter=0.3
            ):
                with attempt:
                    answer = await self._execute_checked(document, variables, check, request_seconds)
        except UnreachableError:
            self.lose_patience()
            raise
        return answer

    async def _execute_checked(
        self,
        document: str,
        variables: dict[str, Any],
        check: Callable[[dict[str, Any]], None],
        request_seconds: float | None,
    ) -> dict[str, Any]:
        """The answer; an outage is told."""
        try:
            answer = await self._execute(document, variables, request_seconds)
            check(answer)
        except StoreUnavailableError:
            self.outage.lasts("the object store")
            raise
        except UnreachableError:
            self.outage.lasts(host_of(self.origin))
            raise
        self.outage.ended()
        return answer

    def lose_patience(self) -> None:
        self.patience = _NO_PATIENCE_SECONDS

    async def _execute(
        self, document: str, variables: dict[str, Any] | None = None, request_seconds: float | None = None
    ) -> dict[str, Any]:
        extra = {"timeout": _timeout(request_seconds)} if request_seconds else {}
        try:
            return await self._session.execute(
                GraphQLRequest(document, variable_values=variables), extra_args=extra
            )
        except TransportQueryError as error:
            raise ServiceError(query_problem(error)) from None
        except TransportServerError as error:
            raise self._status_problem(error.code) from None
        except TransportConnectionFailed as error:
            if isinstance(error.__cause__, aiohttp.ClientConnectorCertificateError):
                raise ServiceError(f"The certificate of {self.origin} is not trusted here.") from None
            if isinstance(error.__cause__, aiohttp.ClientConnectorError):
                raise not_connected(self.origin) from None
            raise UnreachableError(f"The connection to Darkroom at {self.origin} broke.") from None
        except TransportError:
            raise _not_darkroom(self.origin, "does not answer in GraphQL") from None

    def _status_problem(self, status: int | None) -> ClientError:
        if status is None or status >= 500 or status == 429:
            return UnreachableError(f"Darkroom at {self.origin} does not work now: it answers {status}.")
        return _not_darkroom(self.origin, f"answers {status}")


AnyEndpoint = TypeVar("AnyEndpoint", bound=Endpoint)


@asynccontextmanager
async def open_endpoint(kind: type[AnyEndpoint], origin: str) -> AsyncIterator[AnyEndpoint]:
    session_args = {"timeout": _timeout(_REQUEST_SECONDS)}
    transport = AIOHTTPTransport(f"{origin}/graphql", client_session_args=session_args)
    async with Client(transport=transport, execute_timeout=None) as session:
        yield kind(origin, session)


def _timeout(request_seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=request_seconds, sock_connect=_CONNECT_SECONDS)


def not_connected(origin: str) -> NotConnectedError:
    return NotConnectedError(
        f"Darkroom does not answer at {origin}: start it with `make run`, or name its address with --url."
    )


def query_problem(error: TransportQueryError) -> str:
    """The service's own sentences, and the trace id that its operator finds in the log."""
    problems = [problem for problem in error.errors or () if isinstance(problem, dict)]
    said = " ".join(str(problem.get("message", "")) for problem in problems) or "The request was refused."
    traces = {(problem.get("extensions") or {}).get("traceId") for problem in problems} - {None}
    return printable(said + "".join(f" (trace {trace})" for trace in sorted(map(str, traces))))


def _not_darkroom(origin: str, what: str) -> ServiceError:
    return ServiceError(f"{origin} {what}: if it is not Darkroom's address, name that with --url.")
