"""The type of a file from its first bytes, whatever its name or its sender says.

Only fixed bytes at fixed places are compared: nothing is parsed, so there is nothing to attack. A sniffed
type is no promise that the rest of the file is sound.
"""

from codecs import getincrementaldecoder
from dataclasses import dataclass

#: Bytes from the start of the file that `sniff` wants to see; fewer are fine. Drawings begin with comments.
HEAD_BYTES = 4096

#: What is processed here, by media type, and what it is called. APNG counts as PNG.
SUPPORTED_IMAGES = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WebP",
    "image/gif": "GIF",
    "image/heic": "HEIC",
    "image/heif": "HEIF",
    "image/avif": "AVIF",
    "image/tiff": "TIFF",
    "image/jxl": "JPEG XL",
    "image/svg+xml": "SVG",
}


@dataclass(frozen=True, slots=True)
class Sniffed:
    """`mime_type` and how a person calls it: "a PDF document"."""

    mime_type: str
    description: str

    @property
    def supported(self) -> bool:
        return self.mime_type in SUPPORTED_IMAGES


EMPTY = Sniffed("inode/x-empty", "an empty file")
TEXT = Sniffed("text/plain", "a text file")
UNKNOWN = Sniffed("application/octet-stream", "a file of unknown type")

_SIGNATURES = (
    (b"\xff\xd8\xff", Sniffed("image/jpeg", "a JPEG picture")),
    (b"\x89PNG\r\n\x1a\n", Sniffed("image/png", "a PNG picture")),
    (b"GIF87a", Sniffed("image/gif", "a GIF picture")),
    (b"GIF89a", Sniffed("image/gif", "a GIF picture")),
    (b"II*\0", Sniffed("image/tiff", "a TIFF picture or a camera's raw file")),
    (b"MM\0*", Sniffed("image/tiff", "a TIFF picture or a camera's raw file")),
    (b"II+\0", Sniffed("image/tiff", "a BigTIFF picture")),
    (b"MM\0+", Sniffed("image/tiff", "a BigTIFF picture")),
    (b"BM", Sniffed("image/bmp", "a BMP picture")),
    (b"\0\0\1\0", Sniffed("image/vnd.microsoft.icon", "an icon")),
    (b"8BPS", Sniffed("image/vnd.adobe.photoshop", "a Photoshop file")),
    (b"\xff\x0a", Sniffed("image/jxl", "a JPEG XL picture")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", Sniffed("image/jxl", "a JPEG XL picture")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Sniffed("image/jp2", "a JPEG 2000 picture")),
    (b"%PDF-", Sniffed("application/pdf", "a PDF document")),
    (b"PK\3\4", Sniffed("application/zip", "a ZIP archive or an office document")),
    (b"\x1f\x8b", Sniffed("application/gzip", "a gzip archive")),
    (b"\x1aE\xdf\xa3", Sniffed("video/x-matroska", "a Matroska or WebM film")),
    (b"FLV\1", Sniffed("video/x-flv", "a Flash video")),
    (b"OggS", Sniffed("application/ogg", "an Ogg file")),
    (b"fLaC", Sniffed("audio/flac", "a FLAC recording")),
    (b"ID3", Sniffed("audio/mpeg", "an MP3 recording")),
    (b"\xff\xfb", Sniffed("audio/mpeg", "an MP3 recording")),
)

#: RIFF containers, by the four bytes at 8.
_RIFF = {
    b"WEBP": Sniffed("image/webp", "a WebP picture"),
    b"WAVE": Sniffed("audio/wav", "a WAV recording"),
    b"AVI ": Sniffed("video/x-msvideo", "an AVI film"),
}

_AVIF = Sniffed("image/avif", "an AVIF picture")
_HEIC = Sniffed("image/heic", "a HEIC picture")
_HEIF = Sniffed("image/heif", "a HEIF picture")
#: ISO base media files, by the major brand at 8; any other brand is a film.
_BRANDS = {
    b"avif": _AVIF,
    b"avis": _AVIF,
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), _HEIC),
    b"mif1": _HEIF,
    b"mif2": _HEIF,
    b"msf1": _HEIF,
    b"qt  ": Sniffed("video/quicktime", "a QuickTime film"),
    b"M4A ": Sniffed("audio/mp4", "an M4A recording"),
}
#: How many compatible brands are looked at; real files have about six.
_MAX_BRANDS = 32
_FILM = Sniffed("video/mp4", "an MP4 film")
_TRANSPORT_STREAM = Sniffed("video/mp2t", "an MPEG transport stream")

_MARKUP = (
    (b"<!doctype html", Sniffed("text/html", "a web page")),
    (b"<html", Sniffed("text/html", "a web page")),
    (b"<svg", Sniffed("image/svg+xml", "an SVG drawing")),
    (b":svg", Sniffed("image/svg+xml", "an SVG drawing")),
    (b"<?xml", Sniffed("text/xml", "an XML document")),
)

#: What no text file has: the control characters except tab and the ends of line and page.
_NOT_TEXT = bytes(set(range(0x20)) - set(b"\t\n\r\f")) + b"\x7f"


def sniff(head: bytes) -> Sniffed:
    """Tell the type from the first bytes of a file (at most `HEAD_BYTES` are looked at)."""
    head = head[:HEAD_BYTES]
    if not head:
        return EMPTY
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _branded(head)
    for signature, sniffed in _SIGNATURES:
        if head.startswith(signature):
            return sniffed
    if head[0:377:188] == b"GGG":  # The sync byte of three packets in a row.
        return _TRANSPORT_STREAM
    return _text(head) or UNKNOWN


def _branded(head: bytes) -> Sniffed:
    """A major brand that leaves the coding open ("mif1") is told more exactly by the compatible ones."""
    sniffed = _BRANDS.get(head[8:12], _FILM)
    if sniffed is not _HEIF:
        return sniffed
    end = min(int.from_bytes(head[:4], "big"), 16 + 4 * _MAX_BRANDS)
    compatible = (_BRANDS.get(head[at : at + 4]) for at in range(16, end, 4))
    return next((brand for brand in compatible if brand in (_AVIF, _HEIC)), _HEIF)


def _text(head: bytes) -> Sniffed | None:
    try:
        # Not final: the last character may have been cut off.
        getincrementaldecoder("utf-8")().decode(head, final=False)
    except UnicodeDecodeError:
        return None
    if head.translate(None, _NOT_TEXT) != head:
        return None
    folded = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not folded.startswith(b"<"):
        return TEXT
    return next((sniffed for tag, sniffed in _MARKUP if tag in folded), TEXT)
