"""What S3's answers say of objects, in the words of the contract."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from storage.keys import PUBLIC_PREFIX
from storage.objects import ObjectInfo

#: Copies in caches outlive a deletion by a day at most; see `ObjectStore.public_url`.
_PUBLIC_CACHE = "public, max-age=86400, immutable"
#: What a signed address says of itself comes before this.
_PRIVATE_CACHE = "private, max-age=86400, immutable"


def etag_of(quoted: str) -> str:
    return quoted.strip('"')


def in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def head_info(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        byte_size=int(answer["ContentLength"]),
        etag=etag_of(answer["ETag"]),
        modified_at=in_utc(answer["LastModified"]),
    )


def listed_info(entry: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key=entry["Key"],
        byte_size=int(entry["Size"]),
        etag=etag_of(entry["ETag"]),
        modified_at=in_utc(entry["LastModified"]),
    )


def described(key: str, content_type: str) -> dict[str, str]:
    """What an object says of itself when it is served: its type, and how long caches may keep it."""
    public = key.startswith(PUBLIC_PREFIX)
    return {"ContentType": content_type, "CacheControl": _PUBLIC_CACHE if public else _PRIVATE_CACHE}
