"""Object keys: made by us, never from a client's words, and immutable once written."""

import secrets
from datetime import datetime
from uuid import UUID

from services.formats import ACCEPTED
from storage.keys import PUBLIC_PREFIX

#: 160 bits: nobody finds a prefix by trying.
_PUBLIC_PREFIX_BYTES = 20


#: Where originals lie that media of several owners may come to show: their addresses name nobody.
SHARED_PREFIX = "shared"


def original_key(owner_id: UUID | None, blob_id: UUID, mime_type: str, at: datetime) -> str:
    """`<owner>/<yyyy>/<mm>/<dd>/<blob>.<ext>`, or `shared/…` without an owner.

    The extension follows the declared type.
    """
    return f"{owner_id or SHARED_PREFIX}/{at:%Y/%m/%d}/{blob_id}.{ACCEPTED[mime_type]}"


def staging_key(original: str) -> str:
    """Where the bytes of an original are sent when its own key must not be signed for."""
    return f"staging/{original}"


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
