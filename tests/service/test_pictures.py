"""Real, generated and hostile files through one whole service, over HTTP, as clients send them.

All are sent at once, and then those of the corpus again, one by one.

The files of the shared corpus, and small generated ones of every kind, so that a checkout without the corpus
tests each kind as well.
"""

import asyncio
import time
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
import pytest
import pyvips
from PIL import Image
from pillow_jxl import Decoder

from pipeline.recipe import ANIMATION_WIDTHS, WIDTHS
from tests import corpus, pictures, stored_pictures
from tests.service import proc
from tests.service.client import Client, Media, RefusedError, Rendition
from tests.service.conftest import copied_directory, until_unused
from tests.service.patience import until
from tests.service.service import Service

#: All files together: three minutes of one core. Generous, for nothing is asked of it.
ALL_SECONDS = 600.0
#: One of many that were sent at once, on a machine that may be busy with something else: generous, too.
ONE_SECONDS = 570.0
AT_ONCE = 16
#: One alone, from its request to its end: what is asked of the worst.
ALONE_SECONDS = 15.0
#: A bomb, from the beginning of its first step to FAILED.
BOMB_SECONDS = 1.0
BOMB_TRIES = 3

#: What lossy encoding may do to the middle of a flat area.
ENCODING = 14

#: Mean difference of a channel between two photographs that show the same but for a large digit: 5. Mirrored
#: or turned ones differ by 50 and more.
SAME_PICTURE = 10.0
UPRIGHT = (pictures.RED, pictures.GREEN, pictures.BLUE, pictures.WHITE)

#: Fields in which libvips keeps what a file says besides its pixels.
METADATA = ("exif-data", "xmp-data", "iptc-data", "icc-profile-data", "orientation", "photoshop-data")
LOADERS = {"image/webp": "webpload", "image/avif": "heifload", "image/jpeg": "jpegload"}

pytestmark = pytest.mark.slow

#: By the name's end, as a browser says it; what is of no accepted type is sent as a JPEG.
CLAIMS = {
    ".png": "image/png",
    ".apng": "image/apng",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".avif": "image/avif",
    ".tif": "image/tiff",
    ".jxl": "image/jxl",
    ".svg": "image/svg+xml",
}
KINDS = {"png", "apng", "webp", "gif", "heic", "avif", "tiff", "jxl"}

