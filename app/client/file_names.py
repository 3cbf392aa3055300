"""Names for what is downloaded: whatever the service says, only the name of a plain file comes of it."""

import unicodedata
from pathlib import PurePosixPath

from app.client.text import UNPRINTABLE

#: What file systems take, in bytes of UTF-8.
_LONGEST_NAME = 255

#: Longer ones are no types but the rest of a sentence with a full stop.
_LONGEST_SUFFIX = 16

_SUFFIXES = {
    "image/avif": ".avif",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
}


def safe_name(name: str) -> str:
    """One component of a path that hides nothing and looks like no option, of at most 255 bytes.

    Separators, controls and formats become "_", as do dots and a hyphen at the beginning.
    """
    replaced = "".join(
        "_" if character in '/\\:*?"<>|' or unicodedata.category(character) in UNPRINTABLE else character
        for character in name
    ).strip()
    bare = replaced.lstrip(".-")
    safe = "_" * (len(replaced) > len(bare)) + bare
    return shortened(safe or "_", _LONGEST_NAME)


def rendition_name(filename: str, rendition: str, mime_type: str) -> str:
    """As in beach-webp-640.webp."""
    return safe_name(f"{PurePosixPath(safe_name(filename)).stem}-{rendition}{_SUFFIXES.get(mime_type, '')}")


def shortened(name: str, byte_size: int) -> str:
    """At most `byte_size` bytes, with the suffix if it is one."""
    if len(name.encode()) <= byte_size:
        return name
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > _LONGEST_SUFFIX:
        suffix = ""
    stem = name[: len(name) - len(suffix)].encode()[: byte_size - len(suffix.encode())]
    return stem.decode(errors="ignore") + suffix
