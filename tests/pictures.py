"""Makes small pictures of every kind that is processed, as bytes.

Each shows four coloured quarters when it is displayed upright: red, green / blue, white. A test can tell from
one pixel whether a rendition stands right and has the right colours.
"""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from uuid import uuid4

import pyvips
from PIL import Image
from pillow_jxl import Encoder

RED, GREEN, BLUE, WHITE = (230, 30, 40), (20, 160, 60), (30, 60, 200), (255, 255, 255)

#: Hidden in EXIF, XMP and the comment: it must not appear in anything that is served.
SECRET = "Secret-Photographer-4711"

#: EXIF's tag.
ORIENTATION = 0x0112
#: EXIF orientation → how the upright picture is stored; the inverse of what a viewer does.
_STORED = {
    1: lambda image: image,
    2: lambda image: image.fliphor(),
    3: lambda image: image.rot180(),
    4: lambda image: image.flipver(),
    5: lambda image: image.rot90().fliphor(),
    6: lambda image: image.rot270(),
    7: lambda image: image.rot90().flipver(),
    8: lambda image: image.rot90(),
}


def unlike_all_others(picture: bytes) -> bytes:
    """The same JPEG or PNG, also a damaged one, in a file that nobody has sent before; others as they are.

    By a comment behind the first marker (ITU-T T.81, B.2.4.5), or a text behind the header (PNG, 11.3.4.3).
    """
    name = uuid4().hex.encode()
    if picture.startswith(b"\xff\xd8"):
        return picture[:2] + b"\xff\xfe" + (len(name) + 2).to_bytes(2, "big") + name + picture[2:]
    if picture.startswith(b"\x89PNG"):
        text = b"tEXt" + b"Comment\0" + name
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        return picture[:33] + chunk + picture[33:]
    return picture


def jpeg(
    width: int = 64,
    height: int = 48,
    *,
    orientation: int | None = None,
    gps: bool = False,
    grey: bool = False,
    cmyk: bool = False,
    display_p3: bool = False,
    progressive: bool = False,
) -> bytes:
    """`width` and `height` as displayed; `orientation` stores it turned and says so in EXIF."""
    image = _quarters(width, height)
    options: dict[str, object] = {"Q": 95, "interlace": progressive}
    if grey:
        image = image.colourspace("b-w")
    if cmyk:
        image, options["profile"] = image.icc_transform("cmyk", input_profile="srgb"), "cmyk"
    if display_p3:
        image, options["profile"] = image.icc_transform("p3", input_profile="srgb"), "p3"
    image = _stored(image, orientation)
    if gps:
        image = _with_metadata(image)
    return bytes(image.jpegsave_buffer(**options))


def png(
    width: int = 64,
    height: int = 48,
    *,
    alpha: bool = False,
    grey: bool = False,
    palette: bool = False,
    sixteen_bit: bool = False,
    interlaced: bool = False,
    orientation: int | None = None,
    gps: bool = False,
) -> bytes:
    """`alpha` makes the white quarter wholly transparent; `orientation` goes into its `eXIf`."""
    image = _quarters(width, height)
    if alpha:
        image = _see_through(image)
    if grey:
        image = image.colourspace("b-w")
    if sixteen_bit:
        image = image.colourspace("grey16" if grey else "rgb16")
    image = _stored(image, orientation)
    if gps:
        image = _with_metadata(image)
    return bytes(image.pngsave_buffer(interlace=interlaced, palette=palette))


def webp(
    width: int = 64,
    height: int = 48,
    *,
    alpha: bool = False,
    frames: int = 1,
    orientation: int | None = None,
    gps: bool = False,
) -> bytes:
    image = _quarters(width, height)
    if alpha:
        image = _see_through(image)
    if gps:
        image = _with_metadata(image)
    return bytes(_animated(image, frames, orientation).webpsave_buffer(Q=95))


def gif(width: int = 64, height: int = 48, *, frames: int = 1) -> bytes:
    return bytes(_animated(_quarters(width, height), frames).gifsave_buffer())


def avif(
    width: int = 64,
    height: int = 48,
    *,
    alpha: bool = False,
    display_p3: bool = False,
    orientation: int | None = None,
    gps: bool = False,
) -> bytes:
    """`orientation` becomes the boxes `irot` and `imir`."""
    image = _quarters(width, height)
    options: dict[str, object] = {"Q": 90, "effort": 0, "compression": "av1"}
    if display_p3:
        image, options["profile"] = image.icc_transform("p3", input_profile="srgb"), "p3"
    if alpha:
        image = _see_through(image)
    image = _stored(image, orientation)
    if gps:
        image = _with_metadata(image)
    return bytes(image.heifsave_buffer(**options))


