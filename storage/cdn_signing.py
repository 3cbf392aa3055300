"""Signed addresses as CloudFront, and networks made like it, check them: a policy and its RSA signature.

A signed address is a bearer credential: never log its query string. Nothing here touches network or disk.
"""

import base64
import json
import re
from enum import StrEnum
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

KEY_MIN_BITS = 2048

#: An RSA signature costs a quarter of a millisecond: those of the addresses that come again are kept.
_KEPT_SIGNATURES = 4096

_IS_KEY_PAIR_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)

# Base64 for a query, but not that of RFC 4648.
_ALPHABET = bytes.maketrans(b"+=/", b"-_~")


class HashAlgorithm(StrEnum):
    """SHA256 is named in the address (`Hash-Algorithm`); without that name networks assume SHA1."""

    SHA1 = "SHA1"
    SHA256 = "SHA256"


_HASHES: dict[HashAlgorithm, hashes.HashAlgorithm] = {
    HashAlgorithm.SHA1: hashes.SHA1(),
    HashAlgorithm.SHA256: hashes.SHA256(),
}


def load_private_key(pem: bytes) -> RSAPrivateKey:
    """The RSA key of at least 2048 bits in `pem`, PKCS #1 or #8, without a passphrase.

    Raises ValueError with a sentence that holds nothing of the key.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("The private key asks for a passphrase; give one that is not encrypted.") from None
    except (ValueError, UnsupportedAlgorithm):
        # What the library says of it might quote from it.
        raise ValueError("This is no private key in PEM.") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("The private key is not an RSA key.")
    if key.key_size < KEY_MIN_BITS:
        raise ValueError(f"The RSA key has {key.key_size} bits; it needs at least {KEY_MIN_BITS}.")
    return key


class CdnSigner:
    """Signs addresses by one key pair, of which the network knows the public half under `key_pair_id`."""

    def __init__(
        self,
        *,
        key_pair_id: str,
        private_key: RSAPrivateKey,
        hash_algorithm: HashAlgorithm = HashAlgorithm.SHA256,
    ) -> None:
        if not _IS_KEY_PAIR_ID.fullmatch(key_pair_id):
            raise ValueError("A key pair id is 1 to 128 letters, digits, dashes or underscores.")
        self._key_pair_id = key_pair_id
        self._private_key = private_key
        self._hash = _HASHES[hash_algorithm]
        self._named_hash = "" if hash_algorithm is HashAlgorithm.SHA1 else f"&Hash-Algorithm={hash_algorithm}"
        self._signature = lru_cache(maxsize=_KEPT_SIGNATURES)(self._sign)

    def sign(self, address: str, *, expires: int) -> str:
        """Permit exactly `address`, its query included, until the Unix second `expires`: the canned policy.

        `address` is absolute, percent-encoded, without fragment and without parameters of a signature.
        """
        return self._signed(address, _policy(address, expires), f"Expires={expires}")

    def sign_beneath(self, address: str, *, resource: str, expires: int) -> str:
        """Permit whatever `resource` matches until then, `address` among it: a custom policy.

        In `resource`, `*` stands for any characters and `?` for one, in the query too. The parameters that
        are added work for every such address: a playlist's segments, say, are opened by those of the list.
        """
        policy = _policy(resource, expires)
        return self._signed(address, policy, f"Policy={_base64(policy)}")

    def _signed(self, address: str, policy: bytes, permission: str) -> str:
        separator = "&" if "?" in address else "?"
        return (
            f"{address}{separator}{permission}&Signature={self._signature(policy)}"
            f"&Key-Pair-Id={self._key_pair_id}{self._named_hash}"
        )

    def _sign(self, policy: bytes) -> str:
        return _base64(self._private_key.sign(policy, PKCS1v15(), self._hash))


def _policy(resource: str, expires: int) -> bytes:
    """In the one form that the network writes itself when it checks a canned policy."""
    condition = {"DateLessThan": {"AWS:EpochTime": expires}}
    statement = {"Resource": resource, "Condition": condition}
    return json.dumps({"Statement": [statement]}, separators=(",", ":")).encode()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).translate(_ALPHABET).decode()
