"""GraphQL over HTTP, as far as an upload needs it: typed answers, and sentences for what goes wrong."""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

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

from app.client.errors import ClientError, NotConnectedError, ServiceError, UnreachableError
from app.client.files import LocalFile
from app.client.text import printable

#: How many files one request may announce.
MAX_REQUESTS = 100

#: How long a service that was there before may be away: a restart with recovery takes seconds.
PATIENCE_SECONDS = 90.0

#: Enough for one attempt, too little for a second.
_NO_PATIENCE_SECONDS = 0.1

_REQUEST_SECONDS = 30
_CONNECT_SECONDS = 10

_PING = "{ __typename }"
_UPLOAD = "id target { ... on SingleUploadTarget { method url headers { name value } } }"
_ERRORS = "userErrors { code message path }"
_REQUEST_UPLOADS = f"""
  mutation RequestUploads($inputs: [RequestUploadInput!]!) {{
    requestUploads(inputs: $inputs) {{ media {{ id }} upload {{ {_UPLOAD} }} {_ERRORS} }}
  }}"""
_TARGET = f"query Target($id: ID!) {{ node(id: $id) {{ ... on Upload {{ {_UPLOAD} }} }} }}"
_FINALIZE = f"""
  mutation Finalize($id: ID!) {{ finalizeUpload(uploadId: $id) {{ media {{ status }} {_ERRORS} }} }}"""
_ABORT = "mutation Abort($id: ID!) { abortUpload(uploadId: $id) { upload { status } } }"
_MEDIA = """
  query Media($id: ID!) {
    media(id: $id) {
      status
      failure { code message }
      details { ... on ImageDetails { width height } }
      renditions { name mimeType width height size url { url } }
    }
  }"""


