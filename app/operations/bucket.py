"""`bucket init`: makes a bucket what Darkroom needs, and says of each thing what was done.

It can be run again: what is right is left alone, what others have set stays, and what the store does not know
is said to be its administrator's.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from app.object_store import s3_options
from app.operations import bucket_settings as wanted
from app.operations.errors import OperationError
from app.settings import Settings
from storage.errors import StorageError
from storage.s3 import open_s3_client
from storage.s3_errors import storage_error
from storage.s3_options import S3Options

_UNKNOWN = frozenset({"NotImplemented", "MethodNotAllowed", "501", "405", "UnsupportedOperation"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Aspect:
    """One thing about the bucket. `problem` is empty where it is right; `mend` is None where it can't be."""

    name: str
    is_so: str
    problem: str = ""
    mend: Callable[[], Awaitable[Any]] | None = None
    mended: str = ""


async def initialize(settings: Settings, *, only_check: bool) -> AsyncIterator[tuple[bool, str]]:
    """Set up the bucket; yields, for each thing, whether it is right now and a line that says so.

    What the store refuses is told in its line, and the next thing is seen to. With `only_check` nothing is
    changed. Raises OperationError where objects lie on disk, and where the store can't be asked.
    """
    async with opened_bucket(settings) as bucket:
        async for aspect in bucket.aspects():
            right, line = await _settled(bucket, aspect, only_check=only_check)
            yield right, line
            if aspect.name == "bucket" and not right:
                return  # there is nothing to look at in it


async def _settled(bucket: "Bucket", aspect: Aspect, *, only_check: bool) -> tuple[bool, str]:
    if not aspect.problem:
        return True, aspect.is_so
    if aspect.mend is None or only_check:
        return False, aspect.problem
    try:
        await bucket.told(aspect.mend())
    except OperationError as error:
        return False, f"{aspect.problem} {error}"
    return True, aspect.mended


@asynccontextmanager
async def opened_bucket(settings: Settings) -> AsyncIterator["Bucket"]:
    options = s3_options(settings)
    if options is None:
        raise OperationError(
            "The objects lie in the data directory: there is no bucket. Set DARKROOM_STORAGE_URL, as in "
            "s3://my-bucket, to keep them on S3."
        )
    try:
        async with open_s3_client(options) as (client, _):
            yield Bucket(client, options, settings)
    except StorageError as error:
        raise OperationError(str(error)) from None


