"""What a client that speaks the S3 API may want to have signed: the operations that there are for it."""

import re
from dataclasses import dataclass

from services.errors import InvalidInput
from storage.objects import MultipartRequest

_METHODS = frozenset({"PUT", "POST", "GET", "DELETE"})
_MULTIPART_ID = re.compile(r"[!-~]{1,1024}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRequest:
    """As the client put it. `multipart_id` is S3's `uploadId`, the store's own, `expires_in` in seconds."""

    method: str
    key: str
    multipart_id: str | None = None
    part_number: int | None = None
    content_type: str | None = None
    expires_in: int | None = None


@dataclass(frozen=True, slots=True)
class PutWhole:
    """PutObject."""


@dataclass(frozen=True, slots=True)
class PutPart:
    """UploadPart."""

    multipart_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Multipart:
    """Everything else that concerns a multipart upload; only CREATE has no id yet."""

    request: MultipartRequest
    multipart_id: str | None


Operation = PutWhole | PutPart | Multipart


def operation(request: ClientRequest) -> Operation:
    """Raises InvalidInput for what is no operation of an upload: above all for the deletion of an object."""
    if request.multipart_id is not None and not _MULTIPART_ID.fullmatch(request.multipart_id):
        raise InvalidInput("uploadId must be 1 to 1,024 visible characters of ASCII.", "uploadId")
    match request.method, request.multipart_id, request.part_number:
        case "PUT", None, None:
            return PutWhole()
        case "PUT", str(multipart_id), int(number):
            return PutPart(multipart_id, number)
        case "POST", None, None:
            return Multipart(MultipartRequest.CREATE, None)
        case "POST", str(multipart_id), None:
            return Multipart(MultipartRequest.COMPLETE, multipart_id)
        case "GET", str(multipart_id), None:
            return Multipart(MultipartRequest.LIST_PARTS, multipart_id)
        case "DELETE", str(multipart_id), None:
            return Multipart(MultipartRequest.ABORT, multipart_id)
        case _:
            raise _refusal(request)


def _refusal(request: ClientRequest) -> InvalidInput:
    if request.method not in _METHODS:
        return InvalidInput(f"method must be PUT, POST, GET or DELETE, not {request.method:.20}.", "method")
    if request.part_number is not None:
        return InvalidInput("partNumber goes with PUT and uploadId only.", "partNumber")
    if request.method == "PUT":
        return InvalidInput("PUT with uploadId needs partNumber.", "partNumber")
    if request.method == "GET":
        return InvalidInput("GET needs uploadId: it lists parts, and reads no object.", "uploadId")
    return InvalidInput(
        "DELETE needs uploadId: it aborts, and no object is deleted but by abortUpload and deleteMedia.",
        "uploadId",
    )
