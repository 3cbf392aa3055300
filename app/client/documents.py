"""What `--json` prints: one JSON document for each thing, each on a line of its own.

The keys are those of the GraphQL schema. Where a command does something with each of the things it was given,
the document's `error` is null, or the sentence that says why it was not done.
"""

import json
from collections.abc import Mapping
from typing import Any

from app.client.library_watch import LibraryEvent
from app.client.media import ListedMedia, Tag


def line(document: Mapping[str, Any]) -> str:
    """ASCII, so that no terminal and no locale changes it."""
    return json.dumps(document) + "\n"


def listed(media: ListedMedia) -> dict[str, Any]:
    failure = media.failure
    return {
        "id": media.id,
        "version": media.version,
        "filename": media.filename,
        "title": media.title,
        "kind": media.kind,
        "status": media.status,
        "visibility": media.visibility,
        "failure": {"code": failure.code, "message": failure.message} if failure else None,
        "mimeType": media.mime_type,
        "size": media.byte_size,
        "tags": tag_names(media.tags),
        "createdAt": media.created_at,
        "updatedAt": media.updated_at,
    }


def event(event: LibraryEvent) -> dict[str, Any]:
    """`media` is as it is now, so perhaps later than `version`; null once it is deleted."""
    return {
        "cursor": event.cursor,
        "type": event.type,
        "mediaId": event.media_id,
        "version": event.version,
        "status": event.status,
        "previousStatus": event.previous_status,
        "matches": event.matches,
        "occurredAt": event.occurred_at,
        "media": listed(event.media) if event.media else None,
    }


def shown(node: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of one media; `download` and each rendition with its signed address."""
    details = dict(node["details"]) if node["details"] else None
    if details:
        del details["__typename"]
    return {
        **{key: value for key, value in node.items() if key != "__typename"},
        "details": details,
        "tags": [tag["name"] for tag in node["tags"]],
        "renditions": [_with_address(rendition, rendition["url"]) for rendition in node["renditions"]],
        "download": node["download"],
        "error": None,
    }


def tag(tag: Tag) -> dict[str, Any]:
    return {"id": tag.id, "name": tag.name, "slug": tag.slug, "mediaCount": tag.media_count}


def failed(media_id: str, error: str) -> dict[str, Any]:
    return {"id": media_id, "error": error}


def tag_names(tags: tuple[Tag, ...]) -> list[str]:
    return [tag.name for tag in tags]


def _with_address(rendition: Mapping[str, Any], signed: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        **rendition,
        "url": signed["url"] if signed else None,
        "expiresAt": signed["expiresAt"] if signed else None,
    }
