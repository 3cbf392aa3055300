"""Addresses from which stored bytes can be read, signed or public: the store's, or a network's before it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from db.models import Blob, Media, Publication, Rendition
from services.errors import InvalidInput
from services.keys import public_key
from services.storage_refusals import storage_refusals
from storage.objects import Disposition, SignedGet
from storage.read_addresses import ReadAddresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`expires_at` is None for a public one: it works until the media is unpublished."""

    url: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    addresses: ReadAddresses
    address_lifetime: timedelta

    def original(self, media: Media, blob: Blob, disposition: Disposition) -> SignedGet | None:
        """The bytes as they came; None before an upload was finalized and once they were given up.

        They are untrusted for as long as they live, so they are never shown inline (InvalidInput). Raises
        StorageUnavailable where nothing can be signed now.
        """
        if disposition is Disposition.INLINE:
            raise InvalidInput(
                "disposition INLINE is refused for an original: only renditions are shown inline.",
                "disposition",
            )
        if blob.etag is None or media.held_bytes == 0:
            return None
        return self._sign(
            blob.key,
            disposition,
            filename=media.filename,
            content_type=media.detected_mime_type or "application/octet-stream",
        )

    def rendition(self, rendition: Rendition, publication: Publication | None) -> Address:
        """The public address once all copies of the media that shows it are there, else a signed one.

        Raises StorageUnavailable where nothing can be signed now; a public address takes no signature.
        """
        if publication is not None:
            key = public_key(publication.prefix, rendition.key)
            return Address(url=self.addresses.public_url(key), expires_at=None)
        signed = self._sign(
            rendition.key,
            Disposition.INLINE,
            filename=rendition.key.rpartition("/")[2],
            content_type=rendition.mime_type,
        )
        return Address(url=signed.url, expires_at=signed.expires_at)

    def _sign(self, key: str, disposition: Disposition, *, filename: str, content_type: str) -> SignedGet:
        with storage_refusals():
            return self.addresses.sign_get(
                key,
                disposition=disposition,
                filename=filename,
                content_type=content_type,
                expires_in=self.address_lifetime,
            )