SOUND = {
    "jpeg": pictures.jpeg(),
    "jpeg progressive": pictures.jpeg(progressive=True),
    "jpeg gps": pictures.jpeg(gps=True),
    "jpeg cmyk": pictures.jpeg(cmyk=True),
    "jpeg display-p3": pictures.jpeg(display_p3=True),
    **{f"jpeg turned {turn}": pictures.jpeg(400, 300, orientation=turn, gps=True) for turn in range(1, 9)},
    "polyglot": pictures.jpeg() + b"<html>tail</html>",
    "png": pictures.png(),
    "png alpha": pictures.png(alpha=True),
    "png palette": pictures.png(palette=True),
    "png interlaced": pictures.png(interlaced=True),
    "png 16 bit": pictures.png(sixteen_bit=True),
    "png gps": pictures.png(gps=True),
    "webp": pictures.webp(),
    "webp alpha": pictures.webp(alpha=True),
    "webp animated": pictures.webp(frames=3),
    "webp gps": pictures.webp(gps=True),
    "gif": pictures.gif(),
    "gif animated": pictures.gif(frames=3),
    "gif animated 700 wide": pictures.gif(700, 40, frames=3),
    "apng": pictures.apng(),
    "apng alpha": pictures.apng(alpha=True),
    "apng turned gps": pictures.apng(orientation=6, gps=True),
    "heic": stored_pictures.PLAIN,
    "heic turned": stored_pictures.TURNED,
    "heic mirrored": stored_pictures.MIRRORED,
    "heic gps": stored_pictures.heic_with(pictures.exif_with_position()),
    "heic display-p3": stored_pictures.DISPLAY_P3,
    "avif": pictures.avif(),
    "avif alpha": pictures.avif(alpha=True),
    "avif display-p3": pictures.avif(display_p3=True),
    "avif gps": pictures.avif(gps=True),
    "tiff": pictures.tiff(),
    "tiff cmyk": pictures.tiff(cmyk=True),
    "tiff 16 bit": pictures.tiff(sixteen_bit=True),
    "tiff tiles": pictures.tiff(tile=True, bigtiff=True),
    "tiff of three pages": pictures.tiff(pages=3),
    "tiff gps": pictures.tiff(gps=True),
    "jxl": pictures.jxl(),
    "jxl alpha": pictures.jxl(alpha=True),
    "jxl gps": pictures.jxl(container=True, gps=True),
    "jxl of a turned jpeg": pictures.jxl_of_jpeg(pictures.jpeg(orientation=6, gps=True), 64, 48),
    **{f"jpeg {width} wide": pictures.jpeg(width, 40) for width in (1, 319, 320, 321, 1920, 1921, 2600)},
}
DRAWINGS = {"svg": pictures.svg()}
UNSOUND = {
    "png bomb": (pictures.png_bomb(60_000, 60_000), "LIMIT_EXCEEDED"),
    "gif bomb": (pictures.gif_bomb(1_000, 1_000, 101), "LIMIT_EXCEEDED"),
    "gif of too many frames": (pictures.gif_bomb(10, 10, 2_000), "LIMIT_EXCEEDED"),
    "jpeg cut": (pictures.cut(pictures.jpeg(640, 480)), "CORRUPT_INPUT"),
    "png cut": (pictures.cut(pictures.noise_png(64, 64)), "CORRUPT_INPUT"),
    "webp cut": (pictures.cut(pictures.webp(640, 480)), "CORRUPT_INPUT"),
    "gif that is a program": (b"GIF89a/*\0\0\0\0\0*/=1;alert(1)//;", "CORRUPT_INPUT"),
    "text": (b"Permission is hereby granted, free of charge, to any person.\n", "UNSUPPORTED_FORMAT"),
    "svg with a script": (pictures.svg("<script>alert(1)</script>"), "UNSUPPORTED_FORMAT"),
    "svg cut": (pictures.cut(pictures.svg("<g/>" * 100)), "CORRUPT_INPUT"),
    "png bomb of text": (
        pictures.png_with((b"zTXt", b"a\0\0" + zlib.compress(bytes(2 * 1024**2)))),
        "LIMIT_EXCEEDED",
    ),
    "apng bomb": (pictures.apng_bomb(1_000, 1_000, 101), "LIMIT_EXCEEDED"),
    "avif bomb": (pictures.promising(pictures.avif(), 40_000, 40_000), "LIMIT_EXCEEDED"),
    "heic bomb": (pictures.promising(stored_pictures.PLAIN, 40_000, 40_000), "LIMIT_EXCEEDED"),
    "jxl bomb": (pictures.jxl_bomb(60_000), "LIMIT_EXCEEDED"),
    "jxl animated": (stored_pictures.ANIMATED_JXL, "UNSUPPORTED_FORMAT"),
    "tiff of a camera": (pictures.raw(), "UNSUPPORTED_FORMAT"),
    "gif animated cut": (pictures.cut(pictures.gif(frames=9), 0.9), "CORRUPT_INPUT"),
    "apng cut": (pictures.cut(pictures.apng(frames=9), 0.9), "CORRUPT_INPUT"),
    "zeros": (bytes(1000), "UNSUPPORTED_FORMAT"),
}

#: What is said of each file of the corpus that is no sound picture.
VERDICTS = {
    "bomb-280mp.jpg": {"LIMIT_EXCEEDED"},
    "bomb-65536.png": {"LIMIT_EXCEEDED"},
    "bomb-ztxt.png": {"LIMIT_EXCEEDED"},
    "truncated.jpg": {"CORRUPT_INPUT"},
    "polyglot-gif-js.gif": {"CORRUPT_INPUT"},
}
BOMBS = (*(name for name in UNSOUND if "bomb" in name), "bomb-280mp.jpg", "bomb-65536.png", "bomb-ztxt.png")
#: Bytes that a service and a child of it may come to hold.
SERVICE_MEMORY = 400 * 1024**2
#: What a service may hold more after everything was sent a second time; measured: none to 3 MB.
SERVICE_GROWTH = 16 * 1024**2
CHILD_MEMORY = 700 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as it is sent: its bytes and what the client says of them."""

    name: str
    data: bytes
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A rendition, and what came when its address was fetched."""

    rendition: Rendition
    data: bytes
    content_type: str
    disposition: str

    def image(self) -> "pyvips.Image":
        """Decoded by the one loader of its type, to the last pixel."""
        image = pyvips.Image.new_from_buffer(self.data, "", fail_on="warning", access="sequential")
        assert image.get("vips-loader").startswith(LOADERS[self.rendition.mime_type])
        return image.copy_memory()


