"""The types that are accepted for upload, and what they are called."""

from db.models import MediaKind

#: Declared MIME type → the extension of the object's key. Exactly the types that the pipeline processes, and
#: image/apng, as some clients call a PNG that moves. What a file is its bytes say; this is only a claim.
ACCEPTED = {
    "image/apng": "png",
    "image/avif": "avif",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jpeg": "jpg",
    "image/jxl": "jxl",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/tiff": "tif",
    "image/webp": "webp",
}


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
