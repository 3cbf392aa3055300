"""Live cursors: a place in the log that only we can have written.

The text is base64url, unpadded, of epoch (16 bytes), position (8 bytes, big-endian) and the first 16 bytes
of an HMAC-SHA256 over both.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from uuid import UUID

from db.events import LogPosition
from services.errors import InvalidInput

_EPOCH_BYTES = 16
_POSITION_BYTES = 8
_MAC_BYTES = 16
_PURPOSE = b"darkroom live cursor 1"


@dataclass(frozen=True, slots=True)
class LiveCursors:
    """`secret` is the installation's: every process reads what any other wrote."""

    secret: bytes = field(repr=False)

    def encode(self, place: LogPosition) -> str:
        body = place.epoch.bytes + place.position.to_bytes(_POSITION_BYTES, "big")
        return urlsafe_b64encode(body + self._mac(body)).rstrip(b"=").decode("ascii")

    def decode(self, cursor: str, *, epoch: UUID) -> LogPosition | None:
        """The place a cursor names in the log of `epoch`; None when it is a cursor of another log.

        Another log's secret may be gone, so its cursors can't be verified, and needn't be: nothing is read
        by them. Raises InvalidInput for what was never a cursor or has been altered.
        """
        raw = _from_base64(cursor)
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        place = LogPosition(
            epoch=UUID(bytes=body[:_EPOCH_BYTES]), position=int.from_bytes(body[_EPOCH_BYTES:], "big")
        )
        if place.epoch != epoch:
            return None
        if not hmac.compare_digest(mac, self._mac(body)):
            raise _invalid()
        return place

    def _mac(self, body: bytes) -> bytes:
        key = hmac.digest(self.secret, _PURPOSE, "sha256")
        return hmac.digest(key, body, "sha256")[:_MAC_BYTES]


def _from_base64(cursor: str) -> bytes:
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"==")
    except ValueError:
        raise _invalid() from None
    # Python's decoder skips what it doesn't know: only the text that we would write is one of ours.
    canonical = urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") == cursor
    if not canonical or len(raw) != _EPOCH_BYTES + _POSITION_BYTES + _MAC_BYTES:
        raise _invalid()
    return raw


def _invalid() -> InvalidInput:
    return InvalidInput(
        "`after` is not a cursor of this stream: give back one it sent, or leave it out.", "after"
    )
