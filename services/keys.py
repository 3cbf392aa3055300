"""Object keys: made by us, never from a client's words, and immutable once written."""

from datetime import datetime
from uuid import UUID

from services.formats import ACCEPTED


def original_key(owner_id: UUID, blob_id: UUID, mime_type: str, at: datetime) -> str:
    """`<owner>/<yyyy>/<mm>/<dd>/<blob>.<ext>`; the extension follows the declared type."""
    return f"{owner_id}/{at:%Y/%m/%d}/{blob_id}.{ACCEPTED[mime_type]}"


def renditions_prefix(original: str) -> str:
    """Everything made from an original lies beneath this, and nothing else does."""
    return original.rpartition(".")[0] + "/"


def rendition_key(original: str, recipe: str, filename: str) -> str:
    return f"{renditions_prefix(original)}{recipe}/{filename}"
