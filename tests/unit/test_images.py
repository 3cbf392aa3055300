"""Pictures of every kind become upright sRGB renditions without metadata, and hostile ones become errors."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import pyvips

from pipeline.facts import (
    CorruptInputError,
    ImageFacts,
    ImageRenditions,
    LimitExceededError,
    PipelineError,
    UnsupportedFormatError,
)
from pipeline.images import inspect_image, render_image
from pipeline.limited import jxl
from pipeline.limited.refusals import RefusalError
from pipeline.limits import ImageLimits
from tests import corpus, pictures, stored_pictures

LIMITS = ImageLimits()
#: What lossy encoding in 4:2:0 may do to the middle of a flat area.
ENCODING = 12

KINDS = {
    "jpeg": pictures.jpeg(),
    "jpeg progressive": pictures.jpeg(progressive=True),
    "jpeg display-p3": pictures.jpeg(display_p3=True),
    "png": pictures.png(),
    "png palette": pictures.png(palette=True),
    "png interlaced": pictures.png(interlaced=True),
    "png 16 bit": pictures.png(sixteen_bit=True),
    "png 16 bit alpha interlaced": pictures.png(sixteen_bit=True, alpha=True, interlaced=True),
    "webp": pictures.webp(),
    "gif": pictures.gif(),
    "heic": stored_pictures.PLAIN,
    "heic turned": stored_pictures.TURNED,
    "heic mirrored": stored_pictures.MIRRORED,
    "heic display-p3 by colour codes": stored_pictures.DISPLAY_P3,
    "avif": pictures.avif(),
    "avif display-p3": pictures.avif(display_p3=True),
    "tiff": pictures.tiff(),
    "tiff 16 bit": pictures.tiff(sixteen_bit=True),
    "tiff in tiles, big": pictures.tiff(tile=True, bigtiff=True, compression="deflate"),
    "tiff of three pages": pictures.tiff(pages=3),
    "jxl": pictures.jxl(),
    "jxl in a container": pictures.jxl(container=True),
    "jxl of a turned jpeg": pictures.jxl_of_jpeg(pictures.jpeg(orientation=6, gps=True), 64, 48),
    "jxl of a mirrored jpeg": pictures.jxl_of_jpeg(pictures.jpeg(orientation=5), 64, 48),
}
TAKEN_SOMEWHERE = {
    "jpeg": pictures.jpeg(400, 300, gps=True),
    "png": pictures.png(400, 300, gps=True),
    "apng": pictures.apng(400, 300, gps=True),
    "webp": pictures.webp(400, 300, gps=True),
    "webp animated": pictures.webp(400, 300, frames=3, gps=True),
    "heic": stored_pictures.heic_with(pictures.exif_with_position()),
    "avif": pictures.avif(400, 300, gps=True),
    "tiff": pictures.tiff(400, 300, gps=True),
    "jxl": pictures.jxl(400, 300, container=True, gps=True),
}
GREYS = {
    "jpeg": pictures.jpeg(grey=True),
    "png": pictures.png(grey=True),
    "png alpha": pictures.png(grey=True, alpha=True),
    "png 16 bit": pictures.png(grey=True, sixteen_bit=True),
    "png 16 bit alpha": pictures.png(grey=True, alpha=True, sixteen_bit=True),
}
UPRIGHT = (pictures.RED, pictures.GREEN, pictures.BLUE, pictures.WHITE)


class Workshop:
    """Writes bytes to a file and puts the pipeline to work on it."""

    def __init__(self, directory: Path) -> None:
        self.source = directory / "source"
        self.job_dir = directory / "job"
        self.job_dir.mkdir(parents=True)

    async def inspect(self, data: bytes, limits: ImageLimits = LIMITS) -> ImageFacts:
        self.source.write_bytes(data)
        facts = await inspect_image(self.source, self.job_dir, limits)
        assert isinstance(facts, ImageFacts)
        return facts

    async def render(self, data: bytes, limits: ImageLimits = LIMITS) -> ImageRenditions:
        self.source.write_bytes(data)
        return await render_image(self.source, self.job_dir, limits)


def turned_jxl(width: int, height: int, *, orientation: int) -> bytes:
    """Of a JPEG, whose orientation it takes over."""
    return pictures.jxl_of_jpeg(pictures.jpeg(width, height, orientation=orientation), width, height)


def with_byte_after(data: bytes, kind: bytes, value: int) -> bytes:
    """The first byte of a box's content replaced."""
    at = data.index(kind) + len(kind)
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def names(made: ImageRenditions) -> set[str]:
    return {file.name for file in made.files}


