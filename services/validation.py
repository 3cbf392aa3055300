"""What the fields of an input may hold. Each check returns the clean value or raises InvalidInput.

The sentence names the field and the limit; the limits stand here, once.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import orjson

from db.search import slug_of, split_words
from services.errors import InvalidInput

MAX_FILENAME_CHARACTERS = 255
MAX_TITLE_CHARACTERS = 300
MAX_DESCRIPTION_CHARACTERS = 10_000
MAX_METADATA_BYTES = 16 * 1024
#: What the encoder takes, less a few.
MAX_METADATA_LEVELS = 250
MAX_TAG_CHARACTERS = 64
MAX_TAGS = 50
MAX_KEY_CHARACTERS = 255
MAX_SEARCH_CHARACTERS = 200
MAX_SEARCH_WORDS = 10

#: RFC 6838 §4.2: type and subtype of at most 127 characters each; we take no parameters.
_MIME_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")

#: JSON's escape of NUL, which jsonb can't store, not preceded by an escaping backslash.
_ENCODED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def clean_filename(value: str) -> str:
    field = "filename"
    if not 1 <= len(value) <= MAX_FILENAME_CHARACTERS:
        raise InvalidInput(
            f"{field} must have 1 to {MAX_FILENAME_CHARACTERS} characters, not {len(value)}.", field
        )
    if "/" in value or "\\" in value:
        raise InvalidInput(f"{field} must not contain a path separator (/ or \\).", field)
    if value in {".", ".."} or not value.strip():
        raise InvalidInput(f"{field} must name a file.", field)
    return _without_controls(value, field, allowed="")


def clean_mime_type(value: str) -> str:
    if not _MIME_TYPE.fullmatch(value):
        raise InvalidInput("mimeType must look like image/jpeg, without parameters.", "mimeType")
    return value.lower()


def clean_digest(value: str | None, field: str, *, hex_characters: int) -> str | None:
    """Lower-case hex of a digest of `hex_characters` / 2 bytes."""
    if value is None:
        return None
    if not re.fullmatch(rf"[0-9a-fA-F]{{{hex_characters}}}", value):
        raise InvalidInput(f"{field} must be {hex_characters} hexadecimal characters.", field)
    return value.lower()


def clean_idempotency_key(value: str | None) -> str | None:
    field = "clientMutationId"
    if value is None:
        return None
    if not 1 <= len(value) <= MAX_KEY_CHARACTERS:
        raise InvalidInput(
            f"{field} must have 1 to {MAX_KEY_CHARACTERS} characters, not {len(value):,}.", field
        )
    return _without_controls(value, field, allowed="")


def clean_search(value: str | None, field: str) -> tuple[str, ...]:
    """The folded words; none where nothing is searched for."""
    if value is None or not value.strip():
        return ()
    if len(value) > MAX_SEARCH_CHARACTERS:
        raise InvalidInput(
            f"{field} must have at most {MAX_SEARCH_CHARACTERS} characters, not {len(value):,}.", field
        )
    words = split_words(value)
    if not words:
        raise InvalidInput(f"{field} must contain a letter or a digit.", field)
    if len(words) > MAX_SEARCH_WORDS:
        raise InvalidInput(f"{field} must have at most {MAX_SEARCH_WORDS} words, not {len(words)}.", field)
    return tuple(words)


def clean_slug_prefix(value: str | None, field: str) -> str | None:
    """What a slug may begin with; None where nothing is searched for."""
    if value is None or not value.strip():
        return None
    if len(value.strip()) > MAX_TAG_CHARACTERS:
        raise InvalidInput(
            f"{field} must have at most {MAX_TAG_CHARACTERS} characters, not {len(value.strip()):,}.", field
        )
    prefix = slug_of(value)
    if not prefix:
        raise InvalidInput(f"{field} must contain a letter or a digit.", field)
    return prefix


def clean_title(value: str | None) -> str | None:
    return _clean_text(value, "title", MAX_TITLE_CHARACTERS, allowed="")


def clean_description(value: str | None) -> str | None:
    return _clean_text(value, "description", MAX_DESCRIPTION_CHARACTERS, allowed="\n\r\t")


def _clean_text(value: str | None, field: str, limit: int, *, allowed: str) -> str | None:
    if value is None:
        return None
    if len(value) > limit:
        raise InvalidInput(f"{field} must have at most {limit:,} characters, not {len(value):,}.", field)
    return _without_controls(value, field, allowed=allowed)


def clean_term(value: str, field: str) -> str:
    """A word to look for, such as a slug."""
    return _without_controls(value, field, allowed="")


def _without_controls(value: str, field: str, *, allowed: str) -> str:
    # Cc: PostgreSQL refuses NUL, and control characters forge lines in logs and terminals.
    # Cs: a lone surrogate has no UTF-8 form.
    if any(
        unicodedata.category(character) in {"Cc", "Cs"} for character in value if character not in allowed
    ):
        raise InvalidInput(f"{field} must not contain control characters.", field)
    return value


def clean_metadata(value: object, field: str = "metadata") -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{field} must be a JSON object.", field)
    try:
        encoded = orjson.dumps(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"{field} must be plain JSON: text without lone surrogates, integers up to 64 bits, "
            f"at most {MAX_METADATA_LEVELS} levels.",
            field,
        ) from error
    if len(encoded) > MAX_METADATA_BYTES:
        raise InvalidInput(
            f"{field} must have at most {MAX_METADATA_BYTES:,} bytes as JSON, not {len(encoded):,}.", field
        )
    if _ENCODED_NUL.search(encoded):
        raise InvalidInput(f"{field} must not contain the NUL character.", field)
    clean: dict[str, Any] = orjson.loads(encoded)
    if clean != value:
        raise InvalidInput(f"{field} must not contain an infinite number.", field)
    return clean


def clean_tags(names: Sequence[str], field: str = "tags") -> dict[str, str]:
    """The names by slug. Names of one slug are one tag: the first wins."""
    if len(names) > MAX_TAGS:
        raise InvalidInput(f"{field} must be at most {MAX_TAGS}, not {len(names)}.", field)
    tags: dict[str, str] = {}
    for name in names:
        tags.setdefault(slugify(name, field), name.strip())
    return tags


def slugify(name: str, field: str) -> str:
    """The form by which tags are compared: "Summer  Holiday" and "summer-holiday" are one tag.

    Letters and digits of every script stay with their marks, folded (NFKC, casefold), and underscores between
    them; all else becomes single hyphens.
    """
    if not 1 <= len(name.strip()) <= MAX_TAG_CHARACTERS:
        raise InvalidInput(f"A tag's name must have 1 to {MAX_TAG_CHARACTERS} characters ({field}).", field)
    _without_controls(name, field, allowed="")
    slug = slug_of(name)
    if not slug:
        raise InvalidInput(f"A tag's name must contain a letter or a digit ({field}).", field)
    return slug
