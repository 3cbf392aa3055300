"""Addresses that carry a signature: made, and proven, without touching the disk.

A signature is an HMAC-SHA256 over the method, the key and the query in its one canonical form: the parameters
of one kind of address in their order. It is a bearer credential: never log a query string.
"""

import base64
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import parse_qsl, quote

from storage.errors import StorageError

SECRET_MIN_BYTES = 32

# More than any address of ours: a filename of 1,024 characters takes 12 bytes for each at the worst.
_QUERY_MAX_LENGTH = 16 * 1024

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


def _canonical(names: Names, params: dict[str, str]) -> str:
    return "&".join([f"{name}={_quoted(params[name])}" for name in names if name in params])


# A page of addresses shares expiry, types and, for the renditions of one media, the filename.
@lru_cache(maxsize=256)
def _quoted(value: str) -> str:
    return quote(value, safe="", errors="replace")
