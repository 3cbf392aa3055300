"""What the answer to a download says of its bytes: type, disposition, and how long it may be kept."""

import re
from datetime import timedelta
from urllib.parse import quote

from storage.objects import Disposition

FILENAME_MAX_LENGTH = 1024

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
# RFC 9110 §8.3.1, parameters with any visible ASCII or blank: nothing that could end a header line.
_IS_CONTENT_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[ -~]+)?", re.ASCII)


def check_content_type(content_type: str) -> None:
    if len(content_type) > 255 or not _IS_CONTENT_TYPE.fullmatch(content_type):
        raise ValueError("A content type is type/subtype, in at most 255 visible ASCII characters.")


def check_filename(filename: str) -> None:
    if len(filename) > FILENAME_MAX_LENGTH:
        raise ValueError(f"A filename has at most {FILENAME_MAX_LENGTH} characters.")


def content_disposition(disposition: Disposition, filename: str) -> str:
    """The header's value; without a filename where that is empty."""
    # Percent-encoded (RFC 8187), so that no filename can end the parameter or the header.
    encoded = quote(filename, safe="", errors="replace")
    return f"{disposition}; filename*=UTF-8''{encoded}" if encoded else str(disposition)


def response_overrides(
    *, disposition: Disposition, filename: str, content_type: str, expires_in: timedelta
) -> dict[str, str]:
    """The query parameters by which S3 answers a signed GET so, whatever the object was stored with.

    In the order of their names, values not quoted yet. What is private is kept by browsers alone, and no
    longer than an address lives. Raises ValueError for a malformed content type or filename.
    """
    check_content_type(content_type)
    check_filename(filename)
    return {
        "response-cache-control": f"private, max-age={int(expires_in.total_seconds())}, immutable",
        "response-content-disposition": content_disposition(disposition, filename),
        "response-content-type": content_type,
    }
