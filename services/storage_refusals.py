"""The object store's outage, in words for clients."""

from collections.abc import Iterator
from contextlib import contextmanager

from services.errors import StorageUnavailable
from storage.errors import StorageUnavailableError


@contextmanager
def storage_refusals() -> Iterator[None]:
    """Turn the store's outage into what a client can be told."""
    try:
        yield
    except StorageUnavailableError as error:
        raise StorageUnavailable("The object store does not answer: try again later.") from error