def assert_shows(made: ImageRenditions, expected: Sequence[Sequence[float]], tolerance: float) -> None:
    for file in made.files:
        for value, colour in zip(pictures.corners(file.path.read_bytes()), expected, strict=True):
            if len(value) == 4 and value[3] == 0:  # What is wholly transparent has no colour.
                continue
            assert pictures.is_near(value, colour, tolerance), (file.name, value, colour)


def assert_sound(made: ImageRenditions) -> None:
    """Every file opens completely, is as large as stated, in 8-bit sRGB, and carries nothing but pixels."""
    for file in made.files:
        data = file.path.read_bytes()
        image = pyvips.Image.new_from_buffer(data, "", fail_on="warning").copy_memory()
        assert (image.width, image.height) == (file.width, file.height)
        assert (image.interpretation, image.format) == ("srgb", "uchar")
        assert file.byte_size == len(data)
        carried = [
            name for name in image.get_fields() if name.startswith(("exif", "iptc", "xmp", "icc", "png-"))
        ]
        assert carried == []
        assert image.get_typeof("orientation") == 0 or image.get("orientation") == 1
        for forbidden in (
            b"Exif\0",
            b"http://ns.adobe.com",
            b"ICC_PROFILE",
            b"acsp",
            b"GPS",
            b"EXIF",
            b"XMP ",
        ):
            assert forbidden not in data


async def test_facts_come_from_the_header_and_leave_nothing(workshop: Workshop) -> None:
    assert await workshop.inspect(pictures.webp(70, 40, frames=3)) == ImageFacts(
        mime_type="image/webp", width=70, height=40, pages=3
    )
    assert list(workshop.job_dir.iterdir()) == []


async def test_an_animation_has_pages_and_a_still_has_one(workshop: Workshop) -> None:
    assert (await workshop.inspect(pictures.gif(frames=4))).pages == 4
    assert not (await workshop.inspect(pictures.gif())).animated


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "encode", [pictures.jpeg, pictures.png, pictures.webp, pictures.tiff, pictures.avif, turned_jxl]
)
async def test_every_orientation_stands_upright(
    workshop: Workshop, encode: Callable[..., bytes], orientation: int
) -> None:
    """In EXIF, in a tag, in the boxes `irot` and `imir`, in the codestream: each is turned once."""
    data = encode(400, 300, orientation=orientation)
    facts = await workshop.inspect(data)
    made = await workshop.render(data)
    assert (facts.width, facts.height) == (400, 300)
    assert {(file.width, file.height) for file in made.files} == {(400, 300), (320, 240)}
    assert_shows(made, UPRIGHT, ENCODING)
    assert_sound(made)


@pytest.mark.parametrize("angle", range(4))
@pytest.mark.parametrize("mirrored", ["not at all", "top to bottom", "left to right"])
async def test_a_heic_is_turned_and_mirrored_as_its_boxes_say(
    workshop: Workshop, angle: int, mirrored: str
) -> None:
    """That is all eight orientations; those in EXIF, 6 and 5, change nothing."""
    data = stored_pictures.TURNED if mirrored == "not at all" else stored_pictures.MIRRORED
    data = with_byte_after(data, b"irot", angle)
    red, green, blue, white = UPRIGHT
    shown = (green, white, red, blue) if mirrored == "not at all" else (red, blue, green, white)
    for _ in range(angle):  # each a quarter to the left
        top_left, top_right, bottom_left, bottom_right = shown
        shown = (top_right, bottom_right, top_left, bottom_left)
    if mirrored == "top to bottom":
        data, shown = with_byte_after(data, b"imir", 0), (*shown[2:], *shown[:2])
    if mirrored == "left to right":
        data, shown = with_byte_after(data, b"imir", 1), (shown[1], shown[0], shown[3], shown[2])
    facts = await workshop.inspect(data)
    made = await workshop.render(data)
    size = (64, 48) if angle % 2 else (48, 64)
    assert (facts.width, facts.height) == size
    assert {(file.width, file.height) for file in made.files} == {size}
    assert_shows(made, shown, ENCODING)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_keeps_its_colours(workshop: Workshop, kind: str) -> None:
    made = await workshop.render(KINDS[kind])
    assert names(made) == {"webp-64", "avif-64", "jpeg-64"}
    assert_shows(made, UPRIGHT, ENCODING)
    assert_sound(made)


