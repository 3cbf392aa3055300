"""Object keys: made by us, never from a client's words, and immutable once written."""

import hashlib
import re
import secrets
from datetime import datetime
from uuid import UUID

from services.formats import ACCEPTED
from storage.keys import PUBLIC_PREFIX

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_STAGING_PREFIX = "staging/"

#: Where originals lie that media of several owners may come to show: their addresses name nobody.
SHARED_PREFIX = "shared"

#: 64 bits, of what was copied to a place that no address was signed for.
_COPIED_DIGITS = 16

#: All keys that were made for a blob begin so, and no others do.
_BLOB = rf"(?:{_ID}|{SHARED_PREFIX})/\d{{4}}/\d\d/\d\d/({_ID})"
_ORIGINAL = rf"({_BLOB})(?:-[0-9a-f]{{{_COPIED_DIGITS}}})?(\.[a-z0-9]+)"
_IS_ORIGINAL = re.compile(_ORIGINAL, re.ASCII)
_IS_OF_BLOB = re.compile(rf"(?:{_STAGING_PREFIX})?(?:{_ORIGINAL}|{_BLOB}/.+)", re.ASCII)

#: 160 bits: nobody finds a prefix by trying.
_PUBLIC_PREFIX_BYTES = 20
_COPY = re.compile(rf"({PUBLIC_PREFIX}[0-9a-f]{{{2 * _PUBLIC_PREFIX_BYTES}}})/.+", re.ASCII)


def original_key(owner_id: UUID | None, blob_id: UUID, mime_type: str, at: datetime) -> str:
    """`<owner>/<yyyy>/<mm>/<dd>/<blob>.<ext>`, or `shared/…` without an owner.

    The extension follows the declared type.
    """
    return f"{owner_id or SHARED_PREFIX}/{at:%Y/%m/%d}/{blob_id}.{ACCEPTED[mime_type]}"


def staging_key(original: str) -> str:
    """Where the bytes of an original are sent when its own key must not be signed for."""
    return f"{_STAGING_PREFIX}{original}"


def is_staging(key: str) -> bool:
    return key.startswith(_STAGING_PREFIX)


def copied_key(staging: str, etag: str) -> str:
    """Where the object that bears `etag` at the staging key is copied: `<blob>-<16 hex digits>.<ext>`.

    What is sent anew bears another tag, so a copy of it goes elsewhere, however late it comes.
    """
    stem, extension = _parts_of_original(staging.removeprefix(_STAGING_PREFIX))
    digits = hashlib.sha256(etag.encode()).hexdigest()[:_COPIED_DIGITS]
    return f"{stem}-{digits}{extension}"


def prefixes_of_blob(original: str) -> tuple[str, str]:
    """All keys made for the original's blob begin with one of these, and no other blob's do.

    The first is of what is kept: the original wherever it was copied, and the files made from it. The second
    is of what was sent to be copied.
    """
    stem, _ = _parts_of_original(original)
    return stem, staging_key(stem)


def renditions_prefix(original: str) -> str:
    """Everything made from an original lies beneath this, and nothing else does."""
    return f"{_parts_of_original(original)[0]}/"


def rendition_key(original: str, recipe: str, filename: str) -> str:
    return f"{renditions_prefix(original)}{recipe}/{filename}"


def new_public_prefix() -> str:
    """`public/<random>`, which says nothing of the media and can't be guessed."""
    return f"{PUBLIC_PREFIX}{secrets.token_hex(_PUBLIC_PREFIX_BYTES)}"


def public_key(prefix: str, rendition: str) -> str:
    """The key of a rendition's copy: `<prefix>/<recipe>/<name>`, without owner, date and blob."""
    _, recipe, filename = rendition.rsplit("/", 2)
    return f"{prefix}/{recipe}/{filename}"


def blob_of_key(key: str) -> UUID | None:
    """The id of the blob that the key was made for; None for a key of another make."""
    found = _IS_OF_BLOB.fullmatch(key)
    return None if found is None else UUID(found[2] or found[4])


def prefix_of_copy(key: str) -> str | None:
    """The publication's prefix in the key of a public copy; None for a key of another make."""
    found = _COPY.fullmatch(key)
    return None if found is None else found[1]


def _parts_of_original(key: str) -> tuple[str, str]:
    """What comes before the ending and names the blob, and the ending. Raises ValueError for another key."""
    found = _IS_ORIGINAL.fullmatch(key)
    if found is None:
        raise ValueError(f"{key} is no key of an original.")
    return found[1], found[3]
