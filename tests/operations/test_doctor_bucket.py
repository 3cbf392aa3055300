"""The doctor tries the bucket as clients use it, and says what a store does not enforce."""

from collections.abc import Sequence
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.operations import bucket_trial, check_bucket
from app.operations.bucket import initialize
from app.operations.bucket_trial import BucketTrial
from app.operations.findings import Finding, State
from app.settings import Settings
from storage.errors import StorageUnavailableError
from tests.contracts.s3_relay import StoreRelay
from tests.ministack import (
    ACCESS_KEY_ID,
    REGION,
    SECRET_ACCESS_KEY,
    aws_client,
    bucket,
    fresh_bucket,
)
from tests.moto_server import moto_server
from tests.operations.bucket import Gate
from tests.service.service import free_port
from tests.serving import serve

__all__ = ["bucket", "moto_server"]


def settings(endpoint: str, bucket: str, **others: Any) -> Settings:
    values = {
        "storage_url": f"s3://{bucket}",
        "s3_endpoint_url": endpoint,
        "s3_region": REGION,
        "s3_access_key_id": ACCESS_KEY_ID,
        "s3_secret_access_key": SECRET_ACCESS_KEY,
    }
    return Settings(_env_file=None, **{**values, **others})


def states(findings: Sequence[Finding]) -> dict[str, State]:
    return {finding.check: finding.state for finding in findings}


