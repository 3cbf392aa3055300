"""The types that are accepted for upload, and what they are called."""

from db.models import MediaKind

#: Declared MIME type → the extension of the object's key. Exactly the types that the pipeline decodes.
ACCEPTED = {"image/gif": "gif", "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp"}


def kind_of(mime_type: str) -> MediaKind:
    match mime_type.split("/")[0]:
        case "image":
            return MediaKind.IMAGE
        case "video":
            return MediaKind.VIDEO
        case "audio":
            return MediaKind.AUDIO
        case "text":
            return MediaKind.DOCUMENT
        case _:
            return MediaKind.DOCUMENT if mime_type == "application/pdf" else MediaKind.OTHER