class Bucket:
    """The bucket of the settings, as its owner sees it."""

    def __init__(self, client: Any, options: S3Options, settings: Settings) -> None:
        self._client = client
        self._options = options
        self._settings = settings
        self._name = options.bucket
        self._region: str = client.meta.region_name

    async def aspects(self) -> AsyncIterator[Aspect]:
        """Everything that must be so, in the order in which it can be mended; the next is looked at after.

        Raises OperationError where not even the bucket itself can be looked at.
        """
        yield await self._existence()
        access = [("public-access", self._public_access), ("policy", self._policy)]
        # A policy is refused as long as public policies are blocked, and is gone before they are.
        if self._settings.cdn_url is not None:
            access.reverse()
        for name, look in [*access, ("cors", self._cors), ("lifecycle", self._lifecycle)]:
            try:
                aspect = await look()
            except OperationError as error:
                aspect = Aspect(name=name, is_so="", problem=str(error))
            yield aspect

    async def told(self, work: Awaitable[Any]) -> Any:
        """The answer; raises OperationError with a sentence."""
        try:
            return await work
        except (ClientError, BotoCoreError, OSError) as error:
            endpoint = self._client.meta.endpoint_url
            found = storage_error(error, bucket=self._name, endpoint=endpoint)
            what = error.operation_name if isinstance(error, ClientError) else "The call"
            raise OperationError(f"{what} failed. {found}") from None

    async def _existence(self) -> Aspect:
        missing, _ = await self._look("head_bucket", {"404", "NoSuchBucket", "NotFound"})
        place = f"{self._name} at {self._client.meta.endpoint_url}"
        return Aspect(
            name="bucket",
            is_so=f"The bucket {self._name} is there.",
            problem=f"There is no bucket {place}." if missing else "",
            mend=self._create,
            mended=f"Created the bucket {place}.",
        )

    async def _create(self) -> None:
        where = {}
        if self._region != "us-east-1":  # which has no name there
            where["CreateBucketConfiguration"] = {"LocationConstraint": self._region}
        await self._client.create_bucket(Bucket=self._name, **where)

    async def _public_access(self) -> Aspect:
        need = wanted.public_access(self._settings)
        none, answer = await self._look("get_public_access_block", {"NoSuchPublicAccessBlockConfiguration"})
        if none is None:
            return self._unknown("public-access", "no block of public access")
        found = answer.get("PublicAccessBlockConfiguration", {})
        what = (
            "no ACL makes anything public, and a policy may"
            if self._settings.cdn_url is None
            else "nothing is public, whatever ACLs and policies say"
        )
        return Aspect(
            name="public-access",
            is_so=f"Public access: {what}.",
            problem=""
            if {name: bool(found.get(name)) for name in need} == need
            else f"Public access is not set so that {what}.",
            mend=lambda: self._client.put_public_access_block(
                Bucket=self._name, PublicAccessBlockConfiguration=need
            ),
            mended=f"Set public access: {what}.",
        )

    async def _policy(self) -> Aspect:
        none, answer = await self._look("get_bucket_policy", {"NoSuchBucketPolicy"})
        if none is None:
            return self._unknown("policy", "no bucket policies")
        policy = json.loads(answer["Policy"]) if answer.get("Policy") else {}
        place = {"bucket": self._name, "region": self._region}
        what = (
            "lets everybody read what lies beneath public/"
            if self._settings.cdn_url is None
            else "lets nobody read without a signature"
        )
        return Aspect(
            name="policy",
            is_so=f"The bucket's policy {what}.",
            problem=""
            if wanted.policy_is_right(policy, self._settings, **place)
            else f"It is not so that the bucket's policy {what}.",
            mend=lambda: self._set_policy(wanted.policy_document(policy, self._settings, **place)),
            mended=f"Set the bucket's policy: it {what}.",
        )

    async def _set_policy(self, document: str | None) -> None:
        if document is None:
            await self._client.delete_bucket_policy(Bucket=self._name)
        else:
            await self._client.put_bucket_policy(Bucket=self._name, Policy=document)

    async def _cors(self) -> Aspect:
        none, answer = await self._look("get_bucket_cors", {"NoSuchCORSConfiguration"})
        if none is None:
            return self._unknown("cors", "no CORS rules")
        rules, need = answer.get("CORSRules", []), wanted.origins(self._settings)
        listed = ", ".join(need)
        return Aspect(
            name="cors",
            is_so=f"CORS: pages of {listed} may send and fetch, and see ETag.",
            problem=""
            if wanted.cors_is_enough(rules, need)
            else f"CORS: not all pages of {listed} may send and fetch with every header, and see ETag.",
            mend=lambda: self._client.put_bucket_cors(
                Bucket=self._name, CORSConfiguration={"CORSRules": wanted.cors_rules(rules, need)}
            ),
            mended=f"Set CORS: pages of {listed} may send and fetch, and see ETag.",
        )

    async def _lifecycle(self) -> Aspect:
        none, answer = await self._look(
            "get_bucket_lifecycle_configuration", {"NoSuchLifecycleConfiguration"}
        )
        if none is None:
            return self._unknown("lifecycle", "no lifecycle rules")
        rules = answer.get("Rules", [])
        if wanted.aborts_too_early([rule for rule in rules if rule.get("ID") != wanted.LIFECYCLE_RULE]):
            return Aspect(
                name="lifecycle",
                is_so="",
                problem=f"A lifecycle rule of somebody else's aborts uploads before {wanted.STALE_DAYS} "
                "days have passed, and they may take one: change it.",
            )
        kept = {name: answer[name] for name in ("TransitionDefaultMinimumObjectSize",) if name in answer}
        return Aspect(
            name="lifecycle",
            is_so="Lifecycle: multipart uploads that nobody completes are aborted.",
            problem=""
            if wanted.aborts_stale(rules)
            else "Lifecycle: no rule aborts multipart uploads that nobody completes.",
            mend=lambda: self._client.put_bucket_lifecycle_configuration(
                Bucket=self._name,
                LifecycleConfiguration={"Rules": wanted.lifecycle_rules(rules)},
                **kept,
            ),
            mended=f"Set a lifecycle rule: multipart uploads are aborted after {wanted.STALE_DAYS} days.",
        )

    def _unknown(self, name: str, what: str) -> Aspect:
        return Aspect(
            name=name,
            is_so="",
            problem=f"This store knows {what}: see to it by its own means.",
        )

    async def _look(self, operation: str, none: set[str]) -> tuple[bool | None, dict[str, Any]]:
        """Whether there is none of it, and the answer; None where the store does not know such a thing."""
        try:
            return False, await getattr(self._client, operation)(Bucket=self._name)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in none:
                return True, {}
            if code in _UNKNOWN:
                return None, {}
            return False, await self.told(_raise(error))
        except (BotoCoreError, OSError) as error:
            return False, await self.told(_raise(error))


async def _raise(error: Exception) -> dict[str, Any]:
    raise error
