"""Whatever a header says, what comes of it is facts or a refusal that is final; never a crash, which is
tried again."""

import json
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import decoder
from pipeline.facts import CorruptInputError
from pipeline.images import inspect_image, render_image
from pipeline.limited import gif_blocks, heif_boxes, jxl_codestream, png_chunks, svg, tiff_tags
from pipeline.limited.refusals import RefusalError
from pipeline.limits import ImageLimits
from tests import damaged, pictures
from tests.corpus import CHECKOUT

LIMITS = {"max_pixels": ImageLimits().max_pixels, "max_pages": ImageLimits().max_pages}
SEED = 20_240_607
#: Of each kind. A fault that one damaged header in 100 shows is missed once in 20 runs of other seeds.
TIMES = 300

#: All refusals but "trouble", after which the work is tried again.
FINAL = ("corrupt", "unsupported", "limit", "memory")
HIGHEST = 2**64 - 1
HEIC = struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1")
AVIF = HEIC.replace(b"heic", b"avif")
JXL = b"\0\0\0\x0cJXL \r\n\x87\n"
CRAFTED = {
    **{
        f"heic, meta of {length} bytes": HEIC + struct.pack(">I4s", length, b"meta") + bytes(100)
        for length in (2, 7, 2**32 - 1)
    },
    "heic, meta of 64 bits": HEIC + struct.pack(">I4sQ", 1, b"meta", HIGHEST) + bytes(100),
    "heic, a box of 64 bits cut off": HEIC + struct.pack(">I4sI", 1, b"free", 0),
    "avif, a box of 64 bits": AVIF + struct.pack(">I4sQ", 1, b"free", HIGHEST) + bytes(100),
    "avif, a box of 15 bytes in 64 bits": AVIF + struct.pack(">I4sQ", 1, b"free", 15) + bytes(100),
    "jxl, a box of 64 bits": JXL + struct.pack(">I4sQ", 1, b"free", HIGHEST) + bytes(100),
    "jxl, a codestream of 64 bits": JXL + struct.pack(">I4sQ", 1, b"jxlc", HIGHEST) + bytes(100),
    "jxl, a codestream of 3 bytes": JXL + struct.pack(">I4s", 3, b"jxlc") + bytes(100),
    "jxl, a piece without a number": JXL + struct.pack(">I4s", 9, b"jxlp") + bytes(1),
    "tiff, directory beyond the end": b"II*\0" + struct.pack("<I", 2**32 - 1) + bytes(20),
    "tiff, directory at 64 bits": b"II+\0" + struct.pack("<HHQ", 8, 0, HIGHEST) + bytes(20),
    "tiff, directory of 64 bits": b"MM\0+" + struct.pack(">HHQQ", 8, 0, 16, HIGHEST) + bytes(20),
}
#: Our own readers, which are safe to run here: nothing of them is anyone's C.
READERS: dict[str, tuple[Callable[[str], object], ...]] = {
    "png": (png_chunks.frames_of,),
    "apng": (png_chunks.frames_of,),
    "gif": (gif_blocks.check_complete,),
    "heic": (lambda source: heif_boxes.check_sizes(source, LIMITS), heif_boxes.profile_of),
    "avif": (lambda source: heif_boxes.check_sizes(source, LIMITS), heif_boxes.profile_of),
    "tiff": (tiff_tags.check_is_picture,),
    "bigtiff": (tiff_tags.check_is_picture,),
    "jxl": (lambda source: jxl_codestream.header(jxl_codestream.read_codestream(source)),),
    "jxl container": (lambda source: jxl_codestream.header(jxl_codestream.read_codestream(source)),),
    "svg": (svg.check,),
}


@pytest.fixture
def job_dir(tmp_path: Path) -> Path:
    path = tmp_path / "job"
    path.mkdir()
    return path


@pytest.mark.parametrize("name", CRAFTED)
async def test_a_place_or_length_that_is_not_there_is_damage(
    name: str, tmp_path: Path, job_dir: Path
) -> None:
    (tmp_path / "source").write_bytes(CRAFTED[name])
    for work in (inspect_image, render_image):
        with pytest.raises(CorruptInputError, match="data is damaged"):
            await work(tmp_path / "source", job_dir, ImageLimits())


def test_a_picture_may_hide_its_size_behind_no_long_box(tmp_path: Path) -> None:
    """Inside other boxes, too, a length may have 64 bits."""
    size = struct.pack(">I4sIII", 20, b"ispe", 0, 40_000, 40_000)
    hidden = struct.pack(">I4sQ", 1, b"free", 16) + size
    properties = _box(b"iprp", _box(b"ipco", hidden))
    (tmp_path / "source").write_bytes(HEIC + _box(b"meta", bytes(4) + properties))
    with pytest.raises(RefusalError, match="1,600,000,000 pixels"):
        heif_boxes.check_sizes(str(tmp_path / "source"), LIMITS)


@pytest.mark.parametrize("kind", READERS)
def test_no_damaged_header_crashes_its_reader(kind: str, tmp_path: Path) -> None:
    source, luck = tmp_path / "source", random.Random(f"{SEED} {kind}")
    refused = 0
    for _ in range(TIMES):
        source.write_bytes(damaged.header(damaged.SOUND[kind], luck))
        for reader in READERS[kind]:
            try:
                reader(str(source))
            except RefusalError:
                refused += 1
    assert refused > 0


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """Of the child's own work, for many files in one process; no decoder that crashes takes a test along."""
    source = tmp_path_factory.mktemp("damaged") / "source"
    command = [sys.executable, "-m", "tests.damaged", str(SEED), str(TIMES), str(source)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    counted: dict[str, dict[str, int]] = json.loads(done.stdout)
    return counted


@pytest.mark.parametrize("kind", damaged.SOUND)
def test_no_damaged_header_crashes_a_decoder(kind: str, answers: dict[str, dict[str, int]]) -> None:
    found = answers[kind]
    assert set(found) <= {"facts", *FINAL}
    assert sum(found.values()) == TIMES
    assert found["corrupt"] > 0


@pytest.mark.parametrize("error", [ValueError(), IndexError(), KeyError(), OverflowError(), struct.error()])
def test_what_no_reader_foresaw_is_damage_too(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stumble(*_: object) -> None:
        raise error

    monkeypatch.setattr(decoder, "stated_size", stumble)
    for task in ("inspect", "render"):
        request = {"task": task, "source": str(tmp_path), "mime_type": "image/png", "limits": LIMITS}
        assert decoder.perform(request) == {
            "refusal": "corrupt",
            "reason": f"its header makes no sense: {type(error).__name__}",
        }


def test_a_container_ends_with_its_last_piece(tmp_path: Path) -> None:
    """What follows it is no codestream."""
    codestream = pictures.jxl()
    halves = codestream[:50], codestream[50:]
    pieces = [
        _box(b"jxlp", struct.pack(">I", number) + half)
        for number, half in zip((0, 2**31 + 1), halves, strict=True)
    ]
    (tmp_path / "source").write_bytes(JXL + b"".join(pieces) + b"\0\0\0\x05tail")
    assert jxl_codestream.read_codestream(str(tmp_path / "source")) == codestream


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
