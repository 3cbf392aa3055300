"""What the doctor tries on a bucket, at the endpoint that clients are given and by signed addresses.

A few tiny objects are sent and read beneath `doctor/` and `public/`, and removed again: what a store enforces
can't be read anywhere.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from uuid import uuid4

import aiohttp
from yarl import URL

from app.operations.findings import Finding, ok, problem, warning
from app.operations.multipart_trial import MultipartTrial
from storage.errors import StorageError
from storage.keys import PUBLIC_PREFIX
from storage.objects import Disposition, SignedPut
from storage.s3 import S3Store, open_s3_store
from storage.s3_options import S3Options

LARGEST_SKEW = timedelta(seconds=60)

#: Each removal: there are five or so, and they must end before whoever waits for the doctor gives up.
REMOVAL_SECONDS = 4.0

_LIFETIME = timedelta(minutes=5)
_BODY = b"darkroom doctor"
_OTHER = b"darkroom docto?"
_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


class BucketTrial:
    """What a client does with signed addresses, and what somebody does who has none."""

    def __init__(
        self, store: S3Store, options: S3Options, http: aiohttp.ClientSession, *, behind_cdn: bool
    ) -> None:
        self._store = store
        self._options = options
        self._http = http
        self._behind_cdn = behind_cdn
        self._key = f"doctor/{uuid4().hex}"
        self._public_key = f"{PUBLIC_PREFIX}{self._key.replace('/', '-')}"
        self._multipart = MultipartTrial(store, f"{self._key}-parts", self._send_part)
        self.place = "/".join(self._put(self._key).url.split("/")[:3])

    async def run(self) -> AsyncIterator[Finding]:
        """What was found; raises what the HTTP client raises where clients can't reach the store."""
        signed = self._put(self._key)
        sent = await self._send(signed, _BODY)
        yield _clock(sent)
        if not sent.accepted:
            yield problem(
                "signed-addresses",
                f"A signed upload to {self.place} is refused with {sent.status}{_code(sent)}.",
                "Look at DARKROOM_S3_PUBLIC_ENDPOINT_URL and DARKROOM_S3_REGION, and at what stands between: "
                "a gateway has to pass the Host header on as it came.",
            )
            return
        yield await self._download()
        yield await self._second_upload(signed)
        yield await self._wrong_hash()
        for finding in await self._bad_addresses():
            yield finding
        async for finding in self._multipart.run():
            yield finding
        yield await self._stranger()
        if not self._behind_cdn:
            yield await self._public()

    async def clean_up(self) -> list[Finding]:
        """Remove what was made; a finding where the store does not let it be, or does not answer in time."""
        refusals: list[str] = []
        for remove in self._removals():
            try:
                async with asyncio.timeout(REMOVAL_SECONDS):
                    await remove()
            except StorageError as error:
                refusals.append(str(error))
            except TimeoutError:
                refusals.append(f"There was no answer within {REMOVAL_SECONDS:.0f} seconds.")
        return [_left(self._key, self._public_key, refusals[0])] if refusals else []

    def _removals(self) -> Iterator[Callable[[], Awaitable[None]]]:
        yield from self._multipart.removals()
        yield partial(self._store.delete, [self._key + end for end in ("", "-hash", "-old", "-altered")])
        yield partial(self._store.delete, [self._public_key])

    async def _download(self) -> Finding:
        signed = self._store.sign_get(
            self._key,
            disposition=Disposition.ATTACHMENT,
            filename="doctor.txt",
            content_type="text/plain",
            expires_in=_LIFETIME,
        )
        got = await self._ask("GET", signed.url)
        if got.status != 200 or got.body != _BODY:
            return problem(
                "signed-addresses",
                f"A signed address to read from {self.place} is answered with {got.status}{_code(got)}.",
                "Look at the gateway before the store, and at the bucket's policy.",
            )
        if not got.headers.get("content-disposition", "").startswith("attachment"):
            return problem(
                "signed-addresses",
                "The store answers with another Content-Disposition than the address says: what users "
                "uploaded could be shown as a page.",
                "Use a store that honours response-content-disposition.",
            )
        return ok("signed-addresses", f"Clients can send and read by signed addresses at {self.place}.")

    async def _second_upload(self, signed: SignedPut) -> Finding:
        if not self._options.conditional_writes:
            return ok(
                "overwriting",
                "Uploads go to a key of their own first (DARKROOM_S3_CONDITIONAL_WRITES=0): none overwrites.",
            )
        again = await self._send(signed, _BODY)
        if again.status == 412:
            return ok("overwriting", "A second upload by the same address is refused (If-None-Match).")
        return problem(
            "overwriting",
            f"A second upload by the same address is answered with {again.status} instead of 412: the store "
            "ignores If-None-Match, so an address could overwrite what was finalized.",
            "Set DARKROOM_S3_CONDITIONAL_WRITES=0.",
        )

    async def _wrong_hash(self) -> Finding:
        sent = await self._send(self._put(f"{self._key}-hash"), _OTHER)
        if not sent.accepted:
            return ok("hashes", "An upload with another SHA-256 than was signed is refused.")
        return warning(
            "hashes",
            "The store takes bytes whose SHA-256 is not the one that was signed.",
            "Broken uploads are found only when they are processed; another store would refuse them.",
        )

    async def _bad_addresses(self) -> list[Finding]:
        signed = self._put(f"{self._key}-altered")
        last = "0" if signed.url[-1] != "0" else "1"
        altered = await self._send(replace(signed, url=signed.url[:-1] + last), _BODY)
        async with open_s3_store(self._options, clock=_an_hour_ago) as earlier:
            expired = await self._send(_signed_by(earlier, f"{self._key}-old"), _BODY)
        bad = [
            what
            for what, answer in (("altered", altered), ("expired", expired))
            if answer.accepted or answer.status >= 500
        ]
        if not bad:
            return [ok("signatures", "Altered and expired addresses are refused.")]
        return [
            problem(
                "signatures",
                f"The store takes {' and '.join(bad)} addresses: whoever reaches it may write.",
                "It is a store for tests; use one that checks signatures.",
            )
        ]

    async def _stranger(self) -> Finding:
        got = await self._ask("GET", self._put(self._key).url.partition("?")[0])
        if got.status != 200:
            return ok("private", "What is private can't be read without a signature.")
        return problem(
            "private",
            "Everybody can read private objects, without a signature.",
            "./darkroom bucket init blocks it; where it did, the store does not heed that: use another.",
        )

    async def _public(self) -> Finding:
        try:
            await self._store.copy(self._key, self._public_key, content_type=_TYPE)
        except StorageError as error:
            return problem(
                "public",
                f"What is published can't be copied to where everybody reads it. {error}",
                "Look at the bucket's policy: what it demands of objects must hold beneath public/ too.",
            )
        got = await self._ask("GET", self._store.public_url(self._public_key))
        if got.status == 200 and got.body == _BODY:
            return ok("public", f"What is public can be read without a signature at {self.place}.")
        return problem(
            "public",
            f"What is public is answered with {got.status}{_code(got)} to whoever comes without a signature: "
            "nobody sees what is published.",
            "./darkroom bucket init lets everybody read it. Where it did, look whether the whole account "
            "blocks public access, and whether the bucket encrypts with aws:kms, which S3 decrypts for no "
            "stranger: set DARKROOM_S3_SSE then.",
        )

    def _put(self, key: str) -> SignedPut:
        return _signed_by(self._store, key)

    async def _send(self, signed: SignedPut, body: bytes) -> _Answer:
        return await self._ask("PUT", signed.url, headers=signed.headers, body=body)

    async def _send_part(self, signed: SignedPut, body: bytes) -> int:
        return (await self._send(signed, body)).status

    async def _ask(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> _Answer:
        async with self._http.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=["Content-Type"],
        ) as response:
            read = await response.content.read(64 * 1024)
            return _Answer(
                response.status, read, {name.lower(): text for name, text in response.headers.items()}
            )


