"""A tiny picture of each kind, but for WebP, AVIF and JPEG, which are rendered from the PNG."""

import struct
import zlib
from base64 import b64decode

SIDE = 16

#: 64 × 48 pixels, made once with pillow-heif 1.8.1 (x265): quality 55, 4:2:0.
HEIC = b64decode(
    """
AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA
ACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAAMIAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt
AAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA
AAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5j
bHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBp
eGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAMptZGF0AAAAvigBrx+A36N7/9tgT/ZVHL1dpWLBkxD/8pML0dq/
ffZQIPVKiU8tqBWf7xCFIXKulrHcEkEXYU9CscdGtTbRJX+QQXFQ2qxu3tFZhJtb5EfTtO0eeTjnq7gJ26yfxEj/dwJprRZ5rzkl
4fKg9N1BtrXZlYKiIqY/jdAAAvq03BE1Z8RGAxfQIF6NIEWHXKcudC1l8kivyk9jyq8T5nu5/cYn1Sh9dRkmhv+Z/vIfiziD9Wi1
5osRWhjX7NyG110=
    """
)
#: 16 × 16 pixels, made once with pillow-jxl-plugin 1.3.8 (libjxl): lossless, effort 1.
_JPEG_XL = b64decode(
    """
/wpDQCQIAgEA/AJLGJuccYQDOIADOCBKwDkFAQAgRIAIEAEiQOT5l3v6Hlpn71NVdW+SJAkBdXd3d3f3////W/VmZmZmeP77e/6/
oLHmWmvvc29EREQEAWVmZmZmZlVV3fd+d3d3N/y/f89/D40551xrn3uTJEkIqKqqqqqq/v//n3tfd3d3N/y/f89/D40551xrn3uT
JEkIqKqqqqqq/v//n3tfd3d39wWiAHDnB+Qxeli78+PxwODAOAaexyeyAQTAN1qABuAbBQ==
    """
)
#: One pixel.
_GIF = (
    b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff"  # the screen, black and white
    b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
)
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><circle cx="8" cy="8" r="6"/></svg>'

_ROWS = zlib.compress((b"\0" + bytes((200, 120, 40)) * SIDE) * SIDE)


def written_samples() -> dict[str, bytes]:
    """By the names of `pipeline.sniff.SUPPORTED_IMAGES`, and APNG."""
    return {
        "PNG": png(),
        "APNG": _apng(),
        "GIF": _GIF,
        "TIFF": _tiff(),
        "HEIC": HEIC,
        # The same picture under the brands that leave open how it is coded.
        "HEIF": HEIC[:32].replace(b"heic", b"mif1") + HEIC[32:],
        "JPEG XL": _JPEG_XL,
        "SVG": _SVG,
    }


def png() -> bytes:
    return _png_of((b"IDAT", _ROWS))


def _apng() -> bytes:
    """The same frame twice, each for a tenth of a second."""

    def control(number: int) -> tuple[bytes, bytes]:
        return b"fcTL", struct.pack(">IIIIIHHBB", number, SIDE, SIDE, 0, 0, 1, 10, 0, 0)

    second = (b"fdAT", struct.pack(">I", 2) + _ROWS)
    return _png_of((b"acTL", struct.pack(">II", 2, 0)), control(0), (b"IDAT", _ROWS), control(1), second)


def _png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), *chunks, (b"IEND", b""))
    )


def _tiff() -> bytes:
    """Shades of grey in one strip without compression, and a directory after it."""
    pixels = bytes(range(SIDE * SIDE))
    tags = {
        256: SIDE,  # ImageWidth
        257: SIDE,  # ImageLength
        258: 8,  # BitsPerSample
        259: 1,  # Compression: none
        262: 1,  # PhotometricInterpretation: 0 is black
        273: 8,  # StripOffsets
        277: 1,  # SamplesPerPixel
        278: SIDE,  # RowsPerStrip
        279: len(pixels),  # StripByteCounts
    }
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<I", 8 + len(pixels))
    return head + pixels + struct.pack("<H", len(tags)) + directory + bytes(4)
