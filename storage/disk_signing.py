"""Signed addresses of the disk store: who may send or get which bytes, until when.

A signature is an HMAC-SHA256 over the method, the key and the query in its one canonical form. It is a bearer
credential: never log a query string. Nothing here touches the disk.
"""

import base64
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal
from urllib.parse import parse_qsl, quote

from storage.errors import StorageError
from storage.keys import check_private_key, check_public_key
from storage.lifetimes import expiry, read_expiry
from storage.objects import Disposition, SignedGet, SignedPut
from storage.response_headers import check_content_type, check_filename

SECRET_MIN_BYTES = 32

# More than any address of ours: a filename of 1,024 characters takes 12 bytes for each at the worst.
_QUERY_MAX_LENGTH = 16 * 1024

_PUT_NAMES = ("expires", "length", "type", "sha256", "md5")
_PUT_OPTIONAL = frozenset({"sha256", "md5"})
_GET_NAMES = ("expires", "disposition", "type", "filename")

_IS_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_IS_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)

GetMethod = Literal["GET", "HEAD"]
Clock = Callable[[], datetime]


class SignatureInvalidError(StorageError):
    """This address was altered, or was not signed here for this method and key."""

    code = "SIGNATURE_INVALID"


class SignatureExpiredError(StorageError):
    """This address has expired; ask for a new one."""

    code = "SIGNATURE_EXPIRED"


@dataclass(frozen=True, slots=True, kw_only=True)
class PutGrant:
    """One permitted upload; the hashes are lower-case hex, None where nothing was promised."""

    key: str
    content_type: str
    byte_size: int
    sha256: str | None
    md5: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GetGrant:
    """One permitted download and how it is to be answered."""

    key: str
    disposition: Disposition
    filename: str
    content_type: str
    expires_at: datetime


class DiskSigner:
    """Signs addresses below `base_url` and verifies them; all processes of an installation share `secret`."""

    def __init__(self, *, base_url: str, secret: bytes, clock: Clock) -> None:
        if len(secret) < SECRET_MIN_BYTES:
            raise ValueError(f"The signing secret needs at least {SECRET_MIN_BYTES} bytes.")
        self._base_url = base_url.rstrip("/")
        # The installation's secret serves other purposes too; a key of its own keeps the signatures apart.
        self._key = hmac.digest(secret, b"darkroom disk store addresses v1", "sha256")
        self._clock = clock

    def sign_put(
        self,
        key: str,
        *,
        content_type: str,
        byte_size: int,
        sha256: str | None,
        md5: str | None,
        expires_in: timedelta,
    ) -> SignedPut:
        check_private_key(key)
        check_content_type(content_type)
        _check_promise(byte_size, sha256, md5)
        expires = expiry(self._clock(), expires_in)
        params = {"expires": str(expires), "length": str(byte_size), "type": content_type}
        headers = {"Content-Type": content_type}
        if sha256 is not None:
            params["sha256"] = sha256
        if md5 is not None:
            params["md5"] = md5
            headers["Content-MD5"] = content_md5(md5)
        url = self._url("PUT", key, _canonical(_PUT_NAMES, params))
        return SignedPut(url=url, headers=headers, expires_at=_at(expires))

    def sign_get(
        self,
        key: str,
        *,
        disposition: Disposition,
        filename: str,
        content_type: str,
        expires_in: timedelta,
        method: GetMethod = "GET",
    ) -> SignedGet:
        check_private_key(key)
        check_content_type(content_type)
        check_filename(filename)
        expires = read_expiry(self._clock(), expires_in)
        params = {
            "expires": str(expires),
            "disposition": disposition.value,
            "type": content_type,
            "filename": filename,
        }
        url = self._url(method, key, _canonical(_GET_NAMES, params))
        return SignedGet(url=url, expires_at=_at(expires))

    def public_url(self, key: str) -> str:
        check_public_key(key)
        return f"{self._base_url}/{key}"

    def verify_put(self, key: str, query: str) -> PutGrant:
        """Return what `query` permits to PUT under `key`.

        Raises `SignatureInvalidError`, also for unknown, missing or repeated parameters, or
        `SignatureExpiredError`, which is told only to those who hold a true signature.
        """
        params = self._verify("PUT", key, query, _PUT_NAMES)
        return PutGrant(
            key=key,
            content_type=params["type"],
            byte_size=int(params["length"]),
            sha256=params.get("sha256"),
            md5=params.get("md5"),
            expires_at=_at(int(params["expires"])),
        )

    def verify_get(self, method: GetMethod, key: str, query: str) -> GetGrant:
        """Return what `query` permits to GET or HEAD under `key`; raises as `verify_put` does."""
        params = self._verify(method, key, query, _GET_NAMES)
        return GetGrant(
            key=key,
            disposition=Disposition(params["disposition"]),
            filename=params["filename"],
            content_type=params["type"],
            expires_at=_at(int(params["expires"])),
        )

    def seconds_left(self, expires_at: datetime) -> int:
        return max(0, int((expires_at - self._clock()).total_seconds()))

    def _url(self, method: str, key: str, canonical: str) -> str:
        return f"{self._base_url}/{key}?{canonical}&signature={self._signature(method, key, canonical)}"

    def _signature(self, method: str, key: str, canonical: str) -> str:
        # Line breaks can't occur in a key or, percent-encoded, in the query: no two requests share a message.
        message = f"{method}\n{key}\n{canonical}".encode(errors="replace")
        return base64.urlsafe_b64encode(hmac.digest(self._key, message, "sha256")).rstrip(b"=").decode()

    def _verify(self, method: str, key: str, query: str, names: tuple[str, ...]) -> dict[str, str]:
        params = _parse(query)
        given = params.pop("signature", "")
        if not params.keys() <= set(names) or not params.keys() >= set(names) - _PUT_OPTIONAL:
            raise SignatureInvalidError
        expected = self._signature(method, key, _canonical(names, params))
        if not hmac.compare_digest(given.encode(), expected.encode()):
            raise SignatureInvalidError
        if self._clock() >= _at(int(params["expires"])):
            raise SignatureExpiredError
        return params


def content_md5(md5: str) -> str:
    """Turn a hex MD5 into the base64 of a `Content-MD5` header (RFC 1864)."""
    return base64.b64encode(bytes.fromhex(md5)).decode()


def _check_promise(byte_size: int, sha256: str | None, md5: str | None) -> None:
    if byte_size < 0:
        raise ValueError("A size in bytes is not negative.")
    if sha256 is not None and not _IS_SHA256.fullmatch(sha256):
        raise ValueError("A SHA-256 is 64 lower-case hex digits.")
    if md5 is not None and not _IS_MD5.fullmatch(md5):
        raise ValueError("An MD5 is 32 lower-case hex digits.")


def _at(expires: int) -> datetime:
    return datetime.fromtimestamp(expires, UTC)


def _canonical(names: tuple[str, ...], params: dict[str, str]) -> str:
    return "&".join([f"{name}={_quoted(params[name])}" for name in names if name in params])


# A page of addresses shares expiry, types and, for the renditions of one media, the filename.
@lru_cache(maxsize=256)
def _quoted(value: str) -> str:
    return quote(value, safe="", errors="replace")


def _parse(query: str) -> dict[str, str]:
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
