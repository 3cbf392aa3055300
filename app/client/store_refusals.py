"""What an object store's answer to bytes means: our own speaks JSON, those with the interface of S3 XML."""

import json
import re
from html import unescape

import aiohttp

from app.client.attempts import InterruptedTransferError, may_pass
from app.client.errors import TransferRefusedError
from app.client.files import changed
from app.client.text import printable

#: More of a refusal is not read.
_REFUSAL_BYTES = 4096

_STORED_ALREADY, _NOT_FOUND, _CONFLICT = 412, 404, 409

#: The bytes have another hash than was announced.
_OTHER_BYTES = frozenset({"CHECKSUM_MISMATCH", "BadDigest", "XAmzContentSHA256Mismatch"})

#: S3 answers 400 where it waited for bytes that did not come.
_TOO_SLOW = "RequestTimeout"

_XML = re.compile(r"<(Code|Message)>([^<]*)</\1>")


class UploadGoneError(Exception):
    """The store knows the upload no more: it was completed, or given up; the service tells which.

    Says in a sentence what was answered.
    """


async def judge(response: aiohttp.ClientResponse, *, renewed: bool) -> None:
    """Returns when the store has the bytes; `renewed`: a 403 is not due to the address's age.

    Raises InterruptedTransferError where another attempt may end better, and UploadGoneError,
    FileProblemError and TransferRefusedError, of which none holds the address.
    """
    status = response.status
    if 200 <= status < 300 or status == _STORED_ALREADY:
        return
    code, message = _reason(await response.content.read(_REFUSAL_BYTES))
    said = f"the store answers {status}" + (f": {printable(message.rstrip('.'))}" if message else "")
    if may_pass(status, renewable=not renewed) or status == _CONFLICT or code == _TOO_SLOW:
        raise InterruptedTransferError(said)
    if code in _OTHER_BYTES:
        raise changed()
    if status == _NOT_FOUND:
        raise UploadGoneError(f"{said[0].upper()}{said[1:]}.")
    raise TransferRefusedError(f"{said[0].upper()}{said[1:]}.")


def _reason(body: bytes) -> tuple[str, str]:
    """The store's own code and sentence; empty where something else answers."""
    try:
        error = json.loads(body)["error"]
        return str(error["code"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        found = {name: unescape(value) for name, value in _XML.findall(body.decode(errors="replace"))}
        return found.get("Code", ""), found.get("Message", "")