@pytest.mark.parametrize("kind", GREYS)
async def test_grey_stays_grey(workshop: Workshop, kind: str) -> None:
    made = await workshop.render(GREYS[kind])
    for file in made.files:
        red, green, blue = pictures.pixel(file.path.read_bytes(), 0.25, 0.25)[:3]
        assert max(red, green, blue) - min(red, green, blue) <= 2
        assert 60 < red < 160
    assert_sound(made)


@pytest.mark.parametrize("data", [pictures.jpeg(cmyk=True), pictures.tiff(cmyk=True)], ids=["jpeg", "tiff"])
async def test_cmyk_becomes_srgb(workshop: Workshop, data: bytes) -> None:
    made = await workshop.render(data)
    assert_shows(made, UPRIGHT, 60)  # The press can't print all of these colours.
    assert_sound(made)


@pytest.mark.parametrize("encode", [pictures.png, pictures.webp, pictures.avif, pictures.tiff, pictures.jxl])
async def test_transparency_is_kept_and_white_in_the_jpeg(workshop: Workshop, encode: object) -> None:
    assert callable(encode)
    made = await workshop.render(encode(400, 300, alpha=True))
    for file in made.files:
        value = pictures.pixel(file.path.read_bytes(), 0.75, 0.75)
        if file.mime_type == "image/jpeg":
            assert pictures.is_near(value, (255, 255, 255), 3)
        else:
            assert value[3] == 0
            assert pictures.pixel(file.path.read_bytes(), 0.25, 0.25)[3] == 255
    assert_shows(made, UPRIGHT, ENCODING)


@pytest.mark.parametrize("kind", TAKEN_SOMEWHERE)
async def test_no_metadata_is_served(workshop: Workshop, kind: str) -> None:
    data = TAKEN_SOMEWHERE[kind]
    assert pictures.SECRET.encode() in data
    made = await workshop.render(data)
    assert_sound(made)
    for file in made.files:
        assert pictures.SECRET.encode() not in file.path.read_bytes()


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1, 1, {"webp-1", "avif-1", "jpeg-1"}),
        (150, 103, {"webp-150", "avif-150", "jpeg-150"}),
        (320, 10, {"webp-320", "avif-320", "jpeg-320"}),
        (321, 10, {"webp-321", "webp-320", "avif-321", "avif-320", "jpeg-321"}),
        (600, 450, {"webp-600", "webp-320", "avif-600", "avif-320", "jpeg-600"}),
        (
            2000,
            100,
            {"webp-1920", "webp-1280", "webp-640", "webp-320", "avif-1920", "avif-1280", "jpeg-1920"},
        ),
    ],
)
async def test_widths_are_never_enlarged(
    workshop: Workshop, width: int, height: int, expected: set[str]
) -> None:
    made = await workshop.render(pictures.png(width, height))
    assert names(made) == expected
    assert_sound(made)


async def test_the_narrowest_webp_is_the_thumbnail(workshop: Workshop) -> None:
    made = await workshop.render(pictures.jpeg(700, 100))
    assert [file.name for file in made.files if file.role == "THUMBNAIL"] == ["webp-320"]
    assert {file.role for file in made.files} == {"THUMBNAIL", "IMAGE"}


async def test_a_very_tall_picture_fits_into_webp(workshop: Workshop) -> None:
    made = await workshop.render(pictures.png(400, 20_000))
    assert max(file.height for file in made.files) == 16_383
    assert max(file.width for file in made.files) == 328
    assert_sound(made)


async def test_a_very_wide_picture_keeps_a_row(workshop: Workshop) -> None:
    made = await workshop.render(pictures.png(20_000, 1))
    assert {file.height for file in made.files} == {1}
    assert_sound(made)


async def test_rendering_again_gives_the_same_bytes(workshop: Workshop) -> None:
    first = await workshop.render(pictures.jpeg(400, 300))
    contents = [file.path.read_bytes() for file in first.files]
    assert await workshop.render(pictures.jpeg(400, 300)) == first
    assert [file.path.read_bytes() for file in first.files] == contents


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.parametrize(
    "data",
    [
        pictures.jpeg(400, 300),
        pictures.jpeg(400, 300, progressive=True),
        pictures.noise_png(200, 150),
        pictures.png(400, 300, interlaced=True),
        pictures.webp(400, 300),
        pictures.gif(400, 300),
        stored_pictures.PLAIN,
        pictures.avif(400, 300),
        pictures.tiff(400, 300),
        pictures.jxl(400, 300),
        pictures.jxl(400, 300, container=True),
    ],
    ids=[
        *("jpeg", "progressive jpeg", "png", "interlaced png", "webp", "gif"),
        *("heic", "avif", "tiff", "jxl", "jxl in a container"),
    ],
)
async def test_a_picture_cut_off_is_damaged(workshop: Workshop, data: bytes, share: float) -> None:
    with pytest.raises((CorruptInputError, UnsupportedFormatError)):
        await workshop.render(pictures.cut(data, share))


