"""The identity that addresses are signed with. Signing can't wait, so it is renewed before it expires.

A role's credentials live for hours at most, and so does every address that was signed with them, whatever is
asked for: `KeptCredentials` tells until when, and the signer shortens the address and says so in
`expires_at`. Once they have expired nothing is signed any more (`StorageUnavailableError`) until they can be
renewed.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import structlog

from storage.errors import StorageUnavailableError
from storage.sigv4 import Credentials

log = structlog.get_logger()

#: The client library renews 15 minutes before the end; we look this often whether it is time.
RENEW_EVERY = timedelta(seconds=60)


class KeptCredentials:
    """`source` is the client library's own object, so that both renew at once."""

    def __init__(self, source: Any, clock: Callable[[], datetime]) -> None:
        self._source = source
        self._clock = clock
        self._credentials: Credentials | None = None
        self._expires_at: datetime | None = None

    async def renew(self) -> None:
        """Take over what the source has now; raises what it raises."""
        frozen = await self._source.get_frozen_credentials()
        found = Credentials(
            access_key=frozen.access_key, secret_key=frozen.secret_key, session_token=frozen.token
        )
        if found != self._credentials:
            self._credentials = found
        # Not in the library's public face, and nothing else tells it.
        self._expires_at = getattr(self._source, "_expiry_time", None)

    def current(self) -> tuple[Credentials, datetime | None]:
        """The identity to sign with, and when it ends, if it does."""
        if self._credentials is None or (self._expires_at is not None and self._clock() >= self._expires_at):
            raise StorageUnavailableError(
                "The credentials for the object store have expired and were not renewed: nothing is signed."
            )
        return self._credentials, self._expires_at

    async def keep_renewing(self) -> None:
        """Run beside the store for as long as it is used; what never expires ends this at once."""
        while self._expires_at is not None:
            await asyncio.sleep(RENEW_EVERY.total_seconds())
            try:
                await self.renew()
            except Exception as error:
                # Until they expire the old ones are good; whoever signs after that is told.
                log.warning("s3_credentials_not_renewed", error=type(error).__name__)
