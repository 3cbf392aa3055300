"""What the settings say of a content delivery network before the store, as the objects that speak of it."""

from datetime import UTC, datetime

from app.operations.errors import OperationError
from app.purge_hook import PurgeHook
from app.settings import Settings
from services.cdn import Cdn, NoCdn
from storage.cdn_addresses import CdnAddresses
from storage.cdn_signing import CdnSigner, HashAlgorithm, load_private_key
from storage.disk import DiskStore
from storage.read_addresses import ReadAddresses


def read_addresses(settings: Settings, store: ReadAddresses) -> ReadAddresses:
    """Where stored bytes are read from: the network before `store` if there is one, else the store itself.

    Raises OperationError for a key that can't be used, and for a key pair before the disk store.
    """
    if settings.cdn_url is None:
        return store
    signer = _signer(settings)
    if signer is not None and isinstance(store, DiskStore):
        raise OperationError(
            "DARKROOM_CDN_KEY_PAIR_ID needs objects on S3: the disk store checks signatures of its own and "
            "would refuse what the network signed for. Without a key pair the network serves what is public."
        )
    return CdnAddresses(
        base_url=settings.cdn_url, store=store, signer=signer, clock=lambda: datetime.now(UTC)
    )


def purged_cdn(settings: Settings) -> Cdn:
    """Whom to ask to forget what is public no longer."""
    if settings.cdn_url is None or settings.cdn_purge_url is None:
        return NoCdn()
    return PurgeHook(
        hook_url=settings.cdn_purge_url, token=settings.cdn_purge_token, base_url=settings.cdn_url
    )


def _signer(settings: Settings) -> CdnSigner | None:
    if settings.cdn_key_pair_id is None:
        return None
    name, pem = _private_key(settings)
    try:
        return CdnSigner(
            key_pair_id=settings.cdn_key_pair_id,
            private_key=load_private_key(pem),
            hash_algorithm=HashAlgorithm(settings.cdn_hash_algorithm),
        )
    except ValueError as error:
        raise OperationError(f"{name}: {error}") from None


def _private_key(settings: Settings) -> tuple[str, bytes]:
    """The setting that names the key, and its PEM."""
    if settings.cdn_private_key is not None:
        # A variable that can't hold line breaks has them as `\\n`, which no PEM contains otherwise.
        pem = settings.cdn_private_key.get_secret_value().replace("\\n", "\n")
        return "DARKROOM_CDN_PRIVATE_KEY", pem.encode()
    name, path = "DARKROOM_CDN_PRIVATE_KEY_FILE", settings.cdn_private_key_file
    assert path is not None  # the settings refuse a key pair id without a key
    try:
        return name, path.read_bytes()
    except OSError as error:
        raise OperationError(f"{name}: {path} can't be read: {error.strerror}.") from None
