"""What is made of a picture. Shared by both sides of the process border, so it imports nothing."""

#: Part of every rendition's key. Raise it when the same bytes would now give other renditions: another width,
#: format, quality or colour treatment. What an older recipe made stays valid beside it.
#: image-2: animations stay animated beside their stills.
RECIPE = "image-2"

#: Pixels. A picture gets those below its own upright width, and min(its width, MAX_WIDTH) itself.
WIDTHS = (320, 640, 1280, 1920)
MAX_WIDTH = WIDTHS[-1]
#: Pixels; WebP's coding has 14 bits for a side.
MAX_SIDE = 16_383

#: How many of the largest widths also become AVIF, and JPEG.
AVIF_COUNT = 2
JPEG_COUNT = 1

#: Pixels; the same rule for an animation, which is watched in a column of text rather than on a whole screen.
#: Each million of pixels × frames costs 60 ms at ANIMATION_EFFORT, and all widths together have at most 1.4
#: times the pixels of the widest.
ANIMATION_WIDTHS = (320, 640, 1280)
#: Effort 4 takes twice the time for 4 % fewer bytes.
ANIMATION_EFFORT = 2

#: format → (file name extension, media type). An animation is WebP as well.
FORMATS = {
    "webp": ("webp", "image/webp"),
    "avif": ("avif", "image/avif"),
    "jpeg": ("jpg", "image/jpeg"),
    "animation": ("webp", "image/webp"),
}
ANIMATION = "animation"

#: Pixels; the longer side of what the ThumbHash is computed from.
THUMBHASH_SIDE = 100

#: Whose pages are the frames of an animation; elsewhere further pages are other pictures.
ANIMATED_TYPES = ("image/gif", "image/webp", "image/png")
#: Stored and handed out as a file, never decoded to pixels.
DRAWING_TYPE = "image/svg+xml"


def file_name(name: str) -> str:
    """The file of rendition `webp-320` is `webp-320.webp`."""
    return f"{name}.{FORMATS[name.partition('-')[0]][0]}"


def widths_below(width: int, steps: "tuple[int, ...]") -> "list[int]":
    """From the widest to the narrowest: min(`width`, the largest step), and the steps below it."""
    widest = min(width, steps[-1])
    return [widest, *(step for step in reversed(steps) if step < widest)]