def _signed_by(store: S3Store, key: str) -> SignedPut:
    return store.sign_put(
        key,
        content_type=_TYPE,
        byte_size=len(_BODY),
        sha256=hashlib.sha256(_BODY).hexdigest(),
        md5=None,
        expires_in=_LIFETIME,
    )


def _an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


def _left(key: str, public_key: str, refusal: str) -> Finding:
    return problem(
        "leftovers",
        "What was tried could not all be removed again: tiny objects whose keys begin with "
        f"{key} or {public_key} may stay. {refusal}",
        "Let the credentials delete objects and abort multipart uploads, without which Darkroom can't free "
        "room either, and remove these by the store's own means.",
    )


def _clock(answer: _Answer) -> Finding:
    try:
        skew = abs(parsedate_to_datetime(answer.headers.get("date", "")) - datetime.now(UTC))
    except (ValueError, TypeError):
        return warning("store-clock", "The store does not say what time it is.", "See that it is right.")
    seconds = round(skew.total_seconds())
    if skew > LARGEST_SKEW:
        return problem(
            "store-clock",
            f"The store's clock and ours differ by {seconds:,} s: addresses expire too early, or too late.",
            "Set both clocks, best by NTP.",
        )
    return ok("store-clock", f"The store's clock and ours differ by {seconds} s.")


def _code(answer: _Answer) -> str:
    """The store's own word for a refusal, if it is a plain one."""
    code = answer.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode(errors="replace")
    return f" ({code})" if code.isalnum() and len(code) <= 64 else ""
