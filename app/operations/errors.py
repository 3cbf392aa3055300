"""How an operation fails: with a sentence for the person who asked for it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class OperationError(Exception):
    """The operation could not be done; nothing half-done is left. The message is a sentence."""


@contextmanager
def told_as_sentence(what: str, place: Path) -> Iterator[None]:
    """Turn an OSError into what failed, where, and why."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise OperationError(f"{what} in {place} failed: there is no room. Nothing was kept.") from None
        raise OperationError(f"{what} in {place} failed: {error.strerror or error}.") from None
