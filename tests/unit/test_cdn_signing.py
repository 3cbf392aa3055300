"""Signed addresses of a CDN: botocore's, byte for byte, and true to the public key."""

import base64
import traceback
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cdn_signing import CdnSigner, HashAlgorithm, load_private_key

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEY_PAIR_ID = "K2JCJMDEHXQW5F"

#: An address, what a policy may name instead of it, and the Unix second of the end.
addresses = st.from_regex(
    r"https://cdn\.example\.com(:8443)?(/[A-Za-z0-9._~%-]{1,20}){1,4}(\?[a-z-]{1,9}=[A-Za-z0-9%_.~-]{0,30})?",
    fullmatch=True,
)
resources = addresses.map(lambda address: f"{address}*") | st.text(max_size=60)
seconds = st.integers(1, 2**32)


def signer(hash_algorithm: HashAlgorithm) -> CdnSigner:
    return CdnSigner(key_pair_id=KEY_PAIR_ID, private_key=KEY, hash_algorithm=hash_algorithm)


def oracle(hash_algorithm: HashAlgorithm) -> CloudFrontSigner:
    used = hashes.SHA1() if hash_algorithm is HashAlgorithm.SHA1 else hashes.SHA256()
    return CloudFrontSigner(KEY_PAIR_ID, lambda policy: KEY.sign(policy, PKCS1v15(), used))


def suffix(hash_algorithm: HashAlgorithm) -> str:
    """botocore knows SHA-1 only, and so does not name the other."""
    return "" if hash_algorithm is HashAlgorithm.SHA1 else "&Hash-Algorithm=SHA256"


@settings(deadline=None)
@given(address=addresses, expires=seconds, algorithm=st.sampled_from(HashAlgorithm))
def test_a_canned_policy_is_botocores(address: str, expires: int, algorithm: HashAlgorithm) -> None:
    end = datetime.fromtimestamp(expires, UTC)
    theirs = oracle(algorithm).generate_presigned_url(address, date_less_than=end)
    assert signer(algorithm).sign(address, expires=expires) == theirs + suffix(algorithm)


@settings(deadline=None)
@given(address=addresses, resource=resources, expires=seconds, algorithm=st.sampled_from(HashAlgorithm))
def test_a_custom_policy_is_botocores(
    address: str, resource: str, expires: int, algorithm: HashAlgorithm
) -> None:
    botocores = oracle(algorithm)
    policy = botocores.build_policy(resource, datetime.fromtimestamp(expires, UTC))
    theirs = botocores.generate_presigned_url(address, policy=policy)
    ours = signer(algorithm).sign_beneath(address, resource=resource, expires=expires)
    assert ours == theirs + suffix(algorithm)


def decoded(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "=").replace("~", "/"), validate=True)


def verify(policy: bytes, url: str, used: hashes.HashAlgorithm) -> None:
    signature = decoded(parse_qs(urlsplit(url).query)["Signature"][0])
    KEY.public_key().verify(signature, policy, PKCS1v15(), used)


def canned(address: str, expires: int) -> bytes:
    """As CloudFront's documentation writes it."""
    return (
        f'{{"Statement":[{{"Resource":"{address}",'
        f'"Condition":{{"DateLessThan":{{"AWS:EpochTime":{expires}}}}}}}]}}'
    ).encode()


@pytest.mark.parametrize("algorithm", HashAlgorithm)
def test_the_public_key_verifies_this_address_until_then_and_no_other(algorithm: HashAlgorithm) -> None:
    used = hashes.SHA1() if algorithm is HashAlgorithm.SHA1 else hashes.SHA256()
    address, expires = "https://cdn.example.com/a/b?response-content-type=image%2Fwebp", 1_800_000_000
    url = signer(algorithm).sign(address, expires=expires)
    assert url.startswith(f"{address}&Expires={expires}&Signature=")
    verify(canned(address, expires), url, used)
    other_type = address.replace("image%2Fwebp", "text%2Fhtml")
    for altered in (
        canned(address, expires + 1),
        canned(other_type, expires),
        canned("https://cdn.example.com/a/c", expires),
    ):
        with pytest.raises(InvalidSignature):
            verify(altered, url, used)


def test_a_custom_policy_says_what_it_permits_and_is_verified() -> None:
    address, resource = "https://cdn.example.com/a/b/list.m3u8", "https://cdn.example.com/a/b/*"
    url = signer(HashAlgorithm.SHA256).sign_beneath(address, resource=resource, expires=1_800_000_000)
    query = parse_qs(urlsplit(url).query, strict_parsing=True)
    policy = decoded(query["Policy"][0])
    assert policy == canned(resource, 1_800_000_000)
    assert (query["Key-Pair-Id"], query["Hash-Algorithm"]) == ([KEY_PAIR_ID], ["SHA256"])
    verify(policy, url, hashes.SHA256())


def test_what_comes_again_is_signed_once() -> None:
    signatures: list[bytes] = []

    class CountingKey:
        def sign(self, policy: bytes, *_: object) -> bytes:
            signatures.append(policy)
            return b"signature"

    counted = CdnSigner(key_pair_id=KEY_PAIR_ID, private_key=CountingKey())  # type: ignore[arg-type]
    first = [counted.sign(f"https://cdn.example.com/{number}", expires=9) for number in range(50)]
    assert [counted.sign(f"https://cdn.example.com/{number}", expires=9) for number in range(50)] == first
    assert len(signatures) == 50
    assert counted.sign("https://cdn.example.com/0", expires=10) != first[0]


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_both_usual_forms_of_an_rsa_key_are_read(form: PrivateFormat) -> None:
    read = load_private_key(KEY.private_bytes(Encoding.PEM, form, NoEncryption()))
    assert read.private_numbers() == KEY.private_numbers()


UNUSABLE = {
    "short": (pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "has 1024 bits"),
    "elliptic": (pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
    "edwards": (pem(ed25519.Ed25519PrivateKey.generate()), "not an RSA key"),
    "encrypted": (
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")),
        "not encrypted",
    ),
    "public": (
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "no private key in PEM",
    ),
    "cut": (pem(KEY)[:800], "no private key in PEM"),
    "damaged": (pem(KEY).replace(b"A", b"B"), "no private key in PEM"),
    "nothing": (b"", "no private key in PEM"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_key_that_cannot_be_used_is_refused_without_quoting_it(name: str) -> None:
    unusable, sentence = UNUSABLE[name]
    with pytest.raises(ValueError, match=sentence) as refused:
        load_private_key(unusable)
    # With all that a log would show of it.
    told = "".join(traceback.format_exception(refused.value))
    assert not [line for line in unusable.decode().splitlines() if "-----" not in line and line in told]


@pytest.mark.parametrize("key_pair_id", ["", "a&b", "a b", "ä", "k" * 129])
def test_a_key_pair_id_that_would_break_the_address_is_refused(key_pair_id: str) -> None:
    with pytest.raises(ValueError, match="key pair id"):
        CdnSigner(key_pair_id=key_pair_id, private_key=KEY)
