"""Our addresses are botocore's, byte for byte; what botocore would refuse or guess at, ours refuses."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from unittest.mock import patch

import botocore.session
import pytest
from botocore.config import Config
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.sigv4 import BucketAddress, Credentials, QuerySigner

NOW = datetime(2026, 11, 20, 23, 59, 58, tzinfo=UTC)
BUCKET = "media-1"
REGION = "eu-central-1"

IDENTITIES = (
    Credentials(access_key="AKIDEXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    Credentials(access_key="a/b+c d", secret_key="ü/=", session_token="FwoGZXIvYXdzE//+==&~ é"),
    Credentials(access_key="ASIAEXAMPLE", secret_key="s" * 40, session_token="IQoJb3JpZ2luX2VjE" * 40),
)
ENDPOINTS = (
    "https://s3.eu-central-1.amazonaws.com",
    "https://s3.example.com:443",
    "http://S3.Example.com:80/",
    "http://s3.example.com:443",
    "https://s3.example.com:80/base/",
    "http://s3.example.com:9000",
    "http://127.0.0.1:9000",
    "http://localhost:4566/deep/base",
    "http://[::1]:9000",
)
#: botocore puts no bucket before an IP address.
NAMED_ENDPOINTS = tuple(endpoint for endpoint in ENDPOINTS if "127" not in endpoint and "[" not in endpoint)


@dataclass(frozen=True)
class Operation:
    """A call as botocore names it, and what it is as a request."""

    name: str
    method: str
    params: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


#: One for all clients: it reads the service's model once.
SESSION = botocore.session.Session()


@cache
def oracle(endpoint: str, style: str, identity: Credentials) -> Callable[..., str]:
    client = SESSION.create_client(
        "s3",
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id=identity.access_key,
        aws_secret_access_key=identity.secret_key,
        aws_session_token=identity.session_token,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": style},
            request_checksum_calculation="when_required",
        ),
    )

    def presign(name: str, params: Mapping[str, object], expires_in: int, now: datetime) -> str:
        with patch("botocore.auth.get_current_datetime", lambda: now.replace(tzinfo=None)):
            url: str = client.generate_presigned_url(name, Params=dict(params), ExpiresIn=expires_in)
        return url

    return presign


# Keys of S3 in general: far more than ours may be.
keys = st.text(
    st.sampled_from("abcXYZ0189+%~ &=?#;:@!$'()*,\"<>[]{}|\\^`._-/\n\t") | st.characters(codec="utf-8"),
    min_size=1,
    max_size=80,
)
values = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)
digests = st.binary(min_size=32, max_size=32).map(lambda digest: base64.b64encode(digest).decode())
md5s = st.binary(min_size=16, max_size=16).map(lambda digest: base64.b64encode(digest).decode())

#: The response-… parameters: of any order, any of them.
OVERRIDES = {
    "ResponseContentType": "response-content-type",
    "ResponseContentDisposition": "response-content-disposition",
    "ResponseCacheControl": "response-cache-control",
    "ResponseContentLanguage": "response-content-language",
    "ResponseContentEncoding": "response-content-encoding",
}
PUT_HEADERS: dict[str, tuple[str, st.SearchStrategy[str]]] = {
    "ContentType": ("content-type", tokens),
    "ContentMD5": ("content-md5", md5s),
    "CacheControl": ("cache-control", st.just("private,  max-age=60 ")),
    "IfNoneMatch": ("if-none-match", st.just("*")),
    "ServerSideEncryption": ("x-amz-server-side-encryption", st.just("aws:kms")),
    "SSEKMSKeyId": ("x-amz-server-side-encryption-aws-kms-key-id", tokens),
}


@st.composite
def reads(draw: st.DrawFn) -> Operation:
    chosen = draw(st.lists(st.sampled_from(list(OVERRIDES)), unique=True))
    params = {name: draw(values) for name in chosen}
    name, method = draw(st.sampled_from([("get_object", "GET"), ("head_object", "HEAD")]))
    query = {OVERRIDES[name]: value for name, value in params.items()}
    return Operation(name, method, params, query)


@st.composite
def puts(draw: st.DrawFn) -> Operation:
    params: dict[str, object] = {}
    headers: dict[str, str] = {}
    for name in draw(st.lists(st.sampled_from(list(PUT_HEADERS)), unique=True)):
        header, strategy = PUT_HEADERS[name]
        params[name] = headers[header] = draw(strategy)
    _length(draw, params, headers)
    _sha256(draw, params, headers)
    return Operation("put_object", "PUT", params, {}, headers)


@st.composite
def parts(draw: st.DrawFn) -> Operation:
    number, upload_id = draw(st.integers(1, 10_000)), draw(values)
    params: dict[str, object] = {"PartNumber": number, "UploadId": upload_id}
    headers: dict[str, str] = {}
    _length(draw, params, headers)
    _sha256(draw, params, headers)
    query = {"partNumber": str(number), "uploadId": upload_id}
    return Operation("upload_part", "PUT", params, query, headers)


def _length(draw: st.DrawFn, params: dict[str, object], headers: dict[str, str]) -> None:
    if draw(st.booleans()):
        length = draw(st.integers(0, 5 * 1024**3))
        params["ContentLength"], headers["content-length"] = length, str(length)


def _sha256(draw: st.DrawFn, params: dict[str, object], headers: dict[str, str]) -> None:
    if draw(st.booleans()):
        params["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = draw(digests)
        if draw(st.booleans()):
            params["ChecksumAlgorithm"] = headers["x-amz-sdk-checksum-algorithm"] = "SHA256"


@st.composite
def multiparts(draw: st.DrawFn) -> Operation:
    upload_id = draw(values)
    params, query = {"UploadId": upload_id}, {"uploadId": upload_id}
    return draw(
        st.sampled_from(
            [
                Operation("list_parts", "GET", params, query),
                Operation(
                    "list_parts",
                    "GET",
                    {"MaxParts": 1000, "PartNumberMarker": 7, **params},
                    {"max-parts": "1000", "part-number-marker": "7", **query},
                ),
                Operation("complete_multipart_upload", "POST", params, query),
                Operation(
                    "complete_multipart_upload",
                    "POST",
                    {**params, "IfNoneMatch": "*"},
                    query,
                    {"if-none-match": "*"},
                ),
                Operation("abort_multipart_upload", "DELETE", params, query),
                Operation("create_multipart_upload", "POST", {}, {"uploads": ""}),
                Operation(
                    "create_multipart_upload",
                    "POST",
                    {"ContentType": "video/mp4", "ChecksumAlgorithm": "SHA256", "ChecksumType": "COMPOSITE"},
                    {"uploads": ""},
                    {
                        "content-type": "video/mp4",
                        "x-amz-checksum-algorithm": "SHA256",
                        "x-amz-checksum-type": "COMPOSITE",
                    },
                ),
            ]
        )
    )


@dataclass(frozen=True)
class Place:
    endpoint: str
    style: str

    @property
    def address(self) -> BucketAddress:
        make = BucketAddress.path_style if self.style == "path" else BucketAddress.virtual_host
        return make(self.endpoint, BUCKET)


places = st.builds(Place, st.sampled_from(ENDPOINTS), st.just("path")) | st.builds(
    Place, st.sampled_from(NAMED_ENDPOINTS), st.just("virtual")
)
AWS = Place(ENDPOINTS[0], "virtual")
PLAIN = Operation("get_object", "GET")


def signer(now: datetime = NOW) -> QuerySigner:
    return QuerySigner(region=REGION, clock=lambda: now)


# One for all examples: what it keeps from one address must not come into the next.
SIGNER = signer()


@settings(max_examples=500, deadline=None)
@given(
    operation=reads() | puts() | parts() | multiparts(),
    key=keys,
    place=places,
    identity=st.sampled_from(IDENTITIES),
    expires_in=st.integers(1, 7 * 24 * 3600),
    now=st.integers(0, 2**32).map(lambda second: datetime.fromtimestamp(second, UTC)),
)
@example(PLAIN, "a+b %~&=/ü/日本/%2F", AWS, IDENTITIES[1], 300, NOW)
@example(PLAIN, "a//b/", AWS, IDENTITIES[0], 300, NOW)
@example(PLAIN, "a/./../b/..", AWS, IDENTITIES[0], 300, NOW)
@example(PLAIN, "/a", Place(ENDPOINTS[4], "path"), IDENTITIES[0], 300, NOW)
def test_an_address_is_the_one_that_botocore_signs(
    operation: Operation, key: str, place: Place, identity: Credentials, expires_in: int, now: datetime
) -> None:
    ours = SIGNER.presign(
        operation.method,
        place.address,
        key,
        credentials=identity,
        expires_in=expires_in,
        query=operation.query,
        headers=operation.headers,
        at=now,
    )
    params = {"Bucket": BUCKET, "Key": key, **operation.params}
    theirs = oracle(place.endpoint, place.style, identity)(operation.name, params, expires_in, now)
    assert ours == theirs


def test_the_example_of_amazons_documentation() -> None:
    """Signature calculation of a GET, from "Authenticating requests: using query parameters"."""
    url = QuerySigner(region="us-east-1", clock=lambda: datetime(2013, 5, 24, tzinfo=UTC)).presign(
        "GET",
        BucketAddress.virtual_host("https://s3.amazonaws.com", "examplebucket"),
        "test.txt",
        credentials=Credentials(
            access_key="AKIAIOSFODNN7EXAMPLE", secret_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
        ),
        expires_in=86400,
    )
    signature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    assert url.endswith(f"&X-Amz-Signature={signature}")


def get(signer: QuerySigner, at: datetime | None = None, identity: Credentials = IDENTITIES[0]) -> str:
    return signer.presign("GET", AWS.address, "a/b", credentials=identity, expires_in=300, at=at)


def test_the_clock_tells_when_nobody_else_does() -> None:
    times = [NOW, NOW + timedelta(seconds=1), NOW + timedelta(days=1)]
    for now in times:
        assert get(signer(now)) == get(signer(), at=now)
    clock = iter(times)
    ticking = QuerySigner(region=REGION, clock=lambda: next(clock))
    assert [get(ticking) for _ in times] == [get(signer(now)) for now in times]


def test_addresses_signed_in_one_second_are_equal_and_the_zone_does_not_matter() -> None:
    assert get(signer(), at=NOW + timedelta(milliseconds=999)) == get(signer())
    assert get(signer(), at=NOW.astimezone(timezone(timedelta(hours=9)))) == get(signer())


def test_nothing_is_kept_beyond_its_day_its_region_and_its_credentials() -> None:
    one = signer()
    fresh: list[str] = []
    kept: list[str] = []
    for at in (NOW, NOW + timedelta(seconds=2), NOW):
        for identity in IDENTITIES:
            kept.append(get(one, at, identity))
            fresh.append(get(signer(), at, identity))
    assert kept == fresh
    elsewhere = QuerySigner(region="us-east-1", clock=lambda: NOW)
    assert get(elsewhere) != get(one, at=NOW)


def test_other_credentials_of_the_same_name_sign_otherwise() -> None:
    one = signer()
    renewed = Credentials(access_key=IDENTITIES[0].access_key, secret_key="another")
    assert get(one) != get(one, identity=renewed)
    assert get(one, identity=renewed) == get(signer(), identity=renewed)


def test_a_header_cannot_begin_a_line_of_its_own() -> None:
    def put(content_type: str) -> str:
        return signer().presign(
            "PUT",
            AWS.address,
            "a",
            credentials=IDENTITIES[0],
            expires_in=1,
            headers={"content-type": content_type},
        )

    assert put("a/b\nhost:evil") == put("a/b host:evil") != put("a/b")


@pytest.mark.parametrize("expires_in", [0, -1, 7 * 24 * 3600 + 1])
def test_a_lifetime_out_of_bounds_is_refused(expires_in: int) -> None:
    with pytest.raises(ValueError, match="604800 seconds"):
        signer().presign("GET", AWS.address, "a", credentials=IDENTITIES[0], expires_in=expires_in)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        get(signer(), at=NOW.replace(tzinfo=None))


def test_the_bucket_itself_is_no_key() -> None:
    with pytest.raises(ValueError, match="at least one character"):
        signer().presign("GET", AWS.address, "", credentials=IDENTITIES[0], expires_in=1)


@pytest.mark.parametrize("name", ["Content-Type", "host", "x-amz-Acl"])
def test_a_header_that_cannot_be_signed_so_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lower case"):
        signer().presign(
            "PUT", AWS.address, "a", credentials=IDENTITIES[0], expires_in=1, headers={name: "x"}
        )


@pytest.mark.parametrize("name", ["X-Amz-Expires", "X-Amz-Acl", "Z", ""])
def test_a_query_parameter_that_would_come_before_the_signature_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case letter"):
        signer().presign(
            "GET", AWS.address, "a", credentials=IDENTITIES[0], expires_in=1, query={name: "1", "b": ""}
        )


@pytest.mark.parametrize(
    "endpoint",
    [
        "s3.example.com",
        "ftp://s3.example.com",
        "https://",
        "https://u:p@s3.example.com",
        "https://a?b",
        "https://a#b",
    ],
)
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    for make in (BucketAddress.path_style, BucketAddress.virtual_host):
        with pytest.raises(ValueError, match="An S3 endpoint"):
            make(endpoint, BUCKET)


def test_nobody_reads_the_secrets_where_credentials_are_shown() -> None:
    identity = Credentials(access_key="AKID", secret_key="secret-1", session_token="secret-2")
    assert "AKID" in repr(identity)
    assert "secret-" not in repr(identity)
