"""The store that tests run against does what they rely on: it refuses what is signed wrongly."""

import httpx
import pytest
from botocore.exceptions import ClientError

from tests.ministack import aws_client
from tests.ministack import bucket as bucket
from tests.ministack import ministack as ministack


async def test_a_bucket_is_there_and_empty(ministack: str, bucket: str) -> None:
    async with aws_client(ministack, "s3") as s3:
        assert (await s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 0
        await s3.put_object(Bucket=bucket, Key="some/key", Body=b"bytes")
        assert (await s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 1


async def test_an_address_that_was_signed_with_another_secret_is_refused(ministack: str, bucket: str) -> None:
    target = {"Bucket": bucket, "Key": "some/key"}
    async with aws_client(ministack, "s3", secret_access_key="another") as stranger:
        url = await stranger.generate_presigned_url("put_object", Params=target)
    async with httpx.AsyncClient() as client:
        assert (await client.put(url, content=b"bytes")).status_code == 403
    async with aws_client(ministack, "s3") as s3:
        with pytest.raises(ClientError, match="Not Found"):
            await s3.head_object(**target)
