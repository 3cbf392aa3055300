"""What would swell is refused on its header: in little memory, and long before a second has passed."""

import os
import time
import zlib
from pathlib import Path

import pytest

from pipeline.facts import CorruptInputError, LimitExceededError, PipelineError
from pipeline.images import inspect_image, render_image
from pipeline.limits import ImageLimits
from tests import corpus, pictures, stored_pictures

#: The header alone fits in this memory and time, a decoded bomb would not.
TIGHT = ImageLimits(address_space_bytes=400 * 1024**2, cpu_seconds=1)
#: Of the whole step, with the start of its process; on an idle machine it takes 0.06.
INSPECT_SECONDS = 1.0

SWELLING = zlib.compress(bytes(2 * 1024**2), 9)
BOMBS = {
    "png of 4 Gpx": (pictures.png_bomb(65_535, 65_535), "4,294,836,225 pixels"),
    "png just too large": (pictures.png_bomb(10_000, 10_001), "100,010,000 pixels"),
    "png with a text": (pictures.png_with((b"zTXt", b"a\0\0" + SWELLING)), "A text"),
    "png with an international text": (
        pictures.png_with((b"iTXt", b"a\0\1\0en\0a\0" + SWELLING)),
        "A text",
    ),
    "png with a profile": (
        pictures.png_with((b"iCCP", b"a\0\0" + zlib.compress(bytes(9 * 1024**2), 9))),
        "A colour profile",
    ),
    "png with many texts": (
        pictures.png_with(*[(b"zTXt", b"a\0\0" + zlib.compress(bytes(1024**2), 9))] * 17),
        "texts and profiles",
    ),
    "gif": (pictures.gif_bomb(1_000, 1_000, 101), "101,000,000 pixels"),
    "gif of too many frames": (pictures.gif_bomb(10, 10, 1_001), "1,001 frames"),
    "apng": (pictures.apng_bomb(1_000, 1_000, 101), "101,000,000 pixels"),
    "apng of too many frames": (pictures.apng_bomb(10, 10, 2**31 - 1), "2,147,483,647 frames"),
    "avif": (pictures.promising(pictures.avif(), 40_000, 40_000), "1,600,000,000 pixels"),
    "avif beyond all limits": (pictures.promising(pictures.avif(), 2**31, 2**31), "pixels"),
    "heic": (pictures.promising(stored_pictures.PLAIN, 40_000, 40_000), "1,600,000,000 pixels"),
    "jxl": (pictures.jxl_bomb(60_000), "3,600,000,000 pixels"),
}


@pytest.fixture
def job_dir(tmp_path: Path) -> Path:
    path = tmp_path / "job"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_refused_on_its_header(name: str, tmp_path: Path, job_dir: Path) -> None:
    data, figure = BOMBS[name]
    (tmp_path / "bomb").write_bytes(data)
    for work in (inspect_image, render_image):
        with pytest.raises(LimitExceededError, match=figure):
            await work(tmp_path / "bomb", job_dir, TIGHT)
    assert os.listdir(job_dir) == []


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_found_within_a_second(name: str, tmp_path: Path, job_dir: Path) -> None:
    (tmp_path / "bomb").write_bytes(BOMBS[name][0])
    assert await quickest(tmp_path / "bomb", job_dir) < INSPECT_SECONDS


@corpus.each(lambda entry: entry.path.name.startswith("bomb-"))
async def test_a_bomb_of_the_corpus_is_found_within_a_second(entry: corpus.Entry, job_dir: Path) -> None:
    assert await quickest(entry.path, job_dir) < INSPECT_SECONDS


async def test_a_header_that_lies_is_held_by_the_limits_on_memory(tmp_path: Path, job_dir: Path) -> None:
    """25 million pixels behind a header of 3,072: libheif decodes them and sees that they don't fit."""
    (tmp_path / "bomb").write_bytes(pictures.promising(pictures.avif(5000, 5000), 64, 48))
    with pytest.raises((CorruptInputError, LimitExceededError)):
        await render_image(tmp_path / "bomb", job_dir, ImageLimits())


async def test_text_and_profiles_of_an_honest_size_are_no_bomb(tmp_path: Path, job_dir: Path) -> None:
    chunks = [(b"zTXt", b"a\0\0" + zlib.compress(bytes(10_000))), (b"iTXt", b"a\0\0\0en\0a\0plain")]
    (tmp_path / "sound").write_bytes(pictures.png_with(*chunks))
    await render_image(tmp_path / "sound", job_dir, ImageLimits())


async def test_a_lossless_jxl_that_needs_too_much_memory_is_told_as_such(
    tmp_path: Path, job_dir: Path
) -> None:
    (tmp_path / "large").write_bytes(pictures.jxl(6000, 6000))
    with pytest.raises(LimitExceededError, match="more memory than the 400 MiB"):
        await render_image(tmp_path / "large", job_dir, ImageLimits(address_space_bytes=400 * 1024**2))


async def quickest(source: Path, job_dir: Path) -> float:
    """Of three: a machine that is busy with something else is late by chance, a slow inspection always."""
    return min([await seconds_to_refuse(source, job_dir) for _ in range(3)])


async def seconds_to_refuse(source: Path, job_dir: Path) -> float:
    began = time.perf_counter()
    with pytest.raises(PipelineError) as refused:
        await inspect_image(source, job_dir, ImageLimits())
    assert isinstance(refused.value, LimitExceededError)
    return time.perf_counter() - began
