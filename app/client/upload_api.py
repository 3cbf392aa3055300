"""What an upload asks of the service."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from app.client.answers import USER_ERRORS, uploaded_media, user_errors
from app.client.endpoint import Endpoint
from app.client.errors import UnreachableError
from app.client.files import LocalFile
from app.client.media import Media, Status, UserError

#: How many files one request may announce.
MAX_REQUESTS = 100

_UPLOAD = "id target { ... on SingleUploadTarget { method url headers { name value } } }"
_REQUEST_UPLOADS = f"""
  mutation RequestUploads($inputs: [RequestUploadInput!]!) {{
    requestUploads(inputs: $inputs) {{ media {{ id }} upload {{ {_UPLOAD} }} {USER_ERRORS} }}
  }}"""
_TARGET = f"query Target($id: ID!) {{ node(id: $id) {{ ... on Upload {{ {_UPLOAD} }} }} }}"
_FINALIZE = f"""
  mutation Finalize($id: ID!) {{ finalizeUpload(uploadId: $id) {{ media {{ status }} {USER_ERRORS} }} }}"""
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
class Wishes:
    """What is said of every file of one command."""

    tags: Sequence[str] = ()
    title: str | None = None


class UploadApi(Endpoint):
    async def request_uploads(
        self, files: Sequence[LocalFile], wishes: Wishes
    ) -> list[AnnouncedUpload | list[UserError]]:
        """At most `MAX_REQUESTS` files; answers in their order, with all that is wrong where refused.

        Each file has a name of its own, by which the service knows it when an answer got lost.
        """
        inputs = [_input(file, wishes) for file in files]
        answer = await self._repeat(_REQUEST_UPLOADS, {"inputs": inputs})
        return [_announced(payload) for payload in answer["requestUploads"]]

    async def target(self, upload_id: str) -> Target | None:
        """A freshly signed address; None once the upload has ended."""
        node = (await self._repeat(_TARGET, {"id": upload_id}))["node"]
        return _target(node["target"]) if node else None

    async def finalize(self, upload_id: str) -> Status | list[UserError]:
        answer = await self._repeat(_FINALIZE, {"id": upload_id}, check=_refuse_storage_unavailable)
        payload = answer["finalizeUpload"]
        return user_errors(payload) or Status(payload["media"]["status"])

    async def abort(self, upload_id: str) -> None:
        await self._execute(_ABORT, {"id": upload_id})

    async def media(self, media_id: str) -> Media | None:
        """The media as it is now, its renditions with fresh addresses; None when it is gone."""
        media = (await self._repeat(_MEDIA, {"id": media_id}))["media"]
        return uploaded_media(media) if media else None


def _input(file: LocalFile, wishes: Wishes) -> dict[str, Any]:
    return {
        "clientMutationId": str(uuid4()),
        "filename": file.filename,
        "mimeType": file.mime_type,
        "size": file.byte_size,
        "sha256": file.sha256,
        "title": wishes.title,
        "tags": list(wishes.tags),
    }


def _announced(payload: dict[str, Any]) -> AnnouncedUpload | list[UserError]:
    if errors := user_errors(payload):
        return errors
    upload = payload["upload"]
    return AnnouncedUpload(
        upload_id=upload["id"], media_id=payload["media"]["id"], target=_target(upload["target"])
    )


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