async def test_a_jpeg_cut_off_and_closed_again_is_damaged(workshop: Workshop) -> None:
    with pytest.raises(CorruptInputError, match="premature end of data segment"):
        await workshop.render(pictures.cut(pictures.jpeg(400, 300)) + b"\xff\xd9")


@pytest.mark.parametrize("progressive", [False, True])
async def test_a_jpeg_that_lacks_only_its_end_marker_is_sound(workshop: Workshop, progressive: bool) -> None:
    """Browsers show it, and nothing of the picture is missing."""
    data = pictures.jpeg(400, 300, progressive=progressive)
    assert_shows(await workshop.render(data[:-2]), UPRIGHT, ENCODING)
    assert_shows(await workshop.render(data[:-1]), UPRIGHT, ENCODING)


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
async def test_what_follows_a_jpeg_takes_no_memory(workshop: Workshop, end: bytes) -> None:
    """Gigabytes of it, of which the disk keeps nothing; for all of it libvips would find no room."""
    workshop.source.write_bytes(pictures.jpeg(400, 300))
    os.truncate(workshop.source, 4 * 1024**3)
    with workshop.source.open("ab") as file:
        file.write(end)
    less = ImageLimits(address_space_bytes=1024 * 1024**2)
    facts = await inspect_image(workshop.source, workshop.job_dir, less)
    assert facts == ImageFacts(mime_type="image/jpeg", width=400, height=300, pages=1)
    made = await render_image(workshop.source, workshop.job_dir, less)
    assert_shows(made, UPRIGHT, ENCODING)


async def test_a_jpeg_that_ends_beyond_what_is_read_is_too_large(workshop: Workshop) -> None:
    """Comments fill what is read."""
    data = pictures.jpeg(400, 300)
    comment = b"\xff\xfe\xff\xff" + bytes(65_533)
    workshop.source.write_bytes(data[:2] + comment * 4_100 + data[2:])
    with pytest.raises(LimitExceededError, match="the first 268,435,456 bytes are read, and it does not end"):
        await inspect_image(workshop.source, workshop.job_dir, LIMITS)


async def test_a_jpeg_with_padding_before_its_end_is_sound(workshop: Workshop) -> None:
    data = pictures.jpeg(400, 300)
    assert_shows(await workshop.render(data[:-2] + bytes(4) + data[-2:]), UPRIGHT, ENCODING)


async def test_a_heic_of_whose_pictures_none_is_left_is_damaged(workshop: Workshop) -> None:
    """Its item claims an essential property that isn't there, so libheif opens the file without a picture."""
    at = stored_pictures.PLAIN.index(b"ipma") + 19
    assert stored_pictures.PLAIN[at] == 0x84
    data = stored_pictures.PLAIN[:at] + b"\xff" + stored_pictures.PLAIN[at + 1 :]
    for work in (workshop.inspect, workshop.render):
        with pytest.raises(CorruptInputError, match="it has no picture"):
            await work(data)


async def test_a_signature_alone_is_damaged(workshop: Workshop) -> None:
    with pytest.raises(CorruptInputError, match="GIF data is damaged"):
        await workshop.inspect(b"GIF89a/*\0\0\0\0\0*/=1;alert(1)")


async def test_what_is_no_picture_is_called_by_its_name(workshop: Workshop) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"This is a PDF document; .* JPEG, PNG, .* and SVG\."):
        await workshop.inspect(b"%PDF-1.7 ...")


@pytest.mark.parametrize(
    "data",
    [
        pictures.raw(),
        pictures.raw(big_endian=True),
        pictures.raw(tags=[(50706, 1)]),
        pictures.raw(tags=[(262, 32803)]),
        b"II*\0\x10\0\0\0CR\2\0" + bytes(64),
    ],
    ids=["preview", "preview, big-endian", "DNG", "colour filter array", "CR2"],
)
async def test_a_cameras_raw_file_is_not_taken_for_its_preview(workshop: Workshop, data: bytes) -> None:
    with pytest.raises(UnsupportedFormatError, match="camera's raw file"):
        await workshop.inspect(data)


