"""What the settings refuse, before anything listens."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from app.env_example import render
from app.settings import CHECKOUT, Settings, settings_problems


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "media.example.com"])
def test_anonymous_admins_are_not_exposed(host: str) -> None:
    with pytest.raises(SystemExit) as refused:
        settings(host=host).refuse_exposure()
    assert f"Darkroom does not listen on {host}: there are no accounts yet" in str(refused.value)
    assert "DARKROOM_ALLOW_ANONYMOUS=1" in str(refused.value)
    settings(host=host, allow_anonymous=True, public_url="https://media.example.com").refuse_exposure()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_signed_addresses_name_a_host_that_clients_can_reach(host: str) -> None:
    with pytest.raises(SystemExit, match="set DARKROOM_PUBLIC_URL"):
        settings(host=host, allow_anonymous=True).refuse_exposure()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_exposes_nobody(host: str) -> None:
    settings(host=host).refuse_exposure()


CDN = {"cdn_url": "https://cdn.example.com"}
PAIR = {"cdn_key_pair_id": "K2JCJMDEHXQW5F", "cdn_private_key": "canary-of-a-key"}
HOOK = {"cdn_purge_url": "https://hooks.example.com/purge", "cdn_purge_token": "canary-of-a-token"}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (PAIR, "DARKROOM_CDN_KEY_PAIR_ID and DARKROOM_CDN_PURGE_URL need DARKROOM_CDN_URL"),
        (HOOK, "DARKROOM_CDN_KEY_PAIR_ID and DARKROOM_CDN_PURGE_URL need DARKROOM_CDN_URL"),
        (
            {**CDN, "cdn_key_pair_id": "K2JCJMDEHXQW5F"},
            "DARKROOM_CDN_KEY_PAIR_ID and the key (DARKROOM_CDN_PRIVATE_KEY, or …_FILE) come together",
        ),
        (
            {**CDN, "cdn_private_key_file": "key.pem"},
            "DARKROOM_CDN_KEY_PAIR_ID and the key (DARKROOM_CDN_PRIVATE_KEY, or …_FILE) come together",
        ),
        (
            {**CDN, **PAIR, "cdn_private_key_file": "key.pem"},
            "DARKROOM_CDN_PRIVATE_KEY and DARKROOM_CDN_PRIVATE_KEY_FILE: give one of them",
        ),
        (
            {**CDN, "cdn_purge_token": "canary-of-a-token"},
            "DARKROOM_CDN_PURGE_TOKEN needs DARKROOM_CDN_PURGE_URL",
        ),
    ],
)
def test_settings_of_a_cdn_that_say_half_are_refused(values: dict[str, str], problem: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**values)
    assert settings_problems(refused.value) == [problem]
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("cdn_url", "cdn.example.com", "must look like"),
        ("cdn_url", "https://cdn.example.com/?a", "must look like"),
        ("cdn_key_pair_id", "a&b", "must look like K2JCJMDEHXQW5F"),
        ("cdn_hash_algorithm", "MD5", "must be SHA1 or SHA256"),
        ("cdn_purge_url", "hooks.example.com", "must look like"),
        ("cdn_purge_url", "https://user:canary@hooks.example.com", "must look like"),
    ],
)
def test_a_setting_of_a_cdn_that_cannot_be_meant_is_refused_by_its_name(
    name: str, value: str, problem: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**{**CDN, name: value})
    told = settings_problems(refused.value)
    assert told[0].startswith(f"DARKROOM_{name.upper()}: ")
    assert problem in told[0]
    assert "canary" not in str(refused.value)


def test_a_whole_cdn_is_accepted_and_its_secrets_are_not_shown() -> None:
    whole = settings(**CDN, **PAIR, **HOOK)
    assert "canary" not in repr(whole)
    in_file = settings(**CDN, cdn_key_pair_id="K2JCJMDEHXQW5F", cdn_private_key_file="key.pem")
    assert in_file.cdn_private_key_file == CHECKOUT / "key.pem"
    assert settings(cdn_url="https://cdn.example.com/media/").cdn_url == "https://cdn.example.com/media"


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"storage_url": "file:///var"}, "s3://"),
        ({"storage_url": "s3://Bucket"}, "s3://"),
        ({"storage_url": "s3://bucket", "s3_access_key_id": "id"}, "come together"),
        ({"storage_url": "s3://bucket", "s3_secret_access_key": "secret"}, "come together"),
        ({"storage_url": "s3://bucket", "s3_sse_kms_key_id": "key"}, "needs DARKROOM_S3_SSE=aws:kms"),
        ({"storage_url": "s3://bucket", "s3_sse": "rot13"}, "must be AES256 or aws:kms"),
        ({"storage_url": "s3://bucket", "s3_endpoint_url": "minio:9000"}, "https://s3.example.com"),
        ({"storage_url": "s3://bucket", "s3_endpoint_url": "http://user:canary@minio"}, "s3.example.com"),
        ({"s3_endpoint_url": "http://minio:9000"}, "needs DARKROOM_STORAGE_URL"),
    ],
)
def test_a_store_that_cannot_be_meant_is_refused_in_a_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**values)
    [problem] = settings_problems(refused.value)
    assert words in problem
    assert "canary" not in problem


QUEUE = "must look like https://sqs.eu-central-1.amazonaws.com/123456789012/uploads"
WHOLE_BYTES = "must be a whole number of bytes, as in 10000000000"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("storage_url", "file:///canary", "must look like s3://my-bucket"),
        ("s3_region", "Canary!", "must look like eu-central-1"),
        (
            "s3_access_key_id",
            "canary canary",
            "must be of printable ASCII characters without a space, at most 128",
        ),
        ("s3_sse", "canary", "must be AES256 or aws:kms"),
        ("s3_endpoint_url", "canary", "must look like https://s3.example.com"),
        ("s3_endpoint_url", "http://minio:canary", "must look like https://s3.example.com"),
        ("s3_public_endpoint_url", "http://[canary", "must look like https://s3.example.com"),
        ("s3_path_style", "canary", "must be 1 or 0"),
        ("s3_connect_timeout", "canary", "must be a number"),
        ("s3_connect_timeout", "0", "must be more than 0"),
        ("s3_read_timeout", "9000", "must be at most 600"),
        ("cdn_url", "canary", "must look like https://media.example.com"),
        (
            "cdn_key_pair_id",
            "canary&",
            "must look like K2JCJMDEHXQW5F: letters, digits, - and _, at most 128",
        ),
        ("cdn_hash_algorithm", "canary", "must be SHA1 or SHA256"),
        ("cdn_purge_url", "canary", "must look like https://hooks.example.com/purge"),
        ("quota_bytes", "10 GB of canary", WHOLE_BYTES),
        ("quota_bytes", "-1", "must be at least 0"),
        ("multipart_bytes", "100MiB", WHOLE_BYTES),
        ("multipart_bytes", "0", "must be at least 1"),
        ("max_upload_bytes", "1e9", WHOLE_BYTES),
        ("dedup", "canary", "must be owner, global or global-fast"),
        ("sqs_url", "canary", QUEUE),
        ("sqs_url", "https://sqs.eu-central-1.amazonaws.com/", QUEUE),
        ("sqs_url", "https://user:canary@sqs.eu-central-1.amazonaws.com/1/a", QUEUE),
        ("sqs_endpoint_url", "canary", "must look like https://sqs.example.com"),
        ("sqs_region", "Canary Islands", "must look like eu-central-1"),
        ("secret", "canary", "must have at least 32 characters"),
        ("port", "canary", "must be a whole number"),
        ("log_level", "canary", "must be DEBUG, INFO, WARNING or ERROR"),
    ],
)
def test_a_wrong_value_is_answered_with_what_it_must_look_like(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**{name: value})
    assert settings_problems(refused.value) == [f"DARKROOM_{name.upper()}: {sentence}"]
    assert "canary" not in str(refused.value).lower()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"s3_region": "eu-central-1"}, "DARKROOM_S3_REGION needs"),
        ({"s3_secret_access_key": "canary"}, "DARKROOM_S3_SECRET_ACCESS_KEY needs"),
        ({"s3_path_style": "0"}, "DARKROOM_S3_PATH_STYLE needs"),
        ({"s3_conditional_writes": "0"}, "DARKROOM_S3_CONDITIONAL_WRITES needs"),
        (
            {"s3_sse": "AES256", "s3_access_key_id": "id"},
            "DARKROOM_S3_ACCESS_KEY_ID and DARKROOM_S3_SSE need",
        ),
    ],
)
def test_whatever_is_said_of_s3_needs_a_bucket(values: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**values)
    assert settings_problems(refused.value) == [f"{sentence} DARKROOM_STORAGE_URL, as in s3://my-bucket"]


def test_whatever_is_said_of_a_queue_needs_its_address() -> None:
    with pytest.raises(ValidationError) as refused:
        settings(sqs_endpoint_url="http://127.0.0.1:4566", sqs_region="eu-central-1")
    [problem] = settings_problems(refused.value)
    assert problem == "DARKROOM_SQS_ENDPOINT_URL and DARKROOM_SQS_REGION need DARKROOM_SQS_URL"


def test_the_bucket_is_told_by_the_storage_url() -> None:
    assert settings(storage_url="s3://my.bucket-1").bucket == "my.bucket-1"
    assert settings().bucket is None


def test_the_example_keeps_every_address_in_one_piece() -> None:
    lines = render().splitlines()
    described = " ".join(field.description or "" for field in Settings.model_fields.values())
    addresses = re.findall(r"https?://[^\s;:,]+", described)
    assert any("amazonaws.com/123456789012/" in address for address in addresses)
    for address in addresses:
        assert any(address.rstrip(".") in line for line in lines)
