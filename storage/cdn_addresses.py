"""Addresses to read from through a content delivery network before the store.

The network is told by its operator: beneath `public/` everybody may read, everywhere else only whoever has an
address signed by the key pair; the query parameters `response-…` go on to the store, and belong to the key
under which an answer is kept. Without the last, one address could be answered with another's disposition.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

from storage.cdn_signing import CdnSigner
from storage.keys import check_private_key, check_public_key
from storage.lifetimes import read_expiry
from storage.objects import Disposition, SignedGet
from storage.read_addresses import ReadAddresses
from storage.response_headers import response_overrides


@dataclass(frozen=True, slots=True, kw_only=True)
class CdnAddresses:
    """`base_url` has no slash at its end; without a `signer`, what is private is read from `store` itself."""

    base_url: str
    store: ReadAddresses
    signer: CdnSigner | None
    clock: Callable[[], datetime]

    def sign_get(
        self,
        key: str,
        *,
        disposition: Disposition,
        filename: str,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedGet:
        if self.signer is None:
            return self.store.sign_get(
                key,
                disposition=disposition,
                filename=filename,
                content_type=content_type,
                expires_in=expires_in,
            )
        check_private_key(key)
        overrides = response_overrides(
            disposition=disposition, filename=filename, content_type=content_type, expires_in=expires_in
        )
        expires = read_expiry(self.clock(), expires_in)
        address = f"{self.base_url}/{key}?{urlencode(overrides, safe='', quote_via=quote)}"
        url = self.signer.sign(address, expires=expires)
        return SignedGet(url=url, expires_at=datetime.fromtimestamp(expires, UTC))

    def public_url(self, key: str) -> str:
        check_public_key(key)
        return f"{self.base_url}/{key}"
