"""Addresses that carry a signature: made, and proven, without touching the disk.

A signature is an HMAC-SHA256 over the method, the key and the query in its one canonical form: the parameters
of one kind of address in their order. It is a bearer credential: never log a query string.
"""

import base64
import hmac
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, quote

from storage.errors import StorageError

LONGEST_LIFETIME = timedelta(days=7)
"""As on S3, so that no caller comes to rely on more."""

SECRET_MIN_BYTES = 32

# More than any address of ours: a filename of 1,024 characters takes 12 bytes for each at the worst.
_QUERY_MAX_LENGTH = 16 * 1024

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
# RFC 9110 §8.3.1, parameters with any visible ASCII or blank: nothing that could end a header line.
_IS_CONTENT_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[ -~]+)?", re.ASCII)
_IS_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_IS_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)

Clock = Callable[[], datetime]
Names = tuple[str, ...]


class SignatureInvalidError(StorageError):
    """This address was altered, or was not signed here for this method and key."""

    code = "SIGNATURE_INVALID"


class SignatureExpiredError(StorageError):
    """This address has expired; ask for a new one."""

    code = "SIGNATURE_EXPIRED"


class AddressSigner:
    """Signs addresses below `base_url`; all processes of an installation share `secret`."""

    def __init__(self, *, base_url: str, secret: bytes, clock: Clock) -> None:
        if len(secret) < SECRET_MIN_BYTES:
            raise ValueError(f"The signing secret needs at least {SECRET_MIN_BYTES} bytes.")
        self.base_url = base_url.rstrip("/")
        self.clock = clock
        # The installation's secret serves other purposes too; a key of its own keeps the signatures apart.
        self._key = hmac.digest(secret, b"darkroom disk store addresses v1", "sha256")

    def expiry(self, expires_in: timedelta) -> int:
        """Return the Unix time at which an address that is signed now ends."""
        if not timedelta(0) < expires_in <= LONGEST_LIFETIME:
            raise ValueError("An address lives more than no time and at most 7 days.")
        # Rounded up: an address of half a second must live half a second.
        return math.ceil((self.clock() + expires_in).timestamp())

    def url(self, method: str, key: str, names: Names, params: dict[str, str]) -> str:
        canonical = _canonical(names, params)
        return f"{self.base_url}/{key}?{canonical}&signature={self._signature(method, key, canonical)}"

    def verify(
        self, method: str, key: str, query: str, names: Names, optional: frozenset[str] = frozenset()
    ) -> dict[str, str]:
        """Return the parameters that were signed: those of `names`, of which `optional` may be missing.

        Raises `SignatureInvalidError`, also for unknown, missing or repeated parameters, or
        `SignatureExpiredError`, which is told only to those who hold a true signature.
        """
        params = parse_query(query)
        given = params.pop("signature", "")
        if not params.keys() <= set(names) or not params.keys() >= set(names) - optional:
            raise SignatureInvalidError
        expected = self._signature(method, key, _canonical(names, params))
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise SignatureInvalidError
        if self.clock() >= moment(int(params["expires"])):
            raise SignatureExpiredError
        return params

    def _signature(self, method: str, key: str, canonical: str) -> str:
        # Line breaks can't occur in a key or, percent-encoded, in the query: no two requests share a message.
        message = f"{method}\n{key}\n{canonical}".encode(errors="replace")
        return base64.urlsafe_b64encode(hmac.digest(self._key, message, "sha256")).rstrip(b"=").decode()


def moment(expires: int) -> datetime:
    return datetime.fromtimestamp(expires, UTC)


def parse_query(query: str) -> dict[str, str]:
    """Return the parameters as they were sent, not proven; raises `SignatureInvalidError`."""
    if len(query) > _QUERY_MAX_LENGTH:
        raise SignatureInvalidError
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=8
        )
    except ValueError as error:
        raise SignatureInvalidError from error
    params = dict(pairs)
    if len(params) != len(pairs):
        raise SignatureInvalidError
    return params


def check_content_type(content_type: str) -> None:
    if len(content_type) > 255 or not _IS_CONTENT_TYPE.fullmatch(content_type):
        raise ValueError("A content type is type/subtype, in at most 255 visible ASCII characters.")


def check_promise(byte_size: int, sha256: str | None, md5: str | None = None) -> None:
    if byte_size < 0:
        raise ValueError("A size in bytes is not negative.")
    if sha256 is not None and not _IS_SHA256.fullmatch(sha256):
        raise ValueError("A SHA-256 is 64 lower-case hex digits.")
    if md5 is not None and not _IS_MD5.fullmatch(md5):
        raise ValueError("An MD5 is 32 lower-case hex digits.")


def _canonical(names: Names, params: dict[str, str]) -> str:
    return "&".join([f"{name}={_quoted(params[name])}" for name in names if name in params])


# A page of addresses shares expiry, types and, for the renditions of one media, the filename.
@lru_cache(maxsize=256)
def _quoted(value: str) -> str:
    return quote(value, safe="", errors="replace")
