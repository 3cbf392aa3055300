"""Cursors of lists: where a page ended, bound to whose list it was and how it was filtered.

A cursor is a claim like everything else that a client sends, so it is authenticated: one that was altered,
or taken from another list, is refused with a sentence instead of giving a wrong page.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

from services.errors import InvalidInput

_MAC_BYTES = 16
_PURPOSE = b"darkroom page cursor 1"


@dataclass(frozen=True, slots=True)
class PageCursors:
    """`secret` is the installation's: every process reads what any other wrote."""

    secret: bytes = field(repr=False)

    def encode(self, scope: str, position: bytes) -> str:
        """`scope` names the list: its owner, order and filter."""
        return urlsafe_b64encode(self._mac(scope, position) + position).decode().rstrip("=")

    def decode(self, scope: str, cursor: str, name: str = "after") -> bytes:
        """The position. Raises InvalidInput naming `name` unless the list `scope` gave the cursor out."""
        try:
            raw = urlsafe_b64decode(cursor.encode("ascii") + b"==")
        except ValueError:
            raw = b""
        # Python's decoder skips what it doesn't know: only the text that we would write is one of ours.
        if urlsafe_b64encode(raw).decode().rstrip("=") != cursor:
            raw = b""
        mac, position = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(scope, position)):
            raise InvalidInput(
                f"{name} is not a cursor of this list: pass one that it gave, with the same filter and "
                "order.",
                name,
            )
        return position

    def _mac(self, scope: str, position: bytes) -> bytes:
        key = hmac.digest(self.secret, _PURPOSE, "sha256")
        return hmac.digest(key, len(scope).to_bytes(4, "big") + scope.encode() + position, "sha256")[
            :_MAC_BYTES
        ]
