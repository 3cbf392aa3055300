"""Addresses to read from through a CDN, without one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from storage.cdn_addresses import CdnAddresses
from storage.cdn_signing import CdnSigner
from storage.disk_signing import DiskSigner
from storage.errors import InvalidKeyError
from storage.objects import Disposition, SignedGet

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
LIFETIME = timedelta(minutes=5)
KEY = "owner/2026/11/20/blob/image-1/webp-640.webp"

#: Any store would do.
STORE = DiskSigner(base_url="https://store.example.com", secret=bytes(32), clock=lambda: NOW)
SIGNER = CdnSigner(
    key_pair_id="K2JCJMDEHXQW5F", private_key=rsa.generate_private_key(public_exponent=65537, key_size=2048)
)


def through_cdn(now: datetime = NOW, signer: CdnSigner | None = SIGNER) -> CdnAddresses:
    return CdnAddresses(
        base_url="https://cdn.example.com/media", store=STORE, signer=signer, clock=lambda: now
    )


def signed_get(addresses: CdnAddresses, key: str = KEY, **changed: Any) -> SignedGet:
    asked = {
        "disposition": Disposition.ATTACHMENT,
        "filename": 'Ü & "x".webp',
        "content_type": "image/webp",
        "expires_in": LIFETIME,
    }
    return addresses.sign_get(key, **{**asked, **changed})


def test_what_is_public_has_a_plain_address() -> None:
    key = "public/0123/image-1/webp-640.webp"
    assert through_cdn().public_url(key) == f"https://cdn.example.com/media/{key}"
    assert through_cdn(signer=None).public_url(key) == f"https://cdn.example.com/media/{key}"


def test_what_is_private_has_no_plain_address_and_what_is_public_no_signed_one() -> None:
    with pytest.raises(InvalidKeyError):
        through_cdn().public_url(KEY)
    for key in ("public", "public/0123/image-1/webp-640.webp", "../x"):
        with pytest.raises(InvalidKeyError):
            signed_get(through_cdn(), key)


def test_a_signed_address_says_how_the_store_is_to_answer_and_that_is_signed_too() -> None:
    signed = signed_get(through_cdn())
    resource, _, _ = signed.url.partition("&Expires=")
    expires = int(signed.expires_at.timestamp())
    assert signed.url == SIGNER.sign(resource, expires=expires)
    assert resource.startswith(f"https://cdn.example.com/media/{KEY}?")
    assert parse_qs(urlsplit(resource).query, strict_parsing=True) == {
        "response-cache-control": ["private, max-age=300, immutable"],
        "response-content-disposition": ["attachment; filename*=UTF-8''%C3%9C%20%26%20%22x%22.webp"],
        "response-content-type": ["image/webp"],
    }


def test_calls_close_together_give_one_address_that_lives_nearly_as_long_as_asked() -> None:
    first = signed_get(through_cdn())
    assert signed_get(through_cdn(NOW + timedelta(seconds=29))) == first
    later = signed_get(through_cdn(NOW + timedelta(seconds=31)))
    assert later.url != first.url
    assert later.expires_at - first.expires_at == timedelta(minutes=1)
    for offset in range(120):
        now = NOW + timedelta(seconds=offset)
        left = signed_get(through_cdn(now)).expires_at - now
        assert timedelta(minutes=4) < left <= LIFETIME


def test_without_a_key_pair_the_store_signs() -> None:
    signed = signed_get(through_cdn(signer=None))
    assert signed == signed_get(replace(through_cdn(), store=STORE, signer=None))
    assert signed.url.startswith(f"https://store.example.com/{KEY}?")
    assert STORE.verify_get("GET", KEY, urlsplit(signed.url).query).filename == 'Ü & "x".webp'


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"content_type": "image/webp\r\nSet-Cookie: a=b"}, "A content type"),
        ({"filename": "x" * 1025}, "at most 1024 characters"),
        ({"expires_in": timedelta(0)}, "at most 7 days"),
        ({"expires_in": timedelta(days=7, seconds=1)}, "at most 7 days"),
    ],
)
def test_what_no_store_would_sign_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        signed_get(through_cdn(), **changed)
