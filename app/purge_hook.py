"""The hook by which a content delivery network is asked to forget what is public no longer."""

from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from pydantic import SecretStr

#: For the whole of a request: the publication's row is locked meanwhile.
TIMEOUT_SECONDS = 10.0


class PurgeError(Exception):
    """The purge hook could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeHook:
    """POSTs `{"address": "<cdn>/public/<random>"}`, which means: forget everything beneath that address.

    Whoever stands behind the hook turns this into a request that their network knows: for CloudFront into an
    invalidation of `/public/<random>/*`. Any status of 200 to 299 means that it was accepted.
    """

    hook_url: str
    token: SecretStr | None
    base_url: str
    timeout_seconds: float = TIMEOUT_SECONDS

    async def purge(self, prefix: str) -> None:
        """Raises PurgeError where the hook answers otherwise, redirects, or does not answer in time.

        What it says stays unread, and neither its address nor the token is in the error.
        """
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    self.hook_url,
                    json={"address": f"{self.base_url}/{prefix}"},
                    headers=headers,
                    allow_redirects=False,
                ) as response,
            ):
                status = response.status
        except TimeoutError:
            raise PurgeError(f"The purge hook did not answer within {self.timeout_seconds:g} s.") from None
        except (aiohttp.ClientError, OSError) as error:
            raise PurgeError(f"The purge hook could not be reached: {type(error).__name__}.") from None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise PurgeError(f"The purge hook answered {status}; it is asked again.")
