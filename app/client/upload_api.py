"""What an upload asks of the service."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from app.client.answers import USER_ERRORS, uploaded_media, user_errors
from app.client.blocks import block_bytes
from app.client.endpoint import Endpoint
from app.client.errors import ServiceError, StoreUnavailableError
from app.client.files import LocalFile
from app.client.media import Media, Status, UserError
from app.client.targets import TARGET, AnyTarget, Target, any_target, signed_target

#: How many files one request may announce.
MAX_REQUESTS = 100

#: To put thousands of parts together takes a store minutes.
_FINALIZE_SECONDS = 330

_REQUEST_UPLOADS = f"""
  mutation RequestUploads($inputs: [RequestUploadInput!]!) {{
    requestUploads(inputs: $inputs) {{ media {{ id status }} upload {{ id {TARGET} }} {USER_ERRORS} }}
  }}"""
_UPLOAD = f"query Upload($id: ID!) {{ node(id: $id) {{ ... on Upload {{ status {TARGET} }} }} }}"
_SIGN_PARTS = f"""
  mutation SignParts($id: ID!, $numbers: [Int!]!) {{
    signUploadParts(uploadId: $id, numbers: $numbers) {{
      parts {{ number method url headers {{ name value }} }} {USER_ERRORS}
    }}
  }}"""
_ANSWER_CHALLENGE = f"""
  mutation AnswerChallenge($id: ID!, $digest: String!) {{
    answerPossessionChallenge(uploadId: $id, digest: $digest) {{ media {{ status }} {USER_ERRORS} }}
  }}"""
_FINALIZE = """
  mutation Finalize($id: ID!) {
    finalizeUpload(uploadId: $id) {
      media { status }
      userErrors { code message path ... on PartsMissingError { missing } }
    }
  }"""
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
class AnnouncedUpload:
    """`target` is None when the upload has ended already. `status` is that of the media."""

    upload_id: str
    media_id: str
    status: Status
    target: AnyTarget | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadState:
    """`expired`: it has ended without its bytes, and takes none any more."""

    target: AnyTarget | None
    expired: bool


@dataclass(frozen=True, slots=True)
class MissingParts:
    """These have to be sent before the upload can be finalized."""

    numbers: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is said of every file of one command."""

    tags: Sequence[str] = ()
    title: str | None = None


class UploadApi(Endpoint):
    async def request_uploads(
        self, files: Sequence[tuple[LocalFile, Wishes]]
    ) -> list[AnnouncedUpload | list[UserError]]:
        """At most `MAX_REQUESTS` files; answers in their order, with all that is wrong where refused.

        Each file has a name of its own, by which the service knows it when an answer got lost.
        """
        inputs = [_input(file, wishes) for file, wishes in files]
        answer = await self._repeat(_REQUEST_UPLOADS, {"inputs": inputs})
        return [_announced(payload) for payload in answer["requestUploads"]]

    async def upload(self, upload_id: str) -> UploadState | None:
        """As it is now, with a fresh target; None when the service knows no such upload."""
        node = (await self._repeat(_UPLOAD, {"id": upload_id}))["node"]
        if not node:
            return None
        return UploadState(
            target=any_target(node["target"]), expired=node["status"] in {"EXPIRED", "ABORTED"}
        )

    async def target(self, upload_id: str) -> AnyTarget | None:
        """A fresh target; None once the upload has ended."""
        state = await self.upload(upload_id)
        return state.target if state else None

    async def sign_parts(self, upload_id: str, numbers: Sequence[int]) -> dict[int, Target] | list[UserError]:
        """An address for each part, at most 100 at once, or why there is none for any."""
        variables = {"id": upload_id, "numbers": list(numbers)}
        payload = await self._repeat_while_unavailable(_SIGN_PARTS, variables)
        if errors := user_errors(payload):
            return errors
        signed = {part["number"]: signed_target(part) for part in payload["parts"]}
        if signed.keys() != set(numbers):
            raise ServiceError("The service signed other parts than it was asked for.")
        return signed

    async def answer_challenge(self, upload_id: str, digest: str) -> Status | list[UserError]:
        answer = await self._repeat(_ANSWER_CHALLENGE, {"id": upload_id, "digest": digest})
        payload = answer["answerPossessionChallenge"]
        return user_errors(payload) or Status(payload["media"]["status"])

    async def finalize(self, upload_id: str) -> Status | MissingParts | list[UserError]:
        payload = await self._repeat_while_unavailable(
            _FINALIZE, {"id": upload_id}, request_seconds=_FINALIZE_SECONDS
        )
        for error in payload["userErrors"]:
            if error["code"] == "PARTS_MISSING":
                return MissingParts(error["missing"])
        return user_errors(payload) or Status(payload["media"]["status"])

    async def abort(self, upload_id: str) -> None:
        await self._execute(_ABORT, {"id": upload_id})

    async def media(self, media_id: str) -> Media | None:
        """The media as it is now, its renditions with fresh addresses; None when it is gone."""
        media = (await self._repeat(_MEDIA, {"id": media_id}))["media"]
        return uploaded_media(media) if media else None

    async def _repeat_while_unavailable(
        self, document: str, variables: dict[str, Any], *, request_seconds: float | None = None
    ) -> dict[str, Any]:
        """The payload of a mutation, which is asked again where only the store did not answer."""
        answer = await self._repeat(
            document, variables, check=_refuse_storage_unavailable, request_seconds=request_seconds
        )
        payload: dict[str, Any] = next(iter(answer.values()))
        return payload


def _input(file: LocalFile, wishes: Wishes) -> dict[str, Any]:
    announced = {
        "clientMutationId": str(uuid4()),
        "filename": file.filename,
        "mimeType": file.mime_type,
        "size": file.byte_size,
        "sha256": file.sha256,
        "title": wishes.title,
        "tags": list(wishes.tags),
    }
    if file.block_sha256s:
        announced["blocks"] = {"size": block_bytes(file.byte_size), "sha256s": list(file.block_sha256s)}
    return announced


def _announced(payload: dict[str, Any]) -> AnnouncedUpload | list[UserError]:
    if errors := user_errors(payload):
        return errors
    upload, media = payload["upload"], payload["media"]
    return AnnouncedUpload(
        upload_id=upload["id"],
        media_id=media["id"],
        status=Status(media["status"]),
        target=any_target(upload["target"]),
    )


def _refuse_storage_unavailable(answer: dict[str, Any]) -> None:
    """The one answer that another attempt may better."""
    for error in next(iter(answer.values()))["userErrors"]:
        if error["code"] == "STORAGE_UNAVAILABLE":
            raise StoreUnavailableError(error["message"])
