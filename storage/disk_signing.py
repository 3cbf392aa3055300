"""Signed addresses of whole objects on the disk store: who may send or get which bytes, until when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from storage.disk_part_signing import MultipartSigner
from storage.disk_signatures import AddressSigner, Clock, moment
from storage.keys import check_private_key, check_public_key
from storage.lifetimes import expiry, read_expiry
from storage.objects import Disposition, SignedGet, SignedPut
from storage.promises import check_promise, hex_to_base64
from storage.response_headers import check_content_type, check_filename

_PUT_NAMES = ("expires", "length", "type", "sha256", "md5")
_PUT_OPTIONAL = frozenset({"sha256", "md5"})
_GET_NAMES = ("expires", "disposition", "type", "filename")

GetMethod = Literal["GET", "HEAD"]


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
    """Signs addresses below `base_url` and verifies them; `multipart` does so for multipart uploads."""

    def __init__(self, *, base_url: str, secret: bytes, clock: Clock) -> None:
        self._addresses = AddressSigner(base_url=base_url, secret=secret, clock=clock)
        self.multipart = MultipartSigner(self._addresses)

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
        check_promise(byte_size, sha256, md5)
        expires = expiry(self._addresses.clock(), expires_in)
        params = {"expires": str(expires), "length": str(byte_size), "type": content_type}
        headers = {"Content-Type": content_type}
        if sha256 is not None:
            params["sha256"] = sha256
        if md5 is not None:
            params["md5"] = md5
            headers["Content-MD5"] = hex_to_base64(md5)
        url = self._addresses.url("PUT", key, _PUT_NAMES, params)
        return SignedPut(url=url, headers=headers, expires_at=moment(expires))

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
        expires = read_expiry(self._addresses.clock(), expires_in)
        params = {
            "expires": str(expires),
            "disposition": disposition.value,
            "type": content_type,
            "filename": filename,
        }
        url = self._addresses.url(method, key, _GET_NAMES, params)
        return SignedGet(url=url, expires_at=moment(expires))

    def public_url(self, key: str) -> str:
        check_public_key(key)
        return self.location(key)

    def location(self, key: str) -> str:
        """Return where the object is: no address yet, for that takes a signature."""
        return f"{self._addresses.base_url}/{key}"

    def verify_put(self, key: str, query: str) -> PutGrant:
        """Return what `query` permits to PUT under `key`; raises as `AddressSigner.verify` does."""
        params = self._addresses.verify("PUT", key, query, _PUT_NAMES, _PUT_OPTIONAL)
        return PutGrant(
            key=key,
            content_type=params["type"],
            byte_size=int(params["length"]),
            sha256=params.get("sha256"),
            md5=params.get("md5"),
            expires_at=moment(int(params["expires"])),
        )

    def verify_get(self, method: GetMethod, key: str, query: str) -> GetGrant:
        """Return what `query` permits to GET or HEAD under `key`; raises as `AddressSigner.verify` does."""
        params = self._addresses.verify(method, key, query, _GET_NAMES)
        return GetGrant(
            key=key,
            disposition=Disposition(params["disposition"]),
            filename=params["filename"],
            content_type=params["type"],
            expires_at=moment(int(params["expires"])),
        )

    def seconds_left(self, expires_at: datetime) -> int:
        return max(0, int((expires_at - self._addresses.clock()).total_seconds()))
