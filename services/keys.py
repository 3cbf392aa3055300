"""Object keys: made by us, never from a client's words, and immutable once written."""

import re
import secrets
from datetime import datetime
from uuid import UUID

from services.formats import ACCEPTED
from storage.keys import PUBLIC_PREFIX

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

#: An original or a file made from it, of whomever and in whatever part of the store.
_OF_BLOB = re.compile(rf"(?:[a-z]+/)?(?:{_ID}/)?\d{{4}}/\d\d/\d\d/({_ID})(?:\.[a-z0-9]+|/.+)", re.ASCII)

#: 160 bits: nobody finds a prefix by trying.
_PUBLIC_PREFIX_BYTES = 20
_COPY = re.compile(rf"({PUBLIC_PREFIX}[0-9a-f]{{{2 * _PUBLIC_PREFIX_BYTES}}})/.+", re.ASCII)

_STAGING_PREFIX = "staging/"


#: Where originals lie that media of several owners may come to show: their addresses name nobody.
SHARED_PREFIX = "shared"


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


def renditions_prefix(original: str) -> str:
    """Everything made from an original lies beneath this, and nothing else does."""
    return original.rpartition(".")[0] + "/"


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
    found = _OF_BLOB.fullmatch(key)
    return None if found is None else UUID(found[1])


def prefix_of_copy(key: str) -> str | None:
    """The publication's prefix in the key of a public copy; None for a key of another make."""
    found = _COPY.fullmatch(key)
    return None if found is None else found[1]
