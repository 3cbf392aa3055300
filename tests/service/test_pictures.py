"""Real, generated and hostile files through one whole service: all at once, over HTTP, as clients send them.

The files of the shared corpus, and small generated ones of every kind, so that a checkout without the corpus
tests each kind as well.
"""

import asyncio
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pyvips

from pipeline.recipe import WIDTHS
from tests import corpus, pictures
from tests.service import proc
from tests.service.client import Client, Media, RefusedError, Rendition
from tests.service.conftest import copied_directory, until_unused
from tests.service.patience import until
from tests.service.service import Service

#: All files together; 2 busy cores need a third of it.
ALL_SECONDS = 180.0
ONE_SECONDS = 170.0
AT_ONCE = 16

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

#: By the name's end; what is of no accepted type is sent as a JPEG.
CLAIMS = {".png": "image/png", ".apng": "image/png", ".webp": "image/webp", ".gif": "image/gif"}

SOUND = {
    "jpeg": pictures.jpeg(),
    "jpeg progressive": pictures.jpeg(progressive=True),
    "jpeg gps": pictures.jpeg(gps=True),
    "jpeg cmyk": pictures.jpeg(cmyk=True),
    "jpeg display-p3": pictures.jpeg(display_p3=True),
    **{f"jpeg turned {turn}": pictures.jpeg(400, 300, orientation=turn, gps=True) for turn in range(1, 9)},
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
    **{f"jpeg {width} wide": pictures.jpeg(width, 40) for width in (1, 319, 320, 321, 1920, 1921, 2600)},
}
UNSOUND = {
    "png bomb": (pictures.png_bomb(60_000, 60_000), "LIMIT_EXCEEDED"),
    "gif bomb": (pictures.gif_bomb(1_000, 1_000, 101), "LIMIT_EXCEEDED"),
    "gif of too many frames": (pictures.gif_bomb(10, 10, 2_000), "LIMIT_EXCEEDED"),
    "jpeg cut": (pictures.cut(pictures.jpeg(640, 480)), "CORRUPT_INPUT"),
    "png cut": (pictures.cut(pictures.noise_png(64, 64)), "CORRUPT_INPUT"),
    "webp cut": (pictures.cut(pictures.webp(640, 480)), "CORRUPT_INPUT"),
    "gif that is a program": (b"GIF89a/*\0\0\0\0\0*/=1;alert(1)//;", "CORRUPT_INPUT"),
    "text": (b"Permission is hereby granted, free of charge, to any person.\n", "UNSUPPORTED_FORMAT"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "UNSUPPORTED_FORMAT"),
    "zeros": (bytes(1000), "UNSUPPORTED_FORMAT"),
}

#: What may be said of each file of the corpus that is no sound picture; "READY" where the manifest allows it.
VERDICTS = {
    "bomb-280mp.jpg": {"LIMIT_EXCEEDED"},
    "bomb-65536.png": {"LIMIT_EXCEEDED"},
    "bomb-ztxt.png": {"READY", "LIMIT_EXCEEDED", "CORRUPT_INPUT"},
    "truncated.jpg": {"CORRUPT_INPUT"},
    "polyglot-gif-js.gif": {"CORRUPT_INPUT"},
}
#: Bytes that a service and a child of it may come to hold.
SERVICE_MEMORY = 400 * 1024**2
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
    """What the service and the costliest of its children ever held, in bytes; what was left afterwards."""

    service: int
    child: int
    children_after: list[str]
    leftovers: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    developed: dict[str, Developed]
    costs: Costs


@pytest.fixture(scope="module")
def gallery(used_directory: Path) -> Iterator[Gallery]:
    """Everything, sent through one service at once."""
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
            watching.cancel()
            # Connections to clients and to PostgreSQL may stay open, as many as were used at once.
            await until(lambda: proc.open_files_of(service.pid) <= files_before + 2 * AT_ONCE)
        costs = Costs(
            service=proc.peak_bytes(service.pid),
            child=max(peaks.values()),
            children_after=[" ".join(proc.command_of(pid)) for pid in proc.children_of(service.pid)],
            leftovers=service.leftovers(),
        )
        assert await service.stop() == 0, service.complaint()
    finally:
        service.end()
        await until_unused(data_dir)
    return Gallery(developed=dict(zip((file.name for file in files), developed, strict=True)), costs=costs)


