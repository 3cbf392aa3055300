"""Signed addresses, without a disk or a network."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.disk_signatures import SignatureExpiredError, SignatureInvalidError
from storage.disk_signing import DiskSigner
from storage.objects import Disposition

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)


def signer(secret: bytes = bytes(32), now: datetime = NOW) -> DiskSigner:
    return DiskSigner(base_url="https://example.org/objects/", secret=secret, clock=lambda: now)


def signed_get(filename: str = "photo.jpg", expires_in: timedelta = timedelta(minutes=5)) -> str:
    return (
        signer()
        .sign_get(
            "a/b",
            disposition=Disposition.INLINE,
            filename=filename,
            content_type="image/webp",
            expires_in=expires_in,
        )
        .url
    )


def query(url: str) -> str:
    return urlsplit(url).query


def test_the_address_stands_below_the_base_url() -> None:
    assert signed_get().startswith("https://example.org/objects/a/b?expires=")


@given(
    filename=st.text(max_size=1024),
    content_type=st.sampled_from(["a/b", "text/plain; charset=utf-8", "a/b+c"]),
)
def test_a_grant_says_what_was_signed(filename: str, content_type: str) -> None:
    signed = signer().sign_get(
        "a/b",
        disposition=Disposition.ATTACHMENT,
        filename=filename,
        content_type=content_type,
        expires_in=timedelta(minutes=5),
    )
    grant = signer().verify_get("GET", "a/b", query(signed.url))
    assert (grant.key, grant.disposition, grant.content_type) == ("a/b", Disposition.ATTACHMENT, content_type)
    assert grant.filename == filename.encode(errors="replace").decode()
    assert grant.expires_at == signed.expires_at


@given(position=st.integers(0, 200), character=st.characters(codec="utf-8"))
def test_no_other_query_passes_for_the_signed_one(position: int, character: str) -> None:
    original = query(signed_get())
    altered = original[:position] + character + original[position + 1 :]
    try:
        grant = signer().verify_get("GET", "a/b", altered)
    except SignatureInvalidError:
        return
    # Another spelling of the same parameters is the same permission (%2F and %2f).
    assert grant == signer().verify_get("GET", "a/b", original)


def test_another_secret_verifies_nothing() -> None:
    with pytest.raises(SignatureInvalidError):
        signer(b"1" * 32).verify_get("GET", "a/b", query(signed_get()))


def test_a_download_address_is_no_upload_address() -> None:
    with pytest.raises(SignatureInvalidError):
        signer().verify_put("a/b", query(signed_get()))


@pytest.mark.parametrize(
    "expires_in", [timedelta(seconds=0.1), timedelta(seconds=9), timedelta(minutes=5), timedelta(days=7)]
)
def test_a_download_ends_a_fifth_or_a_minute_early_at_most(expires_in: timedelta) -> None:
    signed = signer().sign_get(
        "a", disposition=Disposition.INLINE, filename="", content_type="a/b", expires_in=expires_in
    )
    early = NOW + expires_in - signed.expires_at
    assert -timedelta(seconds=1) < early <= min(expires_in / 5, timedelta(minutes=1))


def test_an_address_works_to_its_last_second_and_not_longer() -> None:
    url = query(signed_get())
    expires_at = signer().verify_get("GET", "a/b", url).expires_at
    signer(now=expires_at - timedelta(milliseconds=1)).verify_get("GET", "a/b", url)
    with pytest.raises(SignatureExpiredError):
        signer(now=expires_at).verify_get("GET", "a/b", url)


def test_a_filename_beyond_the_limit_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="1024"):
        signed_get("x" * 1025)