def tiff(
    width: int = 64,
    height: int = 48,
    *,
    alpha: bool = False,
    cmyk: bool = False,
    sixteen_bit: bool = False,
    pages: int = 1,
    orientation: int | None = None,
    gps: bool = False,
    **options: object,
) -> bytes:
    """`options` are libvips' own: `tile`, `bigtiff`, `compression` …; further pages stand upside down."""
    image = _quarters(width, height)
    if cmyk:
        image, options["profile"] = image.icc_transform("cmyk", input_profile="srgb"), "cmyk"
    if alpha:
        image = _see_through(image)
    if sixteen_bit:
        image = image.colourspace("rgb16")
    if gps:
        image = _with_metadata(image)
    return bytes(_animated(image, pages, orientation).tiffsave_buffer(**options))


def fax(width: int = 64, height: int = 48) -> bytes:
    """Black and white, one bit a pixel: the left half is black."""
    image = pyvips.Image.black(width, height).copy(interpretation="b-w")
    image = image.draw_rect([255], width // 2, 0, width - width // 2, height, fill=True)
    return bytes(image.tiffsave_buffer(compression="ccittfax4", bitdepth=1))


def raw(*, big_endian: bool = False, tags: Sequence[tuple[int, int]] = ((254, 1), (330, 8))) -> bytes:
    """What a camera's raw file begins with: a directory that says that this page is only a preview."""
    order = ">" if big_endian else "<"
    value = "HH" if big_endian else "I"
    entries = b"".join(
        struct.pack(f"{order}HHI{value}", tag, 4, 1, *((0, number) if big_endian else (number,)))
        for tag, number in tags
    )
    head = (b"MM" if big_endian else b"II") + struct.pack(f"{order}HI", 42, 8)
    return head + struct.pack(f"{order}H", len(tags)) + entries + bytes(64)


def apng(
    width: int = 64,
    height: int = 48,
    *,
    frames: int = 3,
    delays: Sequence[int] = (),
    loop: int = 0,
    alpha: bool = False,
    default_image: bool = False,
    orientation: int | None = None,
    gps: bool = False,
) -> bytes:
    """Every second frame stands upside down. `default_image`: also a still that is none of the frames."""
    image = _quarters(width, height)
    if alpha:
        image = _see_through(image)
    mode = "RGBA" if alpha else "RGB"
    stored = [_stored(view, orientation) for view in (image, image.rot180())]
    views = [
        Image.frombytes(mode, (view.width, view.height), bytes(view.write_to_memory())) for view in stored
    ]
    exif = Image.Exif()
    if gps:
        exif.load(exif_with_position())
    if orientation is not None:
        exif[ORIENTATION] = orientation
    shown = [views[number % 2] for number in range(frames)]
    if default_image:
        shown.insert(0, views[0])
    file = BytesIO()
    shown[0].save(
        file,
        "PNG",
        save_all=True,
        append_images=shown[1:],
        duration=list(delays) or [100] * frames,
        loop=loop,
        default_image=default_image,
        exif=exif.tobytes() if len(exif) else b"",
    )
    return file.getvalue()


def exif_with_position() -> bytes:
    """As it stands in a file, after `Exif` and two zeros: SECRET and where it was taken."""
    exif: bytes = pyvips.Image.new_from_buffer(jpeg(gps=True), "").get("exif-data")
    return exif.removeprefix(b"Exif\0\0")


def jxl(
    width: int = 64,
    height: int = 48,
    *,
    alpha: bool = False,
    container: bool = False,
    gps: bool = False,
) -> bytes:
    """`gps` needs a container."""
    image = _quarters(width, height)
    if alpha:
        image = _see_through(image)
    # The wheel's stub is behind its code.
    encoder = Encoder(  # type: ignore[call-arg]
        mode="RGBA" if alpha else "RGB", lossless=True, effort=1, num_threads=1, use_container=container
    )
    encoded = bytes(encoder(bytes(image.write_to_memory()), width, height, jpeg_encode=False))
    if gps:
        at = encoded.index(b"ftyp") + 16
        exif = bytes(4) + exif_with_position()
        encoded = encoded[:at] + struct.pack(">I4s", 8 + len(exif), b"Exif") + exif + encoded[at:]
    return encoded


def jxl_of_jpeg(data: bytes, width: int, height: int) -> bytes:
    """A JPEG packed without loss, with its orientation and metadata, in a container of several boxes."""
    encoder = Encoder(mode="RGB", lossless=True, num_threads=1)  # type: ignore[call-arg]
    return bytes(encoder(data, width, height, jpeg_encode=True))


def jxl_bomb(side: int) -> bytes:
    """A codestream whose first bits promise a square: size written out in 30 bits, ratio 1:1."""
    bits = 0 | 0b11 << 1 | (side - 1) << 3 | 1 << 33 | 1 << 36
    return b"\xff\x0a" + bits.to_bytes(8, "little") + bytes(64)


def promising(data: bytes, width: int, height: int) -> bytes:
    """A HEIC or AVIF whose header promises so many pixels."""
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A sound PNG with further chunks (kind, content) after its header."""
    sound = png()
    return sound[:33] + b"".join(chunk(kind, content) for kind, content in chunks) + sound[33:]


def svg(content: str = "<circle r='9'/>", *, before: str = "", attributes: str = "") -> bytes:
    return f"{before}<svg xmlns='http://www.w3.org/2000/svg' {attributes}>{content}</svg>".encode()


def chunk(kind: bytes, content: bytes) -> bytes:
    """One of a PNG, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def noise_png(width: int, height: int) -> bytes:
    """As slow to process as a picture of its size can be."""
    band = pyvips.Image.gaussnoise(width, height, mean=128, sigma=60)
    image = band.bandjoin([band.fliphor(), band.flipver()]).cast("uchar").copy(interpretation="srgb")
    return bytes(image.pngsave_buffer(compression=0))


def png_bomb(width: int, height: int) -> bytes:
    """A sound header that promises `width` × `height` pixels, and almost no data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(kind, data)
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(4096))), (b"IEND", b""))
    )


def apng_bomb(width: int, height: int, frames: int) -> bytes:
    """A still that promises to be so many frames."""
    sound = png(width, height)
    return sound[:33] + chunk(b"acTL", struct.pack(">II", frames, 0)) + sound[33:]


def gif_bomb(width: int, height: int, frames: int) -> bytes:
    """Frames of one pixel each on a canvas of `width` × `height`, 24 bytes a frame."""
    frame = (
        b"\x21\xf9\x04\0\x0a\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\0"
    )
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0)
    return b"GIF89a" + screen + b"\0\0\0\xff\xff\xff" + frame * frames + b"\x3b"


def cut(data: bytes, share: float = 0.5) -> bytes:
    """The first part of a file, as an upload that broke off leaves it."""
    return data[: int(len(data) * share)]


def pixel(data: bytes, x_share: float, y_share: float) -> Sequence[float]:
    """The pixel at a share of width and height, of an encoded picture: 3 or 4 values of 0 to 255."""
    image = pyvips.Image.new_from_buffer(data, "")
    value: Sequence[float] = image.getpoint(int(image.width * x_share), int(image.height * y_share))
    return value


def corners(data: bytes) -> tuple[Sequence[float], ...]:
    """The middle of each quarter: top left, top right, bottom left, bottom right."""
    return tuple(pixel(data, x, y) for y in (0.25, 0.75) for x in (0.25, 0.75))


def is_near(value: Sequence[float], expected: Sequence[float], tolerance: float) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(value[:3], expected[:3], strict=True))


def _quarters(width: int, height: int) -> "pyvips.Image":
    left, top = width // 2, height // 2
    image = pyvips.Image.black(width, height, bands=3).copy(interpretation="srgb")
    for colour, x, y, w, h in (
        (RED, 0, 0, left, top),
        (GREEN, left, 0, width - left, top),
        (BLUE, 0, top, left, height - top),
        (WHITE, left, top, width - left, height - top),
    ):
        if w and h:
            image = image.draw_rect(list(colour), x, y, w, h, fill=True)
    return image


def _stored(image: "pyvips.Image", orientation: int | None) -> "pyvips.Image":
    """As a camera keeps what it took: turned, and with the orientation that turns it back."""
    if orientation is None:
        return image
    image = _STORED[orientation](image).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return image


def _see_through(image: "pyvips.Image") -> "pyvips.Image":
    alpha = (pyvips.Image.black(image.width, image.height) + 255).cast("uchar")
    x, y = image.width // 2, image.height // 2
    return image.bandjoin(alpha.draw_rect([0], x, y, image.width - x, image.height - y, fill=True))


def _animated(image: "pyvips.Image", frames: int, orientation: int | None = None) -> "pyvips.Image":
    """Every second frame shows the picture upside down: a still must be made of the first."""
    if frames == 1:
        return _stored(image, orientation)
    views = [_stored(view, orientation) for view in (image, image.rot180())]
    height = views[0].height
    strip = pyvips.Image.arrayjoin([views[number % 2] for number in range(frames)], across=1).copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", height)
    strip.set_type(pyvips.GValue.array_int_type, "delay", [100] * frames)
    return strip


def _with_metadata(image: "pyvips.Image") -> "pyvips.Image":
    image = image.copy()
    for name, value in (
        ("exif-ifd0-Artist", SECRET),
        ("exif-ifd3-GPSLatitudeRef", "N"),
        ("exif-ifd3-GPSLatitude", "52/1 31/1 12/1"),
        ("exif-ifd3-GPSLongitudeRef", "E"),
        ("exif-ifd3-GPSLongitude", "13/1 24/1 18/1"),
    ):
        image.set_type(pyvips.GValue.gstr_type, name, value)
    xmp = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{SECRET}</x:xmpmeta>"
    image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp.encode())
    return image
