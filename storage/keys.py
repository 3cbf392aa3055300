"""The grammar of object keys, the same for every backend.

Keys are made by the server, never by a client; this check is the fence behind that rule.
"""

import re

from storage.errors import InvalidKeyError

KEY_MAX_LENGTH = 512
# A file name has at most 255 bytes on the file systems a store is likely to stand on.
SEGMENT_MAX_LENGTH = 255

#: What lies beneath this is served unsigned to everybody, and nothing else is.
PUBLIC_PREFIX = "public/"

# No segment begins with a dot: that leaves out "." and ".." and keeps hidden names for the store itself.
_SEGMENT = rf"(?!\.)[a-z0-9._-]{{1,{SEGMENT_MAX_LENGTH}}}"
_IS_SEGMENT = re.compile(_SEGMENT, re.ASCII)
_IS_KEY = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)


def check_key(key: str) -> None:
    """Raise `InvalidKeyError` unless `key` is one to 512 characters of `[a-z0-9._/-]` in proper segments.

    A segment has 1 to 255 characters and does not begin with a dot; slashes stand only between segments.
    """
    if not is_key(key):
        raise InvalidKeyError


def is_key(text: str) -> bool:
    """Whether `check_key` would accept it."""
    return len(text) <= KEY_MAX_LENGTH and _IS_KEY.fullmatch(text) is not None


def check_public_key(key: str) -> None:
    """Raise `InvalidKeyError` unless `key` is a key beneath `public/`."""
    check_key(key)
    if not key.startswith(PUBLIC_PREFIX):
        raise InvalidKeyError(f"The key {key} has no public address: it is not beneath {PUBLIC_PREFIX}.")


def check_private_key(key: str) -> None:
    """Raise `InvalidKeyError` unless `key` is a key neither beneath `public/` nor in its way."""
    check_key(key)
    if f"{key}/".startswith(PUBLIC_PREFIX):
        raise InvalidKeyError(f"The key {key} is public: it is copied to, and read without a signature.")


def check_prefix(prefix: str) -> None:
    """Raise `InvalidKeyError` unless some key could begin with `prefix`; the empty prefix is fine."""
    if prefix:
        check_key(prefix.removesuffix("/"))


def is_segment(name: str) -> bool:
    return _IS_SEGMENT.fullmatch(name) is not None
