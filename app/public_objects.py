"""What is public: which keys are served unsigned, and as what.

A key is public when it begins with `public/` once the path is decoded. No spelling leads from there to
anything else, for a key with an empty segment, or one that begins with a dot, names no object.
"""

from http import HTTPStatus
from pathlib import PurePosixPath

from starlette.responses import Response
from starlette.types import Scope

from app.object_answers import Manner
from app.refusals import Refusal
from pipeline.recipe import FORMATS
from storage.errors import ObjectMissingError
from storage.keys import PUBLIC_PREFIX
from storage.objects import Disposition

CACHE_CONTROL = "public, max-age=86400, immutable"
"""A day: so long a copy in somebody's cache may outlive an unpublishing."""

# For everybody alike, whatever the Origin: the answer in a shared cache is right for all pages.
_FOR_ALL_PAGES = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "etag, content-range, accept-ranges, content-length",
}

#: For a day: what a page may do here never changes.
_PREFLIGHT = _FOR_ALL_PAGES | {
    "Allow": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Methods": "GET, HEAD",
    # Any header: none leads to anything that is not public. `range` by name for browsers without the `*`.
    "Access-Control-Allow-Headers": "range, *",
    "Access-Control-Max-Age": "86400",
}

# Only what we make is shown; the types are ours, never a client's.
_SHOWN = {f".{extension}": content_type for extension, content_type in FORMATS.values()}


def is_public(key: str) -> bool:
    return key.startswith(PUBLIC_PREFIX)


def is_public_path(scope: Scope) -> bool:
    return scope["type"] == "http" and is_public(scope["path"].removeprefix("/objects/"))


def public_options() -> Response:
    """What a browser is told that asks beforehand, whether there is such an object or not."""
    return Response(status_code=HTTPStatus.NO_CONTENT, headers=_PREFLIGHT)


def public_manner(key: str) -> Manner:
    path = PurePosixPath(key)
    content_type = _SHOWN.get(path.suffix)
    return Manner(
        content_type=content_type or "application/octet-stream",
        disposition=Disposition.INLINE if content_type else Disposition.ATTACHMENT,
        filename=path.name,
        cache_control=CACHE_CONTROL,
        headers=_FOR_ALL_PAGES,
    )


def nothing_public() -> Refusal:
    """One answer for whatever is not there, was never there or can't be there; no cache keeps it."""
    return Refusal(
        status=HTTPStatus.NOT_FOUND,
        code=ObjectMissingError.code,
        message=str(ObjectMissingError()),
        headers=_FOR_ALL_PAGES,
    )
