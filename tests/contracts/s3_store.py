"""An S3 store on a bucket of its own, at a server that runs already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from storage.s3 import open_s3_store
from storage.s3_options import S3Options
from tests.contracts.object_store import MovableClock, RunningStore
from tests.ministack import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, fresh_bucket


def s3_options(endpoint: str, bucket: str, **others: Any) -> S3Options:
    """Options that ministack and moto take; `others` replace or add some."""
    values = {
        "bucket": bucket,
        "endpoint_url": endpoint,
        "region": REGION,
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": SECRET_ACCESS_KEY,
    }
    return S3Options(**{**values, **others})


@asynccontextmanager
async def running_s3_store(endpoint: str, **others: Any) -> AsyncIterator[RunningStore]:
    clock = MovableClock()
    async with (
        fresh_bucket(endpoint) as bucket,
        open_s3_store(s3_options(endpoint, bucket, **others), clock=clock) as store,
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        yield RunningStore(store=store, http=http, clock=clock)