def everything() -> list[File]:
    files = [File(name=name, data=data, claim=claim_of(name)) for name, data in SOUND.items()]
    files += [File(name=name, data=data, claim=claim_of(name)) for name, (data, _) in UNSOUND.items()]
    with suppress(FileNotFoundError):
        for entry in corpus.entries():
            claim = CLAIMS.get(entry.path.suffix) or "image/jpeg"
            files.append(File(name=entry.path.name, data=entry.path.read_bytes(), claim=claim))
    return files


def claim_of(name: str) -> str:
    """What a browser would say of such a file, and "image/jpeg" of what it would not send at all."""
    kind = name.partition(" ")[0]
    return f"image/{kind}" if kind in {"png", "webp", "gif"} else "image/jpeg"


async def develop(client: Client, file: File) -> Developed:
    began = time.monotonic()
    try:
        media_id = await client.upload(file.data, file.name, file.claim)
    except RefusedError as refused:
        return Developed(source=file.data, seconds=time.monotonic() - began, codes=tuple(refused.codes))
    media = await client.ends(media_id, seconds=ONE_SECONDS)
    seconds = time.monotonic() - began
    served = tuple([await fetch(client, rendition) for rendition in media.renditions])
    return Developed(source=file.data, seconds=seconds, media=media, served=served)


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


def is_unsound(entry: corpus.Entry) -> bool:
    return not is_sound(entry)


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
    is_shown(developed, claim_of(name))
    for served in developed.served:
        assert pictures.SECRET.encode() not in served.data
        # The press can't print all of these colours; and a picture of one pixel's width has no quarters.
        tolerance = 60 if "cmyk" in name else ENCODING
        assert "wide" in name or is_upright(served, tolerance, see_through="alpha" in name)


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
    width, height, pages = upright_size(developed.source)
    assert (media.details["width"], media.details["height"]) == (width, height)
    assert media.details["animated"] == (pages > 1)
    assert 5 <= len(b64decode(media.details["thumbhash"])) <= 32
    assert sorted(served.rendition.name for served in developed.served) == expected_names(width)
    for served in developed.served:
        is_right(served, width, height)
    renditions = [served.rendition for served in developed.served]
    thumbnails = [rendition.name for rendition in renditions if rendition.role == "THUMBNAIL"]
    assert thumbnails == [f"webp-{min(*WIDTHS, width)}"]


def is_right(served: Served, width: int, height: int) -> None:
    """It opens, is as large as was said, in sRGB, and carries nothing but its pixels."""
    rendition, image = served.rendition, served.image()
    assert served.content_type == rendition.mime_type
    assert served.disposition.startswith("inline")
    assert len(served.data) == rendition.size
    assert (image.width, image.height) == (rendition.width, rendition.height)
    assert rendition.name == f"{rendition.mime_type.removeprefix('image/')}-{image.width}"
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


def upright_size(data: bytes) -> tuple[int, int, int]:
    """Width, height and pages, by another way than the service's."""
    header = pyvips.Image.new_from_buffer(data, "")
    turned = header.get_typeof("orientation") and header.get("orientation") >= 5
    pages = int(header.get("n-pages")) if header.get_typeof("n-pages") else 1
    size = (header.height, header.width) if turned else (header.width, header.height)
    return (*size, pages)


def expected_names(width: int) -> list[str]:
    """Of the renditions of a picture so wide: never enlarged."""
    largest = min(width, WIDTHS[-1])
    widths = sorted({largest, *(step for step in WIDTHS if step < largest)}, reverse=True)
    names = {"webp": widths, "avif": widths[:2], "jpeg": widths[:1]}
    return sorted(f"{kind}-{step}" for kind, steps in names.items() for step in steps)


def is_upright(served: Served, tolerance: float, *, see_through: bool) -> bool:
    """Its quarters are red, green, blue, white; a transparent one has any colour, and in JPEG white."""
    quarters = zip(pictures.corners(served.data), UPRIGHT, strict=True)
    return all(
        pictures.is_near(found, meant, tolerance) or (see_through and len(found) == 4 and found[3] < ENCODING)
        for found, meant in quarters
    )


def difference(one: "pyvips.Image", other: "pyvips.Image") -> float:
    return float((one - other).abs().avg())
