"""`bucket init` makes a bucket what it must be, again and again, and takes nothing from others."""

import json
from typing import Any
from uuid import uuid4

import pytest

from app.operations import bucket_settings as wanted
from app.settings import Settings
from tests.ministack import aws_client, bucket
from tests.operations.bucket import Gate, bucket_settings
from tests.operations.commands import Operations
from tests.serving import serve

__all__ = ["bucket"]

PAGES = "https://app.example.com"
NETWORK = {"DARKROOM_CDN_URL": "https://cdn.example.com"}


async def test_a_bucket_is_made_and_set_up(operations: Operations, ministack: str) -> None:
    name = f"made-{uuid4().hex}"
    settings = bucket_settings(ministack, name, DARKROOM_CORS_ORIGINS=PAGES)
    said = await operations.run("bucket", "init", **settings)
    assert said.code == 0, said.stderr
    assert [line.split()[0] for line in said.stdout.splitlines()] == ["Created"] + ["Set"] * 4
    async with aws_client(ministack, "s3") as s3:
        [ours, public] = (await s3.get_bucket_cors(Bucket=name))["CORSRules"]
        assert ours["AllowedOrigins"] == ["http://127.0.0.1:8000", PAGES]
        assert set(ours["AllowedMethods"]) == {"PUT", "GET", "HEAD", "POST", "DELETE"}
        assert "ETag" in ours["ExposeHeaders"]
        assert public["AllowedMethods"] == ["GET", "HEAD"]
        [rule] = (await s3.get_bucket_lifecycle_configuration(Bucket=name))["Rules"]
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}
        block = (await s3.get_public_access_block(Bucket=name))["PublicAccessBlockConfiguration"]
        assert (block["BlockPublicAcls"], block["BlockPublicPolicy"]) == (True, False)
        [statement] = json.loads((await s3.get_bucket_policy(Bucket=name))["Policy"])["Statement"]
        assert statement["Action"] == "s3:GetObject"
        assert statement["Resource"] == f"arn:aws:s3:::{name}/public/*"
    again = await operations.run("bucket", "init", "--check", **settings)
    assert again.code == 0
    assert "Created" not in again.stdout + again.stderr
    assert "Set" not in again.stdout


async def test_behind_a_network_nothing_is_public(
    operations: Operations, ministack: str, bucket: str
) -> None:
    settings = bucket_settings(ministack, bucket)
    assert (await operations.run("bucket", "init", **settings)).code == 0
    said = await operations.run("bucket", "init", **settings, **NETWORK)
    assert said.code == 0, said.stderr
    assert "Set the bucket's policy: it lets nobody read without a signature." in said.stdout
    async with aws_client(ministack, "s3") as s3:
        block = (await s3.get_public_access_block(Bucket=bucket))["PublicAccessBlockConfiguration"]
        assert all(block.values())
        with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucketPolicy"):
            await s3.get_bucket_policy(Bucket=bucket)


