"""Where stored bytes are read from: the store itself, or a network before it."""

from datetime import timedelta
from typing import Protocol

from storage.objects import Disposition, SignedGet


class ReadAddresses(Protocol):
    """The part of `ObjectStore` that hands out addresses to read from; every store is one."""

    def sign_get(
        self,
        key: str,
        *,
        disposition: Disposition,
        filename: str,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedGet:
        """As `ObjectStore.sign_get`: touches neither network nor disk."""
        ...

    def public_url(self, key: str) -> str:
        """As `ObjectStore.public_url`: touches neither network nor disk."""
        ...
