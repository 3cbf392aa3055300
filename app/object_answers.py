"""The answer that gives an object, or the part of it that was asked for: status, headers, body."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from app.conditions import RangeNotSatisfiableError, http_date, not_modified, wanted_range
from app.refusals import Refusal
from storage.disk_objects import OpenObject
from storage.disk_signing import GetMethod
from storage.objects import Disposition
from storage.response_headers import content_disposition

# Should a browser show it as a document after all: no script, no origin, nothing loaded.
_POLICY = "sandbox; default-src 'none'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """As what an object is given; `headers` come on top of those that every object has."""

    content_type: str
    disposition: Disposition
    filename: str
    cache_control: str
    headers: Mapping[str, str] = field(default_factory=dict)


def object_answer(method: GetMethod, manner: Manner, stored: OpenObject, request: Headers) -> Response:
    """Answer GET or HEAD, with ranges and conditions; raises `Refusal` for a range beyond the end."""
    headers = _headers(manner, stored)
    etag, modified_at, byte_size = headers["ETag"], stored.info.modified_at, stored.info.byte_size
    if not_modified(request, etag=etag, modified_at=modified_at):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers["Content-Type"] = manner.content_type
    if method == "HEAD":
        # Ranges are defined for GET alone (RFC 9110 §14.2).
        return Response(headers={**headers, "Content-Length": str(byte_size)})
    try:
        part = wanted_range(request, byte_size=byte_size, etag=etag, modified_at=modified_at)
    except RangeNotSatisfiableError as error:
        raise Refusal(
            status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            code="RANGE_NOT_SATISFIABLE",
            message=f"The object has {byte_size} bytes, none of them in the range asked for.",
            headers={"Content-Range": f"bytes */{byte_size}", **manner.headers},
        ) from error
    if part is None:
        headers["Content-Length"] = str(byte_size)
        return StreamingResponse(stored.blocks(0, byte_size), headers=headers)
    headers["Content-Length"] = str(part.end - part.start)
    headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{byte_size}"
    return StreamingResponse(stored.blocks(part.start, part.end), HTTPStatus.PARTIAL_CONTENT, headers)


def _headers(manner: Manner, stored: OpenObject) -> dict[str, str]:
    return {
        "ETag": f'"{stored.info.etag}"',
        "Last-Modified": http_date(stored.info.modified_at),
        "Accept-Ranges": "bytes",
        "Cache-Control": manner.cache_control,
        "Content-Disposition": content_disposition(manner.disposition, manner.filename),
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "cross-origin",
        **manner.headers,
    }
