"""What moves stays moving, with its delays, and has stills beside it."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import pyvips

from pipeline.facts import CorruptInputError, ImageFacts, ImageRenditions, UnsupportedFormatError
from pipeline.images import inspect_image, render_image
from pipeline.limits import ImageLimits
from tests import pictures

UPRIGHT = (pictures.RED, pictures.GREEN, pictures.BLUE, pictures.WHITE)
TURNED = UPRIGHT[::-1]
#: What lossy encoding in 4:2:0, and GIF's palette, may do to the middle of a flat area.
ENCODING = 14

KINDS = {"gif": pictures.gif, "webp": pictures.webp, "apng": pictures.apng}


class Workshop:
    def __init__(self, directory: Path) -> None:
        self.source = directory / "source"
        self.job_dir = directory / "job"
        self.job_dir.mkdir()

    async def render(self, data: bytes) -> ImageRenditions:
        self.source.write_bytes(data)
        return await render_image(self.source, self.job_dir, ImageLimits())

    async def facts(self, data: bytes) -> ImageFacts:
        self.source.write_bytes(data)
        facts = await inspect_image(self.source, self.job_dir, ImageLimits())
        assert isinstance(facts, ImageFacts)
        return facts


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def roles(made: ImageRenditions) -> dict[str, str]:
    return {file.name: file.role for file in made.files}


def frames(path: Path) -> list["pyvips.Image"]:
    """Each frame by itself; a still has one."""
    options = {"n": -1} if path.name.startswith("animation-") else {}
    strip = pyvips.Image.new_from_file(str(path), **options)
    height = strip.get_page_height()
    return [strip.crop(0, top, strip.width, height) for top in range(0, strip.height, height)]


def shows(frame: "pyvips.Image", expected: tuple[tuple[int, int, int], ...]) -> bool:
    found = pictures.corners(bytes(frame.pngsave_buffer()))
    return all(
        pictures.is_near(value, colour, ENCODING) or (len(value) == 4 and value[3] == 0)
        for value, colour in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_every_frame_is_kept(workshop: Workshop, kind: str) -> None:
    data = KINDS[kind](400, 300, frames=3)
    facts = await workshop.facts(data)
    assert (facts.width, facts.height, facts.pages, facts.animated) == (400, 300, 3, True)
    made = await workshop.render(data)
    for name in ("animation-400", "animation-320"):
        moving = frames(workshop.job_dir / f"{name}.webp")
        assert [shows(frame, UPRIGHT) for frame in moving] == [True, False, True]
        assert shows(moving[1], TURNED)
    for file in made.files:
        if not file.name.startswith("animation-"):
            (still,) = frames(file.path)
            assert shows(still, UPRIGHT)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("encode", [pictures.webp, pictures.apng])
async def test_every_frame_stands_upright(
    workshop: Workshop, encode: Callable[..., bytes], orientation: int
) -> None:
    """Each by itself, in its place."""
    data = encode(400, 300, frames=4, orientation=orientation)
    facts = await workshop.facts(data)
    assert (facts.width, facts.height, facts.pages) == (400, 300, 4)
    made = await workshop.render(data)
    assert {(file.width, file.height) for file in made.files} == {(400, 300), (320, 240)}
    for name in ("animation-400", "animation-320"):
        moving = frames(workshop.job_dir / f"{name}.webp")
        assert [shows(frame, UPRIGHT) for frame in moving] == [True, False, True, False]
        assert shows(moving[3], TURNED)


async def test_a_turned_animation_is_as_wide_as_it_is_shown(workshop: Workshop) -> None:
    for data in (pictures.webp(1500, 100, frames=2, orientation=6), pictures.apng(1500, 100, orientation=6)):
        made = await workshop.render(data)
        assert max(file.width for file in made.files if file.name.startswith("animation-")) == 1280
    for data in (pictures.webp(100, 1500, frames=2, orientation=6), pictures.apng(100, 1500, orientation=6)):
        made = await workshop.render(data)
        moving = [file for file in made.files if file.name.startswith("animation-")]
        assert [(file.width, file.height) for file in moving] == [(100, 1500)]


async def test_stills_are_the_poster_and_what_moves_is_the_picture(workshop: Workshop) -> None:
    assert roles(await workshop.render(pictures.gif(400, 300, frames=3))) == {
        "webp-400": "POSTER",
        "avif-400": "POSTER",
        "jpeg-400": "POSTER",
        "webp-320": "THUMBNAIL",
        "avif-320": "POSTER",
        "animation-400": "IMAGE",
        "animation-320": "IMAGE",
    }


async def test_an_animation_is_at_most_1280_wide(workshop: Workshop) -> None:
    made = await workshop.render(pictures.webp(1500, 100, frames=2))
    moving = {file.name: (file.width, file.height) for file in made.files if file.role == "IMAGE"}
    assert moving == {
        "animation-1280": (1280, 85),
        "animation-640": (640, 42),
        "animation-320": (320, 21),
    }


async def test_a_single_frame_is_a_still(workshop: Workshop) -> None:
    for data in (pictures.gif(), pictures.webp(), pictures.apng_bomb(64, 48, 1)):
        assert not (await workshop.facts(data)).animated
        assert roles(await workshop.render(data)) == {
            "webp-64": "THUMBNAIL",
            "avif-64": "IMAGE",
            "jpeg-64": "IMAGE",
        }


async def test_delays_and_loops_are_kept(workshop: Workshop) -> None:
    await workshop.render(pictures.apng(frames=4, delays=[50, 0, 400, 1000], loop=3))
    moving = pyvips.Image.new_from_file(str(workshop.job_dir / "animation-64.webp"))
    assert moving.get("delay") == [50, 100, 400, 1000]  # As browsers show one without a delay.
    assert moving.get("loop") == 3


async def test_a_still_that_is_none_of_the_frames_is_no_frame(workshop: Workshop) -> None:
    data = pictures.apng(frames=3, default_image=True)
    assert (await workshop.facts(data)).pages == 3
    await workshop.render(data)
    assert len(frames(workshop.job_dir / "animation-64.webp")) == 3


@pytest.mark.parametrize("kind", ["webp", "apng"])
async def test_transparency_is_kept(workshop: Workshop, kind: str) -> None:
    data = (
        pictures.apng(64, 48, alpha=True) if kind == "apng" else pictures.webp(64, 48, alpha=True, frames=3)
    )
    await workshop.render(data)
    first, second, _ = frames(workshop.job_dir / "animation-64.webp")
    assert first(48, 36)[3] == 0
    assert first(16, 12)[3] == 255
    assert second(16, 12)[3] == 0


async def test_what_moves_carries_nothing_but_pixels_and_time(workshop: Workshop) -> None:
    data = pictures.webp(64, 48, frames=3, gps=True)
    assert pictures.SECRET.encode() in data
    await workshop.render(data)
    assert pictures.SECRET.encode() not in (workshop.job_dir / "animation-64.webp").read_bytes()


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.8, 0.9, 0.97, 0.99])
@pytest.mark.parametrize("kind", KINDS)
async def test_an_animation_cut_off_is_damaged(workshop: Workshop, kind: str, share: float) -> None:
    """Also after whole frames."""
    with pytest.raises((CorruptInputError, UnsupportedFormatError)):
        await workshop.render(pictures.cut(KINDS[kind](64, 48, frames=9), share))


async def test_an_apng_that_promises_more_frames_than_it_has_is_damaged(workshop: Workshop) -> None:
    with pytest.raises(CorruptInputError):
        await workshop.render(pictures.apng_bomb(64, 48, 5))


async def test_frames_promised_after_the_still_are_no_frames(workshop: Workshop) -> None:
    """No decoder looks for them there."""
    sound, promise = pictures.png(), pictures.chunk(b"acTL", struct.pack(">II", 3, 0))
    data = sound[:-12] + promise + sound[-12:]
    assert not (await workshop.facts(data)).animated
    assert set(roles(await workshop.render(data))) == {"webp-64", "avif-64", "jpeg-64"}


async def test_frames_promised_a_second_time_are_no_frames(workshop: Workshop) -> None:
    promise = pictures.chunk(b"acTL", struct.pack(">II", 2_000, 0))
    still = pictures.apng_bomb(64, 48, 1)
    at = still.index(b"acTL") + 16
    data = still[:at] + promise + still[at:]
    assert (await workshop.facts(data)).pages == 1
    assert set(roles(await workshop.render(data))) == {"webp-64", "avif-64", "jpeg-64"}


async def test_an_apng_that_its_decoder_takes_for_a_still_is_damaged(workshop: Workshop) -> None:
    """Two promises are one too many for it, where others show an animation."""
    moving = pictures.apng()
    at = moving.index(b"acTL") + 16
    data = moving[:at] + moving[at - 20 : at] + moving[at:]
    assert (await workshop.facts(data)).pages == 3
    with pytest.raises(CorruptInputError, match="another number of frames"):
        await workshop.render(data)
