"""Foreign text made safe to send and to print."""

import os
import re
import unicodedata

#: Controls (escape sequences!), formats (text that runs backwards), lone surrogates, line and paragraph ends.
UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str) -> str:
    """Escape what would move the cursor, colour the terminal or forge a line."""
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in UNPRINTABLE
        else character
        for character in text
    )


def sendable(text: str) -> str:
    """Text of the command line or the file system as proper Unicode: bytes that are none become U+FFFD."""
    return os.fsencode(text).decode("utf-8", errors="replace")


def decimal_bytes(count: int) -> str:
    """In the units that file managers show: 999 B, 1.0 kB, 12.3 MB."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.95 or unit == "GB":
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:,.1f} {unit}"


def tag_slug(name: str) -> str:
    """The form by which the service compares tags; empty where there is no letter and no digit."""
    folded = re.sub("i\u0307+", "i", unicodedata.normalize("NFKC", name).casefold())
    slug = ""
    for character in unicodedata.normalize("NFKC", folded):
        is_mark = unicodedata.category(character).startswith("M") and slug[-1:] not in {"", "-", "_"}
        if is_mark or character.isalnum() or character == "_":
            slug += character
        elif not slug.endswith("-"):
            slug += "-"
    return slug.strip("-_")
