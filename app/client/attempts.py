"""When bytes on their way between here and the object store are worth another attempt, either way."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import stamina

from app.client.errors import TransferRefusedError, UnreachableError

#: In a row without progress; about 40 seconds of waiting in all, however long the attempts themselves take.
ATTEMPTS = 9

#: Before the second attempt, doubled before each further one up to the longest.
_WAIT_SECONDS = (0.2, 10.0)

_CONNECT_SECONDS = 10

#: The address has expired, which a fresh one mends; once that is refused too, it is meant.
_FORBIDDEN = 403
_TEMPORARY = frozenset({408, 425, 429})


class InterruptedTransferError(Exception):
    """The bytes may get through with another attempt; says in words what happened."""


def attempts() -> AsyncIterable[stamina.Attempt]:
    """Try again after each InterruptedTransferError, which goes on after the last."""
    return stamina.retry_context(
        on=InterruptedTransferError,
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=_WAIT_SECONDS[0],
        wait_max=_WAIT_SECONDS[1],
    )


def may_pass(status: int, *, renewable: bool) -> bool:
    """Whether another attempt may end better; `renewable`: a fresh address has not been tried yet."""
    return status >= 500 or status in _TEMPORARY or (status == _FORBIDDEN and renewable)


def given_up(wanted: str, last: InterruptedTransferError, advice: str = "") -> UnreachableError:
    """`wanted`: what the bytes did not do, as in "come"; `advice`: a sentence."""
    said = f"The bytes did not {wanted} in {ATTEMPTS} attempts: {last}."
    return UnreachableError(f"{said} {advice}".rstrip())


def untrusted() -> TransferRefusedError:
    return TransferRefusedError("The object store's certificate is not trusted here.")


@asynccontextmanager
async def open_session(*, read_seconds: float | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """Bytes go as they are; `read_seconds` without one end an attempt."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=read_seconds)
    async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
        yield session