async def test_a_bucket_that_was_set_up_is_well(ministack: str, bucket: str) -> None:
    chosen = settings(ministack, bucket)
    async for right, line in initialize(chosen, only_check=False):
        assert right, line
    found = await check_bucket.check(chosen)
    # The server of the tests gives everything to everybody, and the doctor notices.
    assert {name for name, state in states(found).items() if state is not State.OK} == {"private"}
    expected = {"bucket", "store-clock", "signed-addresses", "overwriting", "hashes", "signatures", "private"}
    expected |= {"public", "multipart", "multipart-overwriting"}
    expected |= {"bucket-bucket", "bucket-public-access", "bucket-policy", "bucket-cors", "bucket-lifecycle"}
    assert set(states(found)) == expected
    assert all(finding.advice for finding in found if finding.state is not State.OK)
    async with aws_client(ministack, "s3") as s3:
        assert (await s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 0
        assert "Uploads" not in await s3.list_multipart_uploads(Bucket=bucket)


async def test_what_was_there_is_left_as_it_was(ministack: str, bucket: str) -> None:
    async with aws_client(ministack, "s3") as s3:

        async def everything() -> tuple[Any, ...]:
            listed = await s3.list_objects_v2(Bucket=bucket)
            objects = [(each["Key"], each["ETag"], each["LastModified"]) for each in listed["Contents"]]
            uploads = (await s3.list_multipart_uploads(Bucket=bucket))["Uploads"]
            rules = (await s3.get_bucket_cors(Bucket=bucket))["CORSRules"]
            return objects, [each["UploadId"] for each in uploads], rules

        for key in ("0197/2026/11/20/blob.jpg", "doctor/who", "public/doctor"):
            await s3.put_object(Bucket=bucket, Key=key, Body=b"somebody's")
        await s3.create_multipart_upload(Bucket=bucket, Key="doctor/parts")
        rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://other.example.com"]}
        await s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
        before = await everything()
        found = states(await check_bucket.check(settings(ministack, bucket)))
        assert (found["public"], found["multipart"]) == (State.OK, State.OK)
        assert await everything() == before


@pytest.mark.parametrize(
    ("method", "query", "left"),
    [("POST", "delete", ["doctor/", "public/doctor-"]), ("DELETE", "uploadId=", [])],
)
async def test_what_cannot_be_removed_again_is_told(
    ministack: str, bucket: str, method: str, query: str, left: list[str]
) -> None:
    """By credentials that may not delete objects, or not abort multipart uploads."""
    gate = Gate(ministack, lambda request: request.method == method and query in request.url.query)
    async with serve(lambda _: gate) as endpoint:
        found = await check_bucket.check(settings(endpoint, bucket, s3_public_endpoint_url=ministack))
    [finding] = [each for each in found if each.check == "leftovers"]
    assert finding.state is State.PROBLEM
    assert "tiny objects whose keys begin with doctor/" in finding.sentence
    async with aws_client(ministack, "s3") as s3:
        keys = [each["Key"] for each in (await s3.list_objects_v2(Bucket=bucket)).get("Contents", [])]
    assert all(any(key.startswith(place) for place in left) for key in keys)
    assert {place for place in left for key in keys if key.startswith(place)} == set(left)


async def test_a_store_that_hangs_while_it_is_cleaned_up_is_told_and_all_is_tried(
    ministack: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_trial, "REMOVAL_SECONDS", 0.5)
    gate = Gate(
        ministack,
        lambda request: request.method == "DELETE" and "uploadId=" in request.url.query,
        seconds=2,
    )
    async with serve(lambda _: gate) as endpoint:
        found = await check_bucket.check(settings(endpoint, bucket, s3_public_endpoint_url=ministack))
    [finding] = [each for each in found if each.check == "leftovers"]
    assert "There was no answer within" in finding.sentence
    assert {"signed-addresses", "multipart", "private"} <= set(states(found))
    async with aws_client(ministack, "s3") as s3:
        assert (await s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 0


async def test_a_store_that_goes_away_meanwhile_costs_no_finding_and_leaves_nothing(
    ministack: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def goes_away(trial: object) -> None:
        raise StorageUnavailableError("The credentials have run out.")

    monkeypatch.setattr(BucketTrial, "_stranger", goes_away)
    found = await check_bucket.check(settings(ministack, bucket))
    assert states(found)["multipart"] is State.OK
    assert "The credentials have run out." in [each.sentence for each in found if each.check == "bucket"]
    async with aws_client(ministack, "s3") as s3:
        assert (await s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 0


async def test_public_copies_that_strangers_can_not_read_are_found_out(ministack: str, bucket: str) -> None:
    gate = Gate(ministack, lambda request: request.method == "GET" and "X-Amz-" not in request.url.query)
    async with serve(lambda _: gate) as public:
        found = await check_bucket.check(settings(ministack, bucket, s3_public_endpoint_url=public))
        behind = await check_bucket.check(
            settings(ministack, bucket, s3_public_endpoint_url=public, cdn_url="https://cdn.example.com")
        )
    [finding] = [each for each in found if each.check == "public"]
    assert finding.state is State.PROBLEM
    assert "403 (AccessDenied)" in finding.sentence
    assert "aws:kms" in finding.advice
    assert states(found)["private"] is State.OK
    assert "public" not in states(behind)
    async with aws_client(ministack, "s3") as s3:
        assert (await s3.list_objects_v2(Bucket=bucket))["KeyCount"] == 0


async def test_completions_that_overwrite_are_found_out(ministack: str, bucket: str) -> None:
    """Of a store that knows no condition there, and does not say so."""
    gate = Gate(ministack, lambda request: False, drops=frozenset({b"if-none-match"}))
    async with serve(lambda _: gate) as endpoint:
        found = await check_bucket.check(settings(endpoint, bucket, s3_public_endpoint_url=ministack))
        careful = await check_bucket.check(
            settings(endpoint, bucket, s3_public_endpoint_url=ministack, s3_conditional_writes=False)
        )
    [finding] = [each for each in found if each.check == "multipart-overwriting"]
    assert finding.state is State.PROBLEM
    assert finding.advice == "Set DARKROOM_S3_CONDITIONAL_WRITES=0."
    assert states(found)["multipart"] is State.OK
    assert states(careful)["multipart-overwriting"] is State.OK


async def test_parts_that_are_refused_are_found_out(ministack: str, bucket: str) -> None:
    gate = Gate(ministack, lambda request: "partNumber" in request.url.query)
    async with serve(lambda _: gate) as public:
        found = await check_bucket.check(settings(ministack, bucket, s3_public_endpoint_url=public))
    [finding] = [each for each in found if each.check.startswith("multipart")]
    assert finding.state is State.PROBLEM
    assert "refused with 403" in finding.sentence
    async with aws_client(ministack, "s3") as s3:
        assert "Uploads" not in await s3.list_multipart_uploads(Bucket=bucket)


async def test_a_bucket_that_was_not_set_up_is_found_out(ministack: str, bucket: str) -> None:
    found = states(await check_bucket.check(settings(ministack, bucket)))
    for name in ("bucket-public-access", "bucket-policy", "bucket-cors", "bucket-lifecycle"):
        assert found[name] is State.PROBLEM


async def test_a_store_that_checks_nothing_is_found_out(moto_server: str) -> None:
    async with fresh_bucket(moto_server) as name:
        found = {each.check: each for each in await check_bucket.check(settings(moto_server, name))}
    assert found["signatures"].state is State.PROBLEM
    assert "altered and expired" in found["signatures"].sentence
    assert found["hashes"].state is State.WARNING


async def test_clients_that_are_sent_to_nowhere(ministack: str, bucket: str) -> None:
    chosen = settings(ministack, bucket, s3_public_endpoint_url=f"http://127.0.0.1:{free_port()}")
    [found] = [each for each in await check_bucket.check(chosen) if each.check == "signed-addresses"]
    assert found.state is State.PROBLEM
    assert "DARKROOM_S3_PUBLIC_ENDPOINT_URL" in found.advice


async def test_clients_come_by_another_name_than_the_service(ministack: str, bucket: str) -> None:
    async with StoreRelay(ministack).running() as relay:
        found = await check_bucket.check(settings(ministack, bucket, s3_public_endpoint_url=relay.endpoint))
    [addresses] = [each for each in found if each.check == "signed-addresses"]
    assert addresses.state is State.OK
    assert relay.endpoint in addresses.sentence


async def _yes(request: Request) -> Response:
    return Response(headers={"Date": "Sat, 01 Jan 2000 00:00:00 GMT", "ETag": '"x"'})


async def test_a_server_that_says_yes_to_everything_passes_in_nothing(ministack: str, bucket: str) -> None:
    app = Starlette(routes=[Route("/{path:path}", _yes, methods=["GET", "PUT", "HEAD", "DELETE", "POST"])])
    async with serve(lambda _: app) as public:
        found = states(await check_bucket.check(settings(ministack, bucket, s3_public_endpoint_url=public)))
    for name in (
        "store-clock",
        "signed-addresses",
        "overwriting",
        "signatures",
        "private",
        "public",
        "multipart",
    ):
        assert found[name] is State.PROBLEM, name


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (
            {"s3_endpoint_url": "http://127.0.0.1:9", "s3_connect_timeout": 0.5},
            "The object store at http://127.0.0.1:9 ",
        ),
        ({"storage_url": "s3://no-such-bucket"}, "There is no bucket no-such-bucket"),
    ],
)
async def test_a_store_that_does_not_work_is_one_finding(
    ministack: str, bucket: str, others: dict[str, Any], words: str
) -> None:
    [found] = await check_bucket.check(settings(ministack, bucket, **others))
    assert (found.check, found.state) == ("bucket", State.PROBLEM)
    assert words in found.sentence


async def test_on_disk_there_is_nothing_to_look_at() -> None:
    on_disk: dict[str, Any] = {"storage_url": None}
    assert await check_bucket.check(Settings(_env_file=None, **on_disk)) == []
