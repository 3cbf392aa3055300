"""What the service's answers say, in the words of `media`."""

from collections.abc import Mapping
from typing import Any

from app.client.media import Failure, Kind, ListedMedia, Media, Rendition, Status, Tag, UserError, Visibility

#: What is asked of every mutation's answer.
USER_ERRORS = "userErrors { code message path }"


def user_errors(payload: Mapping[str, Any]) -> list[UserError]:
    return [
        UserError(code=error["code"], message=error["message"], path=error["path"])
        for error in payload["userErrors"]
    ]


def uploaded_media(node: Mapping[str, Any]) -> Media:
    details = node["details"] or {}
    return Media(
        status=Status(node["status"]),
        failure=_failure(node["failure"]),
        width=details.get("width"),
        height=details.get("height"),
        renditions=tuple(map(rendition, node["renditions"])),
    )


def listed_media(node: Mapping[str, Any]) -> ListedMedia:
    return ListedMedia(
        id=node["id"],
        version=node["version"],
        kind=Kind(node["kind"]),
        status=Status(node["status"]),
        visibility=Visibility(node["visibility"]),
        filename=node["filename"],
        title=node["title"],
        mime_type=node["mimeType"],
        byte_size=node["size"],
        created_at=node["createdAt"],
        updated_at=node["updatedAt"],
        tags=tuple(map(tag, node["tags"])),
        failure=_failure(node["failure"]),
    )


def rendition(node: Mapping[str, Any]) -> Rendition:
    return Rendition(
        name=node["name"],
        mime_type=node["mimeType"],
        width=node["width"],
        height=node["height"],
        byte_size=node["size"],
        url=(node["url"] or {}).get("url"),
    )


def tag(node: Mapping[str, Any]) -> Tag:
    return Tag(id=node["id"], name=node["name"], slug=node["slug"], media_count=node.get("mediaCount"))


def _failure(node: Mapping[str, Any] | None) -> Failure | None:
    return Failure(code=node["code"], message=node["message"]) if node else None