@dataclass(frozen=True, slots=True, kw_only=True)
class Developed:
    """What became of a file: refused with `codes`, or a media that has ended and what is served of it."""

    source: bytes
    seconds: float
    codes: tuple[str, ...] = ()
    media: Media | None = None
    served: tuple[Served, ...] = ()
    original: httpx.Response | None = None

    @property
    def verdict(self) -> str:
        """READY, or the code of the failure or the refusal."""
        if self.media is None:
            return " ".join(self.codes)
        return self.media.failure.code if self.media.failure else self.media.status

    def named(self, name: str) -> Served:
        return next(served for served in self.served if served.rendition.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the service and the costliest of its children ever held, in bytes; what was left afterwards.

    `after_once` and `after_twice`: what the service held when everything had been sent so often.
    """

    service: int
    child: int
    after_once: int
    after_twice: int
    children_after: list[str]
    leftovers: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """`developed` at once with all others, and `alone`, the second time.

    `inspections`: seconds of the inspect step by the file's name, at its quickest.
    """

    developed: dict[str, Developed]
    alone: dict[str, Developed]
    inspections: dict[str, float]
    costs: Costs


@pytest.fixture(scope="module")
def gallery(used_directory: Path) -> Iterator[Gallery]:
    """Everything, sent through one service twice."""
    with copied_directory(used_directory) as data_dir:
        yield asyncio.run(develop_all(data_dir))


async def develop_all(data_dir: Path) -> Gallery:
    service = Service(data_dir)
    try:
        await service.start()
        async with asyncio.timeout(ALL_SECONDS), Client(service.origin) as client:
            await develop(client, File(name="warm-up", data=pictures.jpeg(), claim="image/jpeg"))
            files_before = proc.open_files_of(service.pid)
            peaks: dict[int, int] = {}
            watching = asyncio.create_task(watch_children(service, peaks))
            places = asyncio.Semaphore(AT_ONCE)

            async def one(file: File) -> Developed:
                async with places:
                    return await develop(client, file)

            files = everything()
            developed = await asyncio.gather(*map(one, files))
            after_once = proc.resident_bytes(service.pid)
            again = sent_again(files)
            await service.fetch("UPDATE blobs SET sha256 = NULL, verified_at = NULL, facts = NULL")
            alone = [await develop(client, file) for file in again]
            for file in (file for file in again if file.name in BOMBS):
                # A machine that is busy with something else is late by chance; a slow inspection always.
                for _ in range(BOMB_TRIES):
                    await develop(client, file)
            after_twice = proc.resident_bytes(service.pid)
            inspections = await inspection_seconds(service)
            watching.cancel()
            # Connections to clients and to PostgreSQL may stay open, as many as were used at once.
            await until(lambda: proc.open_files_of(service.pid) <= files_before + 2 * AT_ONCE)
        costs = Costs(
            service=proc.peak_bytes(service.pid),
            child=max(peaks.values()),
            after_once=after_once,
            after_twice=after_twice,
            children_after=[" ".join(proc.command_of(pid)) for pid in proc.children_of(service.pid)],
            leftovers=service.leftovers(),
        )
        assert await service.stop() == 0, service.complaint()
    finally:
        service.end()
        await until_unused(data_dir)
    return Gallery(
        developed={file.name: made for file, made in zip(files, developed, strict=True)},
        alone={file.name: made for file, made in zip(again, alone, strict=True)},
        inspections=inspections,
        costs=costs,
    )


def everything() -> list[File]:
    made = {**SOUND, **DRAWINGS}
    files = [File(name=name, data=data, claim=claim_of(name)) for name, data in made.items()]
    files += [File(name=name, data=data, claim=claim_of(name)) for name, (data, _) in UNSOUND.items()]
    with suppress(FileNotFoundError):
        for entry in corpus.entries():
            claim = CLAIMS.get(entry.path.suffix.lower()) or "image/jpeg"
            files.append(File(name=entry.path.name, data=entry.path.read_bytes(), claim=claim))
    return files


def sent_again(files: list[File]) -> list[File]:
    """The corpus and every bomb; where there is no corpus, everything."""
    names = {*BOMBS}
    try:
        names |= {entry.path.name for entry in corpus.entries()}
    except FileNotFoundError:
        return files
    return [file for file in files if file.name in names]


async def inspection_seconds(service: Service) -> dict[str, float]:
    rows = await service.fetch(
        "SELECT filename, min(extract(epoch FROM finished_at - started_at))::float8 AS seconds"
        " FROM processing_steps JOIN media ON media.id = media_id WHERE name = 'inspect' GROUP BY filename"
    )
    return {row["filename"]: row["seconds"] for row in rows}


def claim_of(name: str) -> str:
    """What a browser would say of such a file, and "image/jpeg" of what it would not send at all."""
    kind = name.partition(" ")[0]
    if kind == "svg":
        return "image/svg+xml"
    return f"image/{kind}" if kind in KINDS else "image/jpeg"


def type_of(name: str) -> str:
    """What the bytes are, whatever is said of them."""
    claim = claim_of(name)
    return "image/png" if claim == "image/apng" else claim


async def develop(client: Client, file: File) -> Developed:
    began = time.monotonic()
    try:
        media_id = await client.upload(file.data, file.name, file.claim, anew=False)
    except RefusedError as refused:
        return Developed(source=file.data, seconds=time.monotonic() - began, codes=tuple(refused.codes))
    media = await client.ends(media_id, seconds=ONE_SECONDS)
    seconds = time.monotonic() - began
    served = tuple([await fetch(client, rendition) for rendition in media.renditions])
    original = await client.get(await original_url(client, media)) if media.status == "READY" else None
    return Developed(source=file.data, seconds=seconds, media=media, served=served, original=original)


async def original_url(client: Client, media: Media) -> str:
    answer = await client.ask(
        "query ($id: ID!) { media(id: $id) { download(disposition: ATTACHMENT) { url } } }", id=media.id
    )
    url: str = answer["media"]["download"]["url"]
    return url


async def fetch(client: Client, rendition: Rendition) -> Served:
    answer = await client.get(rendition.url)
    assert answer.status_code == 200, answer.text
    return Served(
        rendition=rendition,
        data=answer.content,
        content_type=answer.headers["content-type"],
        disposition=answer.headers["content-disposition"],
    )


async def watch_children(service: Service, peaks: dict[int, int]) -> None:
    while True:
        for child in proc.children_of(service.pid):
            if any(part.endswith("child.py") for part in proc.command_of(child)):
                peaks[child] = max(peaks.get(child, 0), proc.peak_bytes(child))
        await asyncio.sleep(0.02)


def is_sound(entry: corpus.Entry) -> bool:
    return corpus.is_picture(entry) and entry.expected == "ok"


def is_sound_drawing(entry: corpus.Entry) -> bool:
    return corpus.is_drawing(entry) and entry.expected == "ok"


def is_unsound(entry: corpus.Entry) -> bool:
    return not is_sound(entry) and not is_sound_drawing(entry)


@corpus.each(is_sound)
def test_a_sound_file_of_the_corpus_is_shown(gallery: Gallery, entry: corpus.Entry) -> None:
    developed = gallery.developed[entry.path.name]
    mime_type = "image/png" if entry.mime_type == "image/apng" else entry.mime_type
    is_shown(developed, mime_type)
    assert developed.media
    assert developed.media.sha256 == entry.sha256


@corpus.each(is_unsound)
def test_any_other_file_of_the_corpus_is_judged(gallery: Gallery, entry: corpus.Entry) -> None:
    """Also what is no picture, sent as if it were one."""
    developed = gallery.developed[entry.path.name]
    fitting = VERDICTS.get(entry.path.name, {"UNSUPPORTED_FORMAT" if entry.byte_size else "INVALID_INPUT"})
    assert developed.verdict in fitting
    if developed.verdict == "READY":
        is_shown(developed, entry.mime_type)
    else:
        is_refused(developed)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_is_shown(gallery: Gallery, name: str) -> None:
    developed = gallery.developed[name]
    is_shown(developed, type_of(name))
    assert "gps" not in name or pictures.SECRET.encode() in developed.source
    for served in developed.served:
        assert pictures.SECRET.encode() not in served.data
        # The press can't print all of these colours; and a picture of one pixel's width has no quarters.
        tolerance = 60 if "cmyk" in name else ENCODING
        assert "wide" in name or is_upright(served, tolerance, see_through="alpha" in name)


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_handed_out_as_it_came(gallery: Gallery, name: str) -> None:
    is_handed_out(gallery.developed[name])


@corpus.each(is_sound_drawing)
def test_a_drawing_of_the_corpus_is_handed_out_as_it_came(gallery: Gallery, entry: corpus.Entry) -> None:
    is_handed_out(gallery.developed[entry.path.name])


def test_the_tail_of_a_polyglot_reaches_no_rendition(gallery: Gallery) -> None:
    """Generated, and that of the corpus where there is one."""
    tails = {"polyglot": b"<html>tail</html>", "polyglot-jpeg-zip.jpg": b"PK\3\4"}
    for name, tail in tails.items():
        if developed := gallery.developed.get(name):
            assert tail in developed.source
            assert developed.served
            assert all(tail not in served.data for served in developed.served)


@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_file_fails_and_says_why(gallery: Gallery, name: str) -> None:
    developed = gallery.developed[name]
    assert developed.verdict == UNSOUND[name][1]
    is_refused(developed)


@corpus.each(lambda entry: entry.path.name.startswith("Landscape_"))
def test_turned_photographs_stand_as_the_upright_one(gallery: Gallery, entry: corpus.Entry) -> None:
    for name in ("webp-320", "webp-600", "avif-600", "jpeg-600"):
        upright = gallery.developed["Landscape_1.jpg"].named(name).image()
        turned = gallery.developed[entry.path.name].named(name).image()
        assert (turned.width, turned.height) == (upright.width, upright.height)
        assert difference(turned, upright) < SAME_PICTURE
        for other in (turned.fliphor(), turned.flipver(), turned.rot180()):
            assert difference(other, upright) > 4 * SAME_PICTURE


def test_no_file_takes_more_than_its_share(gallery: Gallery) -> None:
    costs = gallery.costs
    assert costs.service < SERVICE_MEMORY
    assert costs.child < CHILD_MEMORY
    assert max(developed.seconds for developed in gallery.developed.values()) < ONE_SECONDS


@corpus.each(lambda entry: corpus.is_picture(entry) or corpus.is_drawing(entry))
def test_a_picture_of_the_corpus_alone_ends_soon(gallery: Gallery, entry: corpus.Entry) -> None:
    """Each, the sound and the hostile ones; where CI has no corpus this file can't even be collected."""
    alone = gallery.alone[entry.path.name]
    assert alone.media
    assert alone.media.status in {"READY", "FAILED"}
    assert alone.seconds < ALONE_SECONDS


def test_no_file_alone_takes_long(
    gallery: Gallery, record_testsuite_property: Callable[[str, object], None]
) -> None:
    record_testsuite_property("bombs", {name: round(gallery.inspections.get(name, 0), 3) for name in BOMBS})
    slowest = max(gallery.alone, key=lambda name: gallery.alone[name].seconds)
    record_testsuite_property("slowest", f"{slowest}: {gallery.alone[slowest].seconds:.2f} s")
    assert gallery.alone[slowest].seconds < ALONE_SECONDS, slowest
    ended_otherwise = [
        name for name, alone in gallery.alone.items() if alone.verdict != gallery.developed[name].verdict
    ]
    assert ended_otherwise == []


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_fails_within_a_second(gallery: Gallery, name: str) -> None:
    """Its step ends with the media, in one transaction."""
    if name not in UNSOUND and name not in gallery.alone:
        pytest.skip(f"NO CORPUS at {corpus.CORPUS}: {name} is not tested")
    assert gallery.alone[name].verdict == "LIMIT_EXCEEDED"
    assert gallery.inspections[name] < BOMB_SECONDS


def test_the_service_holds_no_more_memory_the_second_time(
    gallery: Gallery, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """What is decoded is decoded elsewhere, and nothing of it stays."""
    once, twice = gallery.costs.after_once, gallery.costs.after_twice
    record_testsuite_property("resident", f"{once // 1024**2} MiB, then {twice // 1024**2} MiB")
    assert twice - once < SERVICE_GROWTH


def test_nothing_is_left_of_the_work(gallery: Gallery) -> None:
    """No zombie, no child but the supervisor of PostgreSQL, no file that was only of use on the way."""
    assert len(gallery.costs.children_after) == 1
    assert "app.postgres_supervisor" in gallery.costs.children_after[0]
    assert gallery.costs.leftovers == []


def is_shown(developed: Developed, mime_type: str) -> None:
    """READY, and everything that is said of it and served of it is right."""
    media = developed.media
    assert media
    assert (developed.verdict, media.kind, media.detected_mime_type) == ("READY", "IMAGE", mime_type)
    assert media.sha256_verified
    assert media.details
    width, height, frames = upright_size(developed.source, mime_type)
    assert (media.details["width"], media.details["height"]) == (width, height)
    assert media.details["animated"] == (frames > 1)
    assert 5 <= len(b64decode(media.details["thumbhash"])) <= 32
    roles = {served.rendition.name: served.rendition.role for served in developed.served}
    assert roles == expected_roles(width, moving=frames > 1)
    for served in developed.served:
        is_right(served, width, height, frames)


def is_right(served: Served, width: int, height: int, frames: int) -> None:
    """It opens, is as large as was said, in sRGB, and carries nothing but its pixels."""
    rendition, image = served.rendition, served.image()
    assert served.content_type == rendition.mime_type
    assert served.disposition.startswith("inline")
    assert len(served.data) == rendition.size
    assert (image.width, image.height) == (rendition.width, rendition.height)
    moving = rendition.name.startswith("animation-")
    kind = "animation" if moving else rendition.mime_type.removeprefix("image/")
    assert rendition.name == f"{kind}-{image.width}"
    assert (image.get("n-pages") if image.get_typeof("n-pages") else 1) == (frames if moving else 1)
    assert abs(image.height - max(1, height * image.width / width)) <= 1
    assert (image.interpretation, image.format) == ("srgb", "uchar")
    assert image.bands in (3, 4)
    carried = set(image.get_fields())
    assert carried.isdisjoint(METADATA), carried
    assert not any(field.startswith("exif-") for field in carried)


def is_refused(developed: Developed) -> None:
    """It says why, and nothing of it is served."""
    if developed.media:
        assert developed.media.failure
        assert developed.media.failure.message.endswith(".")
        assert not developed.media.failure.retryable
    assert developed.served == ()


def is_handed_out(developed: Developed) -> None:
    """READY without anything to show; its bytes come as a file that no browser runs."""
    media, original = developed.media, developed.original
    assert media
    assert original
    assert (developed.verdict, media.kind, media.detected_mime_type) == ("READY", "IMAGE", "image/svg+xml")
    assert (media.details, developed.served) == (None, ())
    assert original.content == developed.source
    assert original.headers["content-disposition"].startswith("attachment")
    assert original.headers["content-type"] == "image/svg+xml"
    assert original.headers["x-content-type-options"] == "nosniff"
    assert original.headers["content-security-policy"] == "sandbox; default-src 'none'"


def upright_size(data: bytes, mime_type: str) -> tuple[int, int, int]:
    """Width, height and frames, by another way than the service's."""
    if mime_type == "image/jxl":
        info = Decoder()(data)[1]
        return (info.width, info.height, 1)
    if mime_type in {"image/png", "image/gif", "image/webp"}:
        with Image.open(BytesIO(data)) as image:
            still = 1 if image.info.get("default_image") else 0
            frames = getattr(image, "n_frames", 1) - still
            turned = image.getexif().get(pictures.ORIENTATION, 1) >= 5
            width, height = image.size
        return (height, width, frames) if turned else (width, height, frames)
    header = pyvips.Image.new_from_buffer(data, "")
    turned = header.get_typeof("orientation") and header.get("orientation") >= 5
    return (header.height, header.width, 1) if turned else (header.width, header.height, 1)


def expected_roles(width: int, *, moving: bool) -> dict[str, str]:
    """The renditions of a picture so wide: never enlarged."""
    widths = steps_below(width, WIDTHS)
    stills = {"webp": widths, "avif": widths[:2], "jpeg": widths[:1]}
    roles = {
        f"{kind}-{step}": "POSTER" if moving else "IMAGE" for kind, steps in stills.items() for step in steps
    }
    roles[f"webp-{widths[-1]}"] = "THUMBNAIL"
    if moving:
        roles |= {f"animation-{step}": "IMAGE" for step in steps_below(width, ANIMATION_WIDTHS)}
    return roles


def steps_below(width: int, steps: tuple[int, ...]) -> list[int]:
    largest = min(width, steps[-1])
    return sorted({largest, *(step for step in steps if step < largest)}, reverse=True)


def is_upright(served: Served, tolerance: float, *, see_through: bool) -> bool:
    """Its quarters are red, green, blue, white; a transparent one has any colour, and in JPEG white."""
    quarters = zip(pictures.corners(served.data), UPRIGHT, strict=True)
    return all(
        pictures.is_near(found, meant, tolerance) or (see_through and len(found) == 4 and found[3] < ENCODING)
        for found, meant in quarters
    )


def difference(one: "pyvips.Image", other: "pyvips.Image") -> float:
    return float((one - other).abs().avg())
