"""What is made of a picture. Shared by both sides of the process border, so it imports nothing."""

#: Part of every rendition's key. Raise it when the same bytes would now give other renditions: another width,
#: format, quality or colour treatment. What an older recipe made stays valid beside it.
RECIPE = "image-1"

#: Pixels. A picture gets those below its own upright width, and min(its width, MAX_WIDTH) itself.
WIDTHS = (320, 640, 1280, 1920)
MAX_WIDTH = WIDTHS[-1]
#: Pixels; WebP's coding has 14 bits for a side.
MAX_SIDE = 16_383

#: How many of the largest widths also become AVIF, and JPEG.
AVIF_COUNT = 2
JPEG_COUNT = 1

#: format → (file name extension, media type)
FORMATS = {
    "webp": ("webp", "image/webp"),
    "avif": ("avif", "image/avif"),
    "jpeg": ("jpg", "image/jpeg"),
}

#: Pixels; the longer side of what the ThumbHash is computed from.
THUMBHASH_SIDE = 100


def file_name(name: str) -> str:
    """The file of rendition `webp-320` is `webp-320.webp`."""
    return f"{name}.{FORMATS[name.partition('-')[0]][0]}"
