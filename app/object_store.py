"""The object store that the settings choose: a directory, or a bucket of S3."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from app.operations.errors import OperationError
from app.settings import Settings
from storage.disk import DiskStore
from storage.errors import StorageUnavailableError
from storage.s3 import S3Store, open_s3_store
from storage.s3_options import S3Options


@asynccontextmanager
async def open_store(settings: Settings, secret: bytes) -> AsyncIterator[DiskStore | S3Store]:
    """The store, for as long as the block lasts; S3 is not called before it is used.

    Raises OperationError where there are no credentials for the bucket.
    """
    options = s3_options(settings)
    if options is None:
        store = DiskStore(settings.data_dir / "objects", base_url=f"{settings.origin}/objects", secret=secret)
        await store.sweep_incoming()
        yield store
        return
    async with AsyncExitStack() as stack:
        try:
            bucket = await stack.enter_async_context(open_s3_store(options))
        except StorageUnavailableError as error:
            raise OperationError(str(error)) from None
        yield bucket


def s3_options(settings: Settings) -> S3Options | None:
    """What the settings say of the bucket; None where objects lie in the data directory."""
    if settings.bucket is None:
        return None
    secret = settings.s3_secret_access_key
    return S3Options(
        bucket=settings.bucket,
        endpoint_url=settings.s3_endpoint_url,
        public_endpoint_url=settings.s3_public_endpoint_url,
        region=settings.s3_region,
        path_style=settings.s3_path_style,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=None if secret is None else secret.get_secret_value(),
        encryption=settings.s3_sse,
        kms_key_id=settings.s3_sse_kms_key_id,
        conditional_writes=settings.s3_conditional_writes,
        connect_timeout=timedelta(seconds=settings.s3_connect_timeout),
        read_timeout=timedelta(seconds=settings.s3_read_timeout),
    )
