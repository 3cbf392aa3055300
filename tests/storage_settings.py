"""The settings of a service for each of the stores that it may stand before."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from tests.ministack import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, fresh_bucket

#: For tests that are run on each.
STORES = ("disk", "ministack")


@asynccontextmanager
async def storage_settings(store: str, request: pytest.FixtureRequest) -> AsyncIterator[dict[str, Any]]:
    """A store of this name, empty, as long as the block lasts. Only who needs ministack starts it."""
    if store == "disk":
        yield {}
        return
    endpoint: str = request.getfixturevalue(store)
    async with fresh_bucket(endpoint) as bucket:
        yield {
            "storage_url": f"s3://{bucket}",
            "s3_endpoint_url": endpoint,
            "s3_region": REGION,
            "s3_access_key_id": ACCESS_KEY_ID,
            "s3_secret_access_key": SecretStr(SECRET_ACCESS_KEY),
        }
