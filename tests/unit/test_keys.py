"""Object keys tell whose blob they were made for, in all their forms, and nothing else does."""

from uuid import UUID

import pytest

from db.models import new_id, utc_now
from services.keys import (
    blob_of_key,
    copied_key,
    new_public_prefix,
    original_key,
    prefix_of_copy,
    prefixes_of_blob,
    public_key,
    rendition_key,
    renditions_prefix,
    staging_key,
)
from storage.keys import is_key


def keys_of(original: str) -> dict[str, str]:
    sent = staging_key(original)
    copied = copied_key(sent, '"etag"')
    return {
        "original": original,
        "staging": sent,
        "copied": copied,
        "rendition": rendition_key(original, "image-1", "webp-320.webp"),
        "rendition of a copied one": rendition_key(copied, "image-2", "webp-320.webp"),
    }


@pytest.mark.parametrize("owner_id", [None, new_id()], ids=["shared", "owner"])
def test_all_keys_of_a_blob_name_it_and_begin_alike(owner_id: UUID | None) -> None:
    blob_id, other_id = new_id(), new_id()
    original = original_key(owner_id, blob_id, "image/tiff", utc_now())
    others = keys_of(original_key(owner_id, other_id, "image/tiff", utc_now())).values()
    keys = keys_of(original)
    assert {name: blob_of_key(key) for name, key in keys.items()} == dict.fromkeys(keys, blob_id)
    assert all(is_key(key) for key in keys.values())
    for start in (original, keys["copied"]):  # whichever of them the row names
        prefixes = prefixes_of_blob(start)
        assert all(key.startswith(prefixes) for key in keys.values())
        assert not any(key.startswith(prefixes) for key in others)


def test_what_is_copied_goes_where_nothing_else_is_copied() -> None:
    original = original_key(new_id(), new_id(), "image/jpeg", utc_now())
    sent = staging_key(original)
    first, second = copied_key(sent, "one"), copied_key(sent, "two")
    assert len({original, first, second}) == 3
    assert first == copied_key(sent, "one")
    assert first.endswith(".jpg")
    # Files made from it lie where they lay, so another recipe's are found there too.
    assert renditions_prefix(first) == renditions_prefix(original) == original.removesuffix(".jpg") + "/"


def test_other_keys_name_no_blob() -> None:
    copy = public_key(new_public_prefix(), "a/image-1/webp-320.webp")
    assert prefix_of_copy(copy) is not None
    name = new_id()
    others = [
        "backup.tar",
        "notes/2026/11/21/a.txt",
        f"notes/2026/11/21/{name}.jpg",
        f"{name}.jpg",
        f"shared/2026/11/21/{name}",
        f"staging/staging/shared/2026/11/21/{name}.jpg",
        f"shared/2026/11/21/{name}-abc.jpg",
        copy,
    ]
    assert [key for key in others if blob_of_key(key) is not None] == []
    for key in ("a.jpg", copy, f"shared/2026/11/21/{name}", ""):
        with pytest.raises(ValueError, match="no key of an original"):
            prefixes_of_blob(key)