async def test_what_others_have_set_stays(operations: Operations, ministack: str, bucket: str) -> None:
    rule = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 9}}
    cors = {"ID": "theirs", "AllowedOrigins": ["https://their.example"], "AllowedMethods": ["GET"]}
    theirs = {
        "Sid": "Theirs",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": f"arn:aws:s3:::{bucket}/secret/*",
    }
    async with aws_client(ministack, "s3") as s3:
        await s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
        await s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [cors]})
        await s3.put_bucket_policy(
            Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [theirs]})
        )
        assert (await operations.run("bucket", "init", **bucket_settings(ministack, bucket))).code == 0
        rules = (await s3.get_bucket_lifecycle_configuration(Bucket=bucket))["Rules"]
        assert [each["ID"] for each in rules] == ["logs", wanted.LIFECYCLE_RULE]
        assert rules[0]["Expiration"] == {"Days": 9}
        found = (await s3.get_bucket_cors(Bucket=bucket))["CORSRules"]
        assert found[-1]["AllowedOrigins"] == ["https://their.example"]
        statements = json.loads((await s3.get_bucket_policy(Bucket=bucket))["Policy"])["Statement"]
        assert statements[0] == theirs
        assert [each["Sid"] for each in statements] == ["Theirs", wanted.POLICY_STATEMENT]


async def test_a_check_changes_nothing(operations: Operations, ministack: str, bucket: str) -> None:
    said = await operations.run("bucket", "init", "--check", **bucket_settings(ministack, bucket))
    assert said.code == 1
    assert said.stdout.count("To do: ") == 4
    async with aws_client(ministack, "s3") as s3:
        with pytest.raises(s3.exceptions.ClientError, match="NoSuchCORSConfiguration"):
            await s3.get_bucket_cors(Bucket=bucket)
    missing = await operations.run("bucket", "init", "--check", **bucket_settings(ministack, "no-such-one"))
    assert (missing.code, missing.stdout.count("\n")) == (1, 1)
    assert missing.stdout.startswith("To do: There is no bucket no-such-one at http://127.0.0.1:")


async def test_a_reader_that_has_enough_does_not_hold_up_the_rest(
    operations: Operations, ministack: str, bucket: str
) -> None:
    settings = bucket_settings(ministack, bucket)
    process = await operations.start("bucket", "init", **settings)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout._transport.close()  # type: ignore[attr-defined] # as `head` does, before the first line
    assert await process.stderr.read() == b""
    assert await process.wait() == 0
    assert (await operations.run("bucket", "init", "--check", **settings)).code == 0


async def test_on_disk_there_is_no_bucket(operations: Operations) -> None:
    said = await operations.run("bucket", "init", DARKROOM_DATA_DIR=str(operations.directory / "var"))
    assert said.code == 1
    assert "Set DARKROOM_STORAGE_URL, as in s3://my-bucket" in said.stderr
    assert not (operations.directory / "var").exists()


async def test_a_store_that_is_away_is_told_in_a_sentence(operations: Operations) -> None:
    said = await operations.run("bucket", "init", **bucket_settings("http://127.0.0.1:9", "some-bucket"))
    assert said.code == 1
    assert "The object store at http://127.0.0.1:9 can't be reached" in said.stderr
    assert "Traceback" not in said.stderr


async def test_what_is_refused_keeps_nothing_else_from_being_set(
    ministack: str, bucket: str, operations: Operations
) -> None:
    """As where the account blocks public policies, or the credentials may not look at one thing."""
    refused = {("PUT", "policy"), ("GET", "cors")}
    gate = Gate(ministack, lambda request: (request.method, request.url.query.partition("=")[0]) in refused)
    async with serve(lambda _: gate) as endpoint:
        said = await operations.run("bucket", "init", **bucket_settings(endpoint, bucket))
    assert said.code == 1
    assert "Traceback" not in said.stderr
    there, access, policy, cors, lifecycle = said.stdout.splitlines()
    assert there == f"The bucket {bucket} is there."
    assert access.startswith("Set public access")
    assert policy.startswith("To do: It is not so that the bucket's policy lets everybody read")
    assert "PutBucketPolicy failed" in policy
    assert "AccessDenied" in policy
    assert cors.startswith("To do: GetBucketCors failed")
    assert lifecycle.startswith("Set a lifecycle rule")
    async with aws_client(ministack, "s3") as s3:
        [rule] = (await s3.get_bucket_lifecycle_configuration(Bucket=bucket))["Rules"]
        assert rule["ID"] == wanted.LIFECYCLE_RULE


def test_a_foreign_rule_that_ends_uploads_early_is_found_out() -> None:
    rule = {"Status": "Enabled", "Prefix": "", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}
    assert wanted.aborts_too_early([rule])
    assert not wanted.aborts_stale([rule])
    assert not wanted.aborts_too_early([{**rule, "Status": "Disabled"}])
    later = {**rule, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
    assert wanted.aborts_stale([later])
    assert not wanted.aborts_stale([{**later, "Prefix": "logs/"}])
    assert not wanted.aborts_stale([{**later, "Filter": {"Prefix": "logs/"}}])


def test_our_rule_has_the_form_of_those_that_are_there() -> None:
    """S3 takes no configuration in which one rule has a Filter and another a Prefix beside it."""
    old = {"ID": "old", "Status": "Enabled", "Prefix": "logs/", "Expiration": {"Days": 9}}
    new = {"ID": "new", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 9}}
    ours = {each["ID"]: each for each in wanted.lifecycle_rules([old])}[wanted.LIFECYCLE_RULE]
    assert (ours["Prefix"], "Filter" in ours) == ("", False)
    assert wanted.aborts_stale([ours])
    for rules in ([new], []):
        [*_, ours] = wanted.lifecycle_rules(rules)
        assert (ours["Filter"], "Prefix" in ours) == ({"Prefix": ""}, False)
    [theirs, ours] = wanted.lifecycle_rules(wanted.lifecycle_rules([old]))
    assert (theirs, ours["Prefix"]) == (old, "")


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_the_policy_names_objects_as_the_region_does(region: str, partition: str) -> None:
    values: dict[str, Any] = {"storage_url": "s3://bucket"}
    settings = Settings(_env_file=None, **values)
    document = wanted.policy_document({}, settings, bucket="bucket", region=region)
    assert document is not None
    assert f'"arn:{partition}:s3:::bucket/public/*"' in document
