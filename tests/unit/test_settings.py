"""What the settings refuse, before anything listens."""

from typing import Any

import pytest
from pydantic import ValidationError

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
        ("cdn_key_pair_id", "a&b", "pattern"),
        ("cdn_hash_algorithm", "MD5", "pattern"),
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
        ({"storage_url": "s3://bucket", "s3_sse": "rot13"}, "AES256|aws:kms"),
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


def test_the_bucket_is_told_by_the_storage_url() -> None:
    assert settings(storage_url="s3://my.bucket-1").bucket == "my.bucket-1"
    assert settings().bucket is None