class Status(StrEnum):
    UPLOADING = "UPLOADING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"

    @property
    def ended(self) -> bool:
        return self in {Status.READY, Status.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserError:
    code: str
    message: str
    path: list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the bytes go: the address is a credential, so no `repr` shows it."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    #: On the monotonic clock: the service's own may differ from ours.
    received_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnouncedUpload:
    """`target` is None when the upload has ended already, for instance because its bytes are known."""

    upload_id: str
    media_id: str
    target: Target | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """Sizes in pixels and bytes; None where unknown."""

    name: str
    mime_type: str
    width: int | None
    height: int | None
    byte_size: int
    url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """`width` and `height` of the original, in pixels, once it is inspected."""

    status: Status
    failure: Failure | None
    width: int | None
    height: int | None
    renditions: tuple[Rendition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is said of every file of one command."""

    tags: Sequence[str] = ()
    title: str | None = None


@asynccontextmanager
async def open_api(origin: str) -> AsyncIterator["Api"]:
    timeout = aiohttp.ClientTimeout(total=_REQUEST_SECONDS, sock_connect=_CONNECT_SECONDS)
    transport = AIOHTTPTransport(f"{origin}/graphql", client_session_args={"timeout": timeout})
    async with Client(transport=transport, execute_timeout=None) as session:
        yield Api(origin, session)


class Api:
    """Every method raises UnreachableError or ServiceError.

    What may be said twice is said again for as long as `patience` lasts while the service is away.
    """

    def __init__(self, origin: str, session: AsyncClientSession) -> None:
        self.origin = origin
        self._session = session
        #: How long a service that is away is waited for, in seconds: once in vain, then no more.
        self.patience = PATIENCE_SECONDS

    async def ping(self) -> None:
        """Raises at once when nobody is there: whoever has not started the service should not wait."""
        await self._execute(_PING)

    async def request_uploads(
        self, files: Sequence[LocalFile], wishes: Wishes
    ) -> list[AnnouncedUpload | list[UserError]]:
        """At most `MAX_REQUESTS` files; answers in their order, with all that is wrong where refused.

        Said again only if it can't have been heard: it would announce everything twice.
        """
        inputs = [_input(file, wishes) for file in files]
        answer = await self._repeat(_REQUEST_UPLOADS, {"inputs": inputs}, on=NotConnectedError)
        return [_announced(payload) for payload in answer["requestUploads"]]

    async def target(self, upload_id: str) -> Target | None:
        """A freshly signed address; None once the upload has ended."""
        node = (await self._repeat(_TARGET, {"id": upload_id}))["node"]
        return _target(node["target"]) if node else None

    async def finalize(self, upload_id: str) -> Status | list[UserError]:
        answer = await self._repeat(_FINALIZE, {"id": upload_id}, check=_refuse_storage_unavailable)
        payload = answer["finalizeUpload"]
        return _user_errors(payload) or Status(payload["media"]["status"])

    async def abort(self, upload_id: str) -> None:
        await self._execute(_ABORT, {"id": upload_id})

    async def media(self, media_id: str) -> Media | None:
        """The media as it is now, its renditions with fresh addresses; None when it is gone."""
        media = (await self._repeat(_MEDIA, {"id": media_id}))["media"]
        return _media(media) if media else None

    async def _repeat(
        self,
        document: str,
        variables: dict[str, Any],
        *,
        on: type[UnreachableError] = UnreachableError,
        check: Callable[[dict[str, Any]], None] = lambda answer: None,
    ) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        try:
            async for attempt in stamina.retry_context(
                on=on, attempts=None, timeout=self.patience, wait_initial=0.2, wait_max=3.0, wait_jitter=0.3
            ):
                with attempt:
                    answer = await self._execute(document, variables)
                    check(answer)
        except UnreachableError:
            self.lose_patience()
            raise
        return answer

    def lose_patience(self) -> None:
        self.patience = _NO_PATIENCE_SECONDS

    async def _execute(self, document: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            return await self._session.execute(GraphQLRequest(document, variable_values=variables))
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


def _input(file: LocalFile, wishes: Wishes) -> dict[str, Any]:
    return {
        "filename": file.filename,
        "mimeType": file.mime_type,
        "size": file.byte_size,
        "sha256": file.sha256,
        "title": wishes.title,
        "tags": list(wishes.tags),
    }


def _announced(payload: dict[str, Any]) -> AnnouncedUpload | list[UserError]:
    if errors := _user_errors(payload):
        return errors
    upload = payload["upload"]
    return AnnouncedUpload(
        upload_id=upload["id"], media_id=payload["media"]["id"], target=_target(upload["target"])
    )


def _user_errors(payload: dict[str, Any]) -> list[UserError]:
    return [
        UserError(code=error["code"], message=error["message"], path=error["path"])
        for error in payload["userErrors"]
    ]


def _refuse_storage_unavailable(answer: dict[str, Any]) -> None:
    """The one answer of finalizeUpload that another attempt may better."""
    for error in answer["finalizeUpload"]["userErrors"]:
        if error["code"] == "STORAGE_UNAVAILABLE":
            raise UnreachableError(error["message"])


def _target(target: dict[str, Any] | None) -> Target | None:
    if target is None:
        return None
    return Target(
        method=target["method"],
        url=target["url"],
        headers={header["name"]: header["value"] for header in target["headers"]},
        received_at=time.monotonic(),
    )


def _media(media: dict[str, Any]) -> Media:
    failure, details = media["failure"], media["details"] or {}
    return Media(
        status=Status(media["status"]),
        failure=Failure(code=failure["code"], message=failure["message"]) if failure else None,
        width=details.get("width"),
        height=details.get("height"),
        renditions=tuple(
            Rendition(
                name=rendition["name"],
                mime_type=rendition["mimeType"],
                width=rendition["width"],
                height=rendition["height"],
                byte_size=rendition["size"],
                url=(rendition["url"] or {}).get("url"),
            )
            for rendition in media["renditions"]
        ),
    )
