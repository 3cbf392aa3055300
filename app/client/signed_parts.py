"""Addresses for the parts of one upload: asked for a few at a time, shortly before they are needed."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence

from app.client.errors import TransferRefusedError
from app.client.media import UserError
from app.client.store_refusals import UploadGoneError
from app.client.targets import Target

#: An address lives for five minutes; one that waited this long is better asked for again.
_FRESH_SECONDS = 120.0

#: At first so few that a slow line uses them in time; twice as many whenever those were used quickly, up to
#: what one call may ask for.
_FEW, _MOST = 16, 100
_QUICK_SECONDS = 15.0

#: What the service answers for an upload that takes no more parts.
_ENDED = frozenset({"CONFLICT", "UPLOAD_EXPIRED", "NOT_FOUND"})

#: Signs parts of the upload with this id.
SignParts = Callable[[str, Sequence[int]], Awaitable[dict[int, Target] | list[UserError]]]


def is_fresh(target: Target) -> bool:
    return time.monotonic() - target.received_at <= _FRESH_SECONDS


class SignedParts:
    """`numbers` in the order in which they will be taken."""

    def __init__(self, sign: SignParts, upload_id: str, numbers: Sequence[int]) -> None:
        self._sign = sign
        self._upload_id = upload_id
        self._numbers = numbers
        self._places = {number: place for place, number in enumerate(numbers)}
        self._signed: dict[int, Target] = {}
        self._signing = asyncio.Lock()
        self._at_once, self._signed_at = _FEW, -math.inf

    async def take(self, number: int, *, renew: bool) -> Target:
        """With `renew` one that was signed after the call.

        Raises UploadGoneError when the service says that the upload has ended, TransferRefusedError when it
        refuses to sign for another reason, and what `sign` raises.
        """
        async with self._signing:
            signed = self._signed.pop(number, None)
            if signed is None or renew or not is_fresh(signed):
                await self._sign_from(number, alone=renew)
                signed = self._signed.pop(number)
        return signed

    async def _sign_from(self, number: int, *, alone: bool) -> None:
        place = self._places[number]
        count = 1 if alone else self._next_count()
        answer = await self._sign(self._upload_id, self._numbers[place : place + count])
        if isinstance(answer, dict):
            self._signed.update(answer)
            if not alone:
                self._at_once, self._signed_at = count, time.monotonic()
            return
        said = " ".join(error.message for error in answer)
        if any(error.code in _ENDED for error in answer):
            raise UploadGoneError(said)
        raise TransferRefusedError(said)

    def _next_count(self) -> int:
        quick = time.monotonic() - self._signed_at < _QUICK_SECONDS
        return min(2 * self._at_once, _MOST) if quick else _FEW
