"""AWS Signature Version 4 in the query: presigned requests to S3, equal to botocore's byte for byte.

Pure: no network, no disk, no SDK. A presigned address is a bearer credential: never log its query string.

Covered is whatever S3 lets one sign with an unsigned payload: any method, query parameters, headers and
session tokens. Not covered: payload hashes, other ways to sign (headers, forms, SigV4A), access points.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from urllib.parse import quote, urlsplit

from storage.lifetimes import LONGEST_LIFETIME

_LONGEST_SECONDS = int(LONGEST_LIFETIME.total_seconds())

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NOTHING: Mapping[str, str] = MappingProxyType({})

# What a key of ours consists of, and what SigV4 leaves as it is: the quick way for nearly all of them.
_NEEDS_QUOTING = re.compile(r"[^A-Za-z0-9._~/-]")

# `quote` for one value takes twice as long.
_QUOTED_BYTES = tuple(quote(bytes([byte]), safe="") for byte in range(256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """One identity; `session_token` belongs to temporary ones and stands in every address."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketAddress:
    """Where the objects of one bucket are, derived once for each store.

    `origin` and `path` stand before the key in every address, `host` is what clients send as their header.
    """

    origin: str
    host: str
    path: str

    @classmethod
    def path_style(cls, endpoint: str, bucket: str) -> "BucketAddress":
        """`https://endpoint[:port][/base]/bucket/key`; raises ValueError for what is no endpoint."""
        scheme, authority, base = _endpoint(endpoint)
        return cls._of(scheme, authority, f"{base}/{quote(bucket, safe='')}/")

    @classmethod
    def virtual_host(cls, endpoint: str, bucket: str) -> "BucketAddress":
        """`https://bucket.endpoint[:port][/base]/key`: the endpoint needs a name, and the bucket must fit in.

        Raises ValueError for what is no endpoint.
        """
        scheme, authority, base = _endpoint(endpoint)
        return cls._of(scheme, f"{bucket}.{authority}", f"{base}/")

    @classmethod
    def _of(cls, scheme: str, authority: str, path: str) -> "BucketAddress":
        origin = f"{scheme}://{authority}"
        return cls(origin=origin, host=_host_header(origin), path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stamp:
    """What all addresses signed by one identity in one second share."""

    second: int
    day: str
    credentials: Credentials
    signing_key: bytes = field(repr=False)
    string_to_sign: bytes
    query: str
    token: str = field(repr=False)


class QuerySigner:
    """Presigns requests by `credentials` for one region; what does not change from one to the next is kept.

    `clock` tells the time with its zone. May be shared by threads: at worst two of them derive one key twice.
    """

    def __init__(self, *, region: str, clock: Callable[[], datetime], service: str = "s3") -> None:
        self._region = region
        self._service = service
        self._clock = clock
        self._last: _Stamp | None = None

    def presign(
        self,
        method: str,
        address: BucketAddress,
        key: str,
        *,
        credentials: Credentials,
        expires_in: int,
        query: Mapping[str, str] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        at: datetime | None = None,
    ) -> str:
        """Return the address at which `method` may be used on `key` for `expires_in` seconds, at most 7 days.

        `query` are S3's parameters (`uploadId`, `response-content-type`; a name without value has an empty
        one: `uploads`), kept in the order given, names beginning with a lower-case letter. `headers` must be
        sent exactly as signed, names in lower case; `host` is signed always. The lifetime begins `at` that
        time instead of now: whoever rounds it gets the same address again.

        Raises ValueError for an empty key, a lifetime out of bounds, a time without zone, or such names.
        Keys are signed as they are: that HTTP clients resolve `.` and `..` is theirs.
        """
        if not key:
            raise ValueError("An address is signed for a key of at least one character.")
        if not 0 < expires_in <= _LONGEST_SECONDS:
            raise ValueError(f"An address lives 1 to {_LONGEST_SECONDS} seconds.")
        stamp = self._stamp(credentials, self._clock() if at is None else at)
        path = address.path + (quote(key) if _NEEDS_QUOTING.search(key) else key)
        if headers:
            names, header_lines = _canonical_headers(address.host, headers)
        else:
            names, header_lines = "host", f"host:{address.host}\n"
        signed_names = f"&X-Amz-SignedHeaders={names.replace(';', '%3B')}"
        begin = f"{stamp.query}{expires_in}"
        # By name, the token comes before the signed headers; in the address botocore puts it behind them.
        canonical, given = f"{begin}{stamp.token}{signed_names}", f"{begin}{signed_names}{stamp.token}"
        if query:
            parameters, in_order = _parameters(tuple(query.items()))
            given, canonical = f"{parameters}&{given}", f"{canonical}&{in_order}"
        request = f"{method}\n{path}\n{canonical}\n{header_lines}\n{names}\nUNSIGNED-PAYLOAD"
        message = stamp.string_to_sign + sha256(request.encode()).hexdigest().encode()
        signature = hmac.digest(stamp.signing_key, message, "sha256").hex()
        return f"{address.origin}{path}?{given}&X-Amz-Signature={signature}"

    def _stamp(self, credentials: Credentials, at: datetime) -> _Stamp:
        if at.tzinfo is None:
            raise ValueError("An address is signed at a time with its zone.")
        last, second = self._last, int(at.timestamp())
        if last is not None and last.credentials is not credentials and last.credentials != credentials:
            last = None
        if last is None or last.second != second:
            self._last = last = self._new_stamp(credentials, second, last)
        return last

    def _new_stamp(self, credentials: Credentials, second: int, last: _Stamp | None) -> _Stamp:
        """`last` was signed by the same credentials: its key holds for its day."""
        time = datetime.fromtimestamp(second, UTC).strftime("%Y%m%dT%H%M%SZ")
        day = time[:8]
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        token = credentials.session_token
        return _Stamp(
            second=second,
            day=day,
            credentials=credentials,
            signing_key=last.signing_key if last and last.day == day else self._derive(credentials, day),
            string_to_sign=f"AWS4-HMAC-SHA256\n{time}\n{scope}\n".encode(),
            query="X-Amz-Algorithm=AWS4-HMAC-SHA256"
            f"&X-Amz-Credential={quote(f'{credentials.access_key}/{scope}', safe='')}"
            f"&X-Amz-Date={time}&X-Amz-Expires=",
            token="" if token is None else f"&X-Amz-Security-Token={quote(token, safe='')}",
        )

    def _derive(self, credentials: Credentials, day: str) -> bytes:
        key = f"AWS4{credentials.secret_key}".encode()
        for part in (day, self._region, self._service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


def _endpoint(endpoint: str) -> tuple[str, str, str]:
    """Scheme, authority as it is written, and the path without a slash at its end."""
    parts = urlsplit(endpoint)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        raise ValueError("An S3 endpoint looks like https://s3.example.com.")
    if parts.query or parts.fragment:
        raise ValueError("An S3 endpoint has neither query nor fragment.")
    return parts.scheme, parts.netloc, parts.path.rstrip("/")


def _host_header(origin: str) -> str:
    """As HTTP clients send it: lower case, without the scheme's own port."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    has_port = parts.port is not None and parts.port != _DEFAULT_PORTS[parts.scheme]
    return f"{host}:{parts.port}" if has_port else host


def _canonical_headers(host: str, headers: Mapping[str, str]) -> tuple[str, str]:
    """The names, and a line for each with its blanks collapsed: no value can begin a line of its own."""
    lines = sorted([("host", host), *headers.items()])
    names = ";".join([name for name, _ in lines])
    if len(dict(lines)) != len(lines) or not names.islower():
        raise ValueError("The names of signed headers are in lower case, and host is signed anyway.")
    return names, "".join([f"{name}:{' '.join(value.split())}\n" for name, value in lines])


# The renditions on a page have all parameters in common; originals have their filename alone.
@lru_cache(maxsize=256)
def _parameters(query: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """The parameters as they stand in the address, and in the canonical order, by their quoted names."""
    pairs = [(_quoted(name), _quoted(value)) for name, value in query]
    in_order = sorted(pairs)
    # Upper-case letters come first in that order, so ours stand behind all of `X-Amz-…`.
    if not in_order[0][0][:1].islower():
        raise ValueError("The names of query parameters begin with a lower-case letter.")
    given = _joined(pairs)
    return given, given if pairs == in_order else _joined(in_order)


def _joined(pairs: list[tuple[str, str]]) -> str:
    return "&".join([f"{name}={value}" for name, value in pairs])


@lru_cache(maxsize=256)
def _quoted(value: str) -> str:
    return "".join([_QUOTED_BYTES[byte] for byte in value.encode()])