async def test_an_animated_jxl_is_refused(workshop: Workshop) -> None:
    """Its decoder would show the last frame."""
    with pytest.raises(UnsupportedFormatError, match="animated JPEG XL"):
        await workshop.inspect(stored_pictures.ANIMATED_JXL)


def test_a_jxl_is_refused_where_its_decoder_was_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "picture").write_bytes(pictures.jxl())
    limits = {"max_pixels": LIMITS.max_pixels}
    assert jxl.size(str(tmp_path / "picture"), limits)
    monkeypatch.setattr(jxl, "INSTALLED", False)
    with pytest.raises(RefusalError, match="not read by this installation"):
        jxl.size(str(tmp_path / "picture"), limits)


async def test_a_fax_becomes_black_on_white(workshop: Workshop) -> None:
    """Group 4; the corpus has one of groups 3 and 4."""
    made = await workshop.render(pictures.fax())
    assert_shows(made, ((0, 0, 0), (255, 255, 255)) * 2, ENCODING)


async def test_pages_are_counted_and_are_no_frames(workshop: Workshop) -> None:
    """Only the first is decoded, so only its pixels count."""
    exact = ImageLimits(max_pixels=64 * 48, max_pages=3)
    facts = await workshop.inspect(pictures.tiff(pages=3), exact)
    assert (facts.pages, facts.animated) == (3, False)
    with pytest.raises(LimitExceededError, match="4 pages; the limit is 3"):
        await workshop.inspect(pictures.tiff(pages=4), exact)


async def test_the_limits_themselves_are_allowed(workshop: Workshop) -> None:
    exact = ImageLimits(max_pixels=30_000, max_pages=3)
    assert (await workshop.inspect(pictures.gif(100, 100, frames=3), exact)).pages == 3


async def test_a_rendition_over_its_limit_is_refused(workshop: Workshop) -> None:
    with pytest.raises(LimitExceededError, match="larger than the limit for files"):
        await workshop.render(pictures.noise_png(400, 400), ImageLimits(output_file_bytes=8 * 1024))


async def test_any_directory_name_will_do(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Workshop(workshop.job_dir / "käse [1], 2: 'x'[a=b]")
    monkeypatch.chdir(odd.job_dir)
    odd.source = Path("pic [n=-1]")
    assert_shows(await odd.render(pictures.gif()), UPRIGHT, ENCODING)


@pytest.mark.parametrize("missing", ["source", "job"])
async def test_a_missing_path_is_the_callers_error(workshop: Workshop, missing: str) -> None:
    if missing == "job":
        workshop.source.write_bytes(pictures.png())
        workshop.job_dir.rmdir()
    with pytest.raises(FileNotFoundError):
        await inspect_image(workshop.source, workshop.job_dir, LIMITS)


@corpus.each(corpus.is_picture)
async def test_corpus_pictures_end_as_the_manifest_says(entry: corpus.Entry, workshop: Workshop) -> None:
    if entry.expected == "reject":
        with pytest.raises((CorruptInputError, LimitExceededError)):
            await workshop.render(entry.path.read_bytes())
        return
    facts = await workshop.inspect(entry.path.read_bytes())
    made = await workshop.render(entry.path.read_bytes())
    assert facts.animated == ("anim" in entry.note or "frames" in entry.note)
    assert facts.animated == any(file.name.startswith("animation-") for file in made.files)
    assert max(file.width for file in made.files) == min(facts.width, 1920)
    assert made.files[0].width * facts.height == pytest.approx(made.files[0].height * facts.width, rel=0.01)
    assert_sound(made)


@corpus.each(lambda entry: not corpus.is_picture(entry) and not corpus.is_drawing(entry))
async def test_other_corpus_files_are_refused(entry: corpus.Entry, workshop: Workshop) -> None:
    with pytest.raises(UnsupportedFormatError):
        await workshop.render(entry.path.read_bytes())


async def test_every_failure_is_a_sentence(workshop: Workshop) -> None:
    for data in (b"", b"\xff\xd8\xff", pictures.png_bomb(60_000, 60_000), pictures.cut(pictures.gif())):
        with pytest.raises(PipelineError) as failed:
            await workshop.render(data)
        assert str(failed.value).endswith(".")
        assert str(workshop.source) not in str(failed.value)
