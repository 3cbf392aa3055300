"""The bucket, where objects lie on S3: reached, used as clients use it, and set to what it must be."""

import asyncio

import aiohttp

from app.object_store import s3_options
from app.operations.bucket import opened_bucket
from app.operations.bucket_trial import BucketTrial
from app.operations.errors import OperationError
from app.operations.findings import Finding, ok, problem, warning
from app.settings import Settings
from storage.errors import StorageError
from storage.s3 import S3Store, open_s3_store
from storage.s3_options import S3Options

ANSWER_SECONDS = 10.0

#: What is tried in all, so that there is time left to remove it.
TRIAL_SECONDS = 30.0

_UNTIL_IT_WORKS = "Uploads are refused, and nothing is shown, until it works."

_BY_OTHER_MEANS = (
    "See to it by the store's own means, or give the credentials the rights to look at it and set it."
)


async def check(settings: Settings) -> list[Finding]:
    options = s3_options(settings)
    if options is None:
        return []
    try:
        async with open_s3_store(options) as store:
            await store.check()
            found = [ok("bucket", f"The bucket {options.bucket} can be written and read by this service.")]
            found += await _as_clients_do(store, settings, options)
    except StorageError as error:
        stays = "Where it may write and not delete, a tiny object stays beneath .darkroom/."
        return [problem("bucket", str(error), f"{_UNTIL_IT_WORKS} {stays}")]
    return found + await _settings_of_bucket(settings)


async def _settings_of_bucket(settings: Settings) -> list[Finding]:
    found = []
    try:
        async with opened_bucket(settings) as bucket:
            async for aspect in bucket.aspects():
                name = f"bucket-{aspect.name}"
                if not aspect.problem:
                    found.append(ok(name, aspect.is_so))
                elif aspect.mend is None:
                    found.append(warning(name, aspect.problem, _BY_OTHER_MEANS))
                else:
                    found.append(problem(name, aspect.problem, "./darkroom bucket init sets it."))
    except OperationError as error:
        found.append(
            warning(
                "bucket-settings",
                f"How the bucket is set can't be looked at: {error}",
                "Give the credentials the right to read the bucket's settings, or look at them yourself.",
            )
        )
    return found


async def _as_clients_do(store: S3Store, settings: Settings, options: S3Options) -> list[Finding]:
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    found: list[Finding] = []
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as http:
        trial = BucketTrial(store, options, http, behind_cdn=settings.cdn_url is not None)
        try:
            async with asyncio.timeout(TRIAL_SECONDS):
                async for finding in trial.run():
                    found.append(finding)
        except StorageError as error:
            found.append(problem("bucket", str(error), _UNTIL_IT_WORKS))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            found.append(
                problem(
                    "signed-addresses",
                    f"Clients are sent to {trial.place}, which can't be reached ({type(error).__name__}).",
                    "Set DARKROOM_S3_PUBLIC_ENDPOINT_URL to the name under which clients reach the store.",
                )
            )
        finally:
            found += await trial.clean_up()
    return found
