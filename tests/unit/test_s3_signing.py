"""What stands in an S3 address: every promise in the signature, and no life beyond the credentials'."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from storage.errors import StorageUnavailableError
from storage.objects import Disposition, MultipartRequest
from storage.s3_credentials import KeptCredentials
from storage.s3_options import S3Options
from storage.s3_signing import S3Signer
from storage.sigv4 import BucketAddress

KEY = "0197/2026/11/20/blob.jpg"
NOW = datetime(2026, 11, 21, 12, 0, 17, 500_000, tzinfo=UTC)
MINUTES = timedelta(minutes=5)


class Frozen(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


class Role:
    """Credentials as the client library keeps them, which end."""

    def __init__(self, expires_at: datetime | None) -> None:
        self._expiry_time = expires_at
        self.broken = False

    async def get_frozen_credentials(self) -> Frozen:
        if self.broken:
            raise OSError("no answer")
        return Frozen("AKID", "secret", "token" if self._expiry_time else None)


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def signer(clock: Clock, *, expires_at: datetime | None = None, **options: Any) -> S3Signer:
    credentials = KeptCredentials(Role(expires_at), clock)
    await credentials.renew()
    return S3Signer(
        S3Options(bucket="bucket", **options),
        address=BucketAddress.path_style("https://s3.example.com", "bucket"),
        region="eu-central-1",
        credentials=credentials,
        clock=clock,
    )


def signed_headers(url: str) -> set[str]:
    return set(parse_qs(urlsplit(url).query)["X-Amz-SignedHeaders"][0].split(";"))


def put(signer: S3Signer, **others: Any) -> Any:
    promise = {"content_type": "image/jpeg", "byte_size": 3, "sha256": "a" * 64, "md5": "b" * 32}
    return signer.sign_put(KEY, **{**promise, "expires_in": MINUTES, **others})


def get(signer: S3Signer, expires_in: timedelta = MINUTES) -> Any:
    return signer.sign_get(
        KEY,
        disposition=Disposition.ATTACHMENT,
        filename="größe.jpg",
        content_type="image/jpeg",
        expires_in=expires_in,
    )


async def test_every_promise_of_an_upload_is_a_signed_header(clock: Clock) -> None:
    signed = put(await signer(clock))
    sent = {name.lower() for name in signed.headers}
    assert sent == {
        "content-type",
        "content-md5",
        "if-none-match",
        "x-amz-checksum-sha256",
        "x-amz-sdk-checksum-algorithm",
    }
    assert signed_headers(signed.url) == sent | {"host", "content-length"}
    assert signed.headers["If-None-Match"] == "*"
    assert "x-amz-checksum" not in urlsplit(signed.url).query.lower().partition("signedheaders")[0]


async def test_encryption_is_said_by_whoever_makes_an_object(clock: Clock) -> None:
    made = await signer(clock, encryption="aws:kms", kms_key_id="a-key")
    expected = {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "a-key",
    }
    created = made.sign_multipart_request(
        MultipartRequest.CREATE, KEY, upload_id=None, content_type="a/b", expires_in=MINUTES
    )
    for signed in (put(made), created):
        assert expected.items() <= signed.headers.items()
        assert set(expected) <= signed_headers(signed.url)


async def test_a_store_without_conditions_is_asked_for_none(clock: Clock) -> None:
    made = await signer(clock, conditional_writes=False)
    assert "If-None-Match" not in put(made).headers
    assert "if-none-match" not in signed_headers(put(made).url)


async def test_a_completion_never_overwrites(clock: Clock) -> None:
    signed = (await signer(clock)).sign_multipart_request(
        MultipartRequest.COMPLETE, KEY, upload_id="an-upload", content_type="a/b", expires_in=MINUTES
    )
    assert signed.headers["If-None-Match"] == "*"
    assert "if-none-match" in signed_headers(signed.url)


async def test_a_download_says_how_it_is_answered(clock: Clock) -> None:
    query = parse_qs(urlsplit(get(await signer(clock)).url).query)
    assert query["response-cache-control"] == ["private, max-age=300, immutable"]
    assert query["response-content-type"] == ["image/jpeg"]
    assert query["response-content-disposition"] == ["attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe.jpg"]


async def test_downloads_signed_close_together_are_equal(clock: Clock) -> None:
    made = await signer(clock)
    first = get(made)
    clock.now += timedelta(seconds=40)
    assert get(made) == first
    clock.now += timedelta(seconds=3)
    later = get(made)
    assert later.url != first.url
    assert later.expires_at - first.expires_at == timedelta(minutes=1)
    assert timedelta(minutes=4) < later.expires_at - clock.now <= MINUTES


async def test_an_upload_lives_at_least_as_long_as_was_asked(clock: Clock) -> None:
    made = await signer(clock)
    assert put(made, expires_in=timedelta(seconds=1)).expires_at == NOW + timedelta(seconds=1.5)
    assert put(made, expires_in=timedelta(days=7)).expires_at <= NOW + timedelta(days=7)


async def test_no_address_outlives_its_session(clock: Clock) -> None:
    end = NOW + timedelta(seconds=90)
    made = await signer(clock, expires_at=end)
    for signed in (put(made), get(made)):
        assert signed.expires_at <= end
        query = parse_qs(urlsplit(signed.url).query)
        assert query["X-Amz-Security-Token"] == ["token"]
        begin = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%S%z")
        assert begin + timedelta(seconds=int(query["X-Amz-Expires"][0])) == signed.expires_at


async def test_expired_credentials_sign_nothing(clock: Clock) -> None:
    made = await signer(clock, expires_at=NOW + timedelta(seconds=90))
    clock.now += timedelta(seconds=91)
    with pytest.raises(StorageUnavailableError, match="credentials for the object store have expired"):
        put(made)


async def test_credentials_that_were_renewed_sign_again(clock: Clock) -> None:
    role = Role(NOW + timedelta(seconds=90))
    kept = KeptCredentials(role, clock)
    await kept.renew()
    role._expiry_time = NOW + timedelta(hours=6)
    await kept.renew()
    clock.now += timedelta(hours=1)
    assert kept.current()[1] == NOW + timedelta(hours=6)


@pytest.mark.parametrize(
    ("options", "in_path"),
    [
        ({}, False),
        ({"bucket": "with.dots"}, True),
        ({"endpoint_url": "http://minio:9000"}, True),
        ({"endpoint_url": "http://minio:9000", "path_style": False}, False),
        ({"path_style": True}, True),
    ],
)
def test_where_the_bucket_stands(options: dict[str, Any], in_path: bool) -> None:
    assert S3Options(**{"bucket": "bucket", **options}).in_path is in_path
