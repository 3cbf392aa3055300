"""The part of the disk store that signs: see `ObjectStore` for every method."""

from datetime import timedelta

from storage.disk_signing import DiskSigner
from storage.objects import Disposition, MultipartRequest, SignedGet, SignedPut, SignedRequest


class DiskAddresses:
    """What `DiskStore` signs; whoever serves the store verifies by `signer`."""

    def __init__(self, signer: DiskSigner) -> None:
        self.signer = signer

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
        return self.signer.sign_put(
            key,
            content_type=content_type,
            byte_size=byte_size,
            sha256=sha256,
            md5=md5,
            expires_in=expires_in,
        )

    def sign_get(
        self,
        key: str,
        *,
        disposition: Disposition,
        filename: str,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedGet:
        return self.signer.sign_get(
            key,
            disposition=disposition,
            filename=filename,
            content_type=content_type,
            expires_in=expires_in,
        )

    def public_url(self, key: str) -> str:
        return self.signer.public_url(key)

    def sign_part(
        self,
        key: str,
        upload_id: str,
        number: int,
        *,
        byte_size: int,
        sha256: str | None,
        expires_in: timedelta,
    ) -> SignedPut:
        return self.signer.multipart.sign_part(
            key, upload_id, number, byte_size=byte_size, sha256=sha256, expires_in=expires_in
        )

    def sign_multipart_request(
        self,
        request: MultipartRequest,
        key: str,
        *,
        upload_id: str | None,
        content_type: str,
        expires_in: timedelta,
    ) -> SignedRequest:
        return self.signer.multipart.sign_request(
            request, key, upload_id=upload_id, content_type=content_type, expires_in=expires_in
        )
