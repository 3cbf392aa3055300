"""As much of S3's API as `bench transfer` needs, and as little work: `python -m bench.lean_store PORT`.

Everything stays in memory, and the parts of an object are never joined. What the client says of a body
(SHA-256, CRC-32, length) is checked as S3 does; signatures are not.
"""

import base64
import hashlib
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote
from uuid import uuid4
from xml.sax.saxutils import escape

import uvicorn
from starlette.types import Receive, Scope, Send

_MODIFIED = ("2026-01-01T00:00:00.000Z", "Thu, 01 Jan 2026 00:00:00 GMT")


@dataclass(frozen=True, slots=True)
class Body:
    """`chunks` as they came; `sha256` in base64, as the answers tell it."""

    chunks: list[bytes]
    byte_size: int
    sha256: str | None = None
    etag: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)


class BadDigestError(Exception):
    """The body is not what its headers say."""


class LeanStore:
    def __init__(self) -> None:
        self._objects: dict[str, Body] = {}
        self._uploads: dict[str, dict[int, Body]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = {
            name: values[0]
            for name, values in parse_qs(scope["query_string"].decode(), keep_blank_values=True).items()
        }
        request = Request(scope["method"], unquote(scope["path"]), query, headers)
        try:
            answer = self._answer(request, await _read(receive, headers))
        except BadDigestError:
            answer = _problem(400, "BadDigest")
        sizes = {"content-length": str(sum(map(len, answer.chunks)))} | answer.headers
        fields = [(name.encode(), value.encode()) for name, value in sizes.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        for chunk in [] if request.method == "HEAD" else answer.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _answer(self, request: Request, body: Body) -> Answer:
        if "uploadId" in request.query:
            return self._of_upload(request, body)
        match request.method:
            case "POST" if "uploads" in request.query:
                upload_id = uuid4().hex
                self._uploads[upload_id] = {}
                return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload_id}</UploadId>")
            case "POST":
                return _xml("DeleteResult", "")
            case "PUT":
                self._objects[request.key] = body
                return Answer(headers={"etag": f'"{body.etag}"'})
            case "DELETE":
                self._objects.pop(request.key, None)
                return Answer(204)
            case "HEAD" | "GET" if request.key.count("/") > 1:
                return self._object(request)
            case "GET":
                return self._listing(request)
        return Answer()

    def _of_upload(self, request: Request, body: Body) -> Answer:
        upload_id = request.query["uploadId"]
        parts = self._uploads.get(upload_id)
        if parts is None:
            return _problem(404, "NoSuchUpload")
        match request.method:
            case "PUT":
                parts[int(request.query["partNumber"])] = body
                return Answer(headers={"etag": f'"{body.etag}"'})
            case "GET":
                most = int(request.query.get("max-parts", "10000"))
                first = int(request.query.get("part-number-marker", "0"))
                numbers = [number for number in sorted(parts) if number > first][:most]
                return _xml("ListPartsResult", "".join(_part(number, parts[number]) for number in numbers))
            case "POST":
                del self._uploads[upload_id]
                chunks = [chunk for number in sorted(parts) for chunk in parts[number].chunks]
                whole = self._objects[request.key] = Body(chunks, sum(map(len, chunks)))
                return _xml("CompleteMultipartUploadResult", f'<ETag>"{whole.etag}"</ETag>')
        del self._uploads[upload_id]
        return Answer(204)

    def _object(self, request: Request) -> Answer:
        """Always whole: whoever wants a range takes less, or none of it."""
        found = self._objects.get(request.key)
        if found is None:
            return _problem(404, "NoSuchKey")
        headers = {
            "content-length": str(found.byte_size),
            "etag": f'"{found.etag}"',
            "last-modified": _MODIFIED[1],
        }
        return Answer(headers=headers, chunks=found.chunks)

    def _listing(self, request: Request) -> Answer:
        if "uploads" in request.query:
            return _xml("ListMultipartUploadsResult", "")
        bucket = request.key.strip("/") + "/"
        contents = [
            f"<Contents><Key>{escape(key[1:].removeprefix(bucket))}</Key><Size>{body.byte_size}</Size>"
            f'<ETag>"{body.etag}"</ETag><LastModified>{_MODIFIED[0]}</LastModified></Contents>'
            for key, body in sorted(self._objects.items())
        ]
        return _xml("ListBucketResult", "".join(contents))


async def _read(receive: Receive, headers: Mapping[str, str]) -> Body:
    """Raises BadDigestError."""
    said = headers.get("x-amz-checksum-sha256") or _signed_sha256(headers.get("x-amz-content-sha256", ""))
    crc, sha256, chunks, byte_size = 0, hashlib.sha256(), list[bytes](), 0
    more = True
    while more:
        message = await receive()
        chunk, more = message.get("body", b""), message.get("more_body", False)
        chunks.append(chunk)
        byte_size += len(chunk)
        if said:
            sha256.update(chunk)
        if "x-amz-checksum-crc32" in headers:
            crc = zlib.crc32(chunk, crc)
    found = base64.b64encode(sha256.digest()).decode()
    wrong_crc = base64.b64encode(crc.to_bytes(4)).decode() != headers.get("x-amz-checksum-crc32")
    if (
        "aws-chunked" in headers.get("content-encoding", "")  # it would have to be taken apart first
        or byte_size != int(headers.get("content-length", "0"))
        or (said and found != said)
        or ("x-amz-checksum-crc32" in headers and wrong_crc)
    ):
        raise BadDigestError
    return Body(chunks, byte_size, headers.get("x-amz-checksum-sha256"))


def _signed_sha256(hexadecimal: str) -> str | None:
    """In base64; None for a body that is not signed."""
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode() if len(hexadecimal) == 64 else None


def _part(number: int, part: Body) -> str:
    checksum = f"<ChecksumSHA256>{part.sha256}</ChecksumSHA256>" if part.sha256 else ""
    return (
        f'<Part><PartNumber>{number}</PartNumber><ETag>"{part.etag}"</ETag><Size>{part.byte_size}</Size>'
        f"<LastModified>{_MODIFIED[0]}</LastModified>{checksum}</Part>"
    )


def _xml(name: str, content: str) -> Answer:
    return Answer(
        headers={"content-type": "application/xml"}, chunks=[f"<{name}>{content}</{name}>".encode()]
    )


def _problem(status: int, code: str) -> Answer:
    return Answer(status, chunks=[f"<Error><Code>{code}</Code></Error>".encode()])


if __name__ == "__main__":
    uvicorn.run(
        LeanStore(),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
