"""The XML of S3's API, as far as multipart uploads need it: a reader of one document, writers of the answers.

The reader takes `CompleteMultipartUpload` and nothing else: no document type and so no entities, no encoding
but Unicode's, three levels deep. The writers escape all text. Errors have no namespace, as on S3.
"""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from itertools import pairwise
from xml.parsers import expat
from xml.sax.saxutils import escape

from starlette.responses import Response

from app.refusals import Refusal
from storage.objects import MAX_PARTS, StoredPart

COMPLETE_MAX_BYTES = 1024 * 1024
"""Of a `CompleteMultipartUpload`; 10,000 parts of ours take at most 1,000,000 bytes with quoted tags."""

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
# Browsers' clients compare the whole header, so there is no charset in it: XML says that itself.
_CONTENT_TYPE = "application/xml"
_ROOT, _PART, _NUMBER, _ETAG = "CompleteMultipartUpload", "Part", "PartNumber", "ETag"
_DEPTH = 3
_TEXT_MAX_LENGTH = 1024
_IS_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)

#: Where S3's word for a refusal is not ours; for the others ours is spelled as S3 would.
_CODES = {
    "SIGNATURE_INVALID": "SignatureDoesNotMatch",
    "SIGNATURE_EXPIRED": "AccessDenied",
    "INVALID_KEY": "InvalidArgument",
    "MALFORMED_XML": "MalformedXML",
    "MULTIPART_MISSING": "NoSuchUpload",
    "OBJECT_EXISTS": "PreconditionFailed",
    "PARTS_CHANGED": "InvalidPart",
    "STORAGE_FULL": "InsufficientStorage",
    "STORAGE_UNAVAILABLE": "ServiceUnavailable",
    "BODY_STALLED": "RequestTimeout",
}


def read_complete(body: bytes) -> list[tuple[int, str]]:
    """Return number and tag (without quotes) of each part, in ascending order of numbers.

    Raises `Refusal` for whatever is not such a document. Blocks for some ten milliseconds at the worst.
    """
    reader = _CompleteReader()
    try:
        reader.read(body)
    except (expat.ExpatError, _MalformedError) as error:
        raise _refused("MALFORMED_XML", "The body is no CompleteMultipartUpload that can be read.") from error
    numbers = [number for number, _ in reader.parts]
    if not 1 <= len(numbers) <= MAX_PARTS:
        raise _refused("MALFORMED_XML", f"An upload is completed with 1 to {MAX_PARTS} parts.")
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise _refused("INVALID_PART_ORDER", "The parts are not in the order of their numbers.")
    return reader.parts


def created(key: str, upload_id: str) -> Response:
    return _document("InitiateMultipartUploadResult", [*_object(key), _element("UploadId", upload_id)])


def listed(key: str, upload_id: str, parts: Sequence[StoredPart]) -> Response:
    """All parts in one answer: there are at most 10,000."""
    return _document(
        "ListPartsResult",
        [
            *_object(key),
            _element("UploadId", upload_id),
            _element("PartNumberMarker", "0"),
            _element("MaxParts", str(MAX_PARTS)),
            _element("IsTruncated", "false"),
            *map(_part, parts),
        ],
    )


def completed(key: str, *, location: str, etag: str) -> Response:
    return _document(
        "CompleteMultipartUploadResult",
        [_element("Location", location), *_object(key), _element("ETag", f'"{etag}"')],
    )


def xml_refusal(refusal: Refusal) -> Response:
    """Say in S3's form what otherwise is said in JSON."""
    code = _CODES.get(refusal.code) or refusal.code.title().replace("_", "")
    content = _element("Code", code) + _element("Message", str(refusal))
    response = _xml(f"<Error>{content}</Error>", refusal.status)
    response.headers.update(refusal.headers)
    return response


class _MalformedError(Exception):
    pass


class _CompleteReader:
    """Expat's callbacks; any exception in one ends the parse."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, str]] = []
        self._path: list[str] = []
        self._text = ""
        self._fields: dict[str, str] = {}

    def read(self, body: bytes) -> None:
        parser = expat.ParserCreate("utf-8")
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.Parse(body, True)

    def _doctype(self, *declaration: object) -> None:
        raise _MalformedError

    def _start(self, name: str, attributes: object) -> None:
        self._path.append(name)
        self._text = ""
        if len(self._path) > _DEPTH or self._path[:2] != [_ROOT, _PART][: len(self._path)]:
            raise _MalformedError
        if len(self._path) == 2:
            self._fields = {}

    def _characters(self, text: str) -> None:
        self._text += text
        if len(self._text) > _TEXT_MAX_LENGTH:
            raise _MalformedError

    def _end(self, name: str) -> None:
        if len(self._path) == _DEPTH:
            if name in self._fields:
                raise _MalformedError
            # Checksums may stand there too; the tag says enough.
            self._fields[name] = self._text.strip()
        elif len(self._path) == 2:
            self.parts.append(self._finished_part())
        self._path.pop()
        self._text = ""

    def _finished_part(self) -> tuple[int, str]:
        number, etag = self._fields.get(_NUMBER, ""), self._fields.get(_ETAG)
        if etag is None or not _IS_NUMBER.fullmatch(number) or len(self.parts) == MAX_PARTS:
            raise _MalformedError
        return int(number), etag.strip('"')


def _refused(code: str, message: str) -> Refusal:
    return Refusal(status=HTTPStatus.BAD_REQUEST, code=code, message=message)


def _object(key: str) -> list[str]:
    # S3's clients expect a bucket's name; there is one store.
    return [_element("Bucket", "objects"), _element("Key", key)]


def _part(part: StoredPart) -> str:
    fields = [
        _element(_NUMBER, str(part.number)),
        _element(_ETAG, f'"{part.etag}"'),
        _element("Size", str(part.byte_size)),
    ]
    return f"<Part>{''.join(fields)}</Part>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


def _document(name: str, content: Iterable[str]) -> Response:
    return _xml(f'<{name} xmlns="{_NAMESPACE}">{"".join(content)}</{name}>', HTTPStatus.OK)


def _xml(document: str, status: HTTPStatus) -> Response:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    declared = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'
    return Response(declared, status, headers, media_type=_CONTENT_TYPE)
