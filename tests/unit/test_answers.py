"""Whatever a child process answers, only what the recipe can make is believed."""

from pathlib import Path

import pytest

from pipeline.answers import drawing_facts, image_facts, image_renditions
from pipeline.facts import ChildCrashedError, CorruptInputError, LimitExceededError, UnsupportedFormatError
from pipeline.limits import ImageLimits

LIMITS = ImageLimits()
THUMBHASH = "VwgOFYIHhmtuloZ7hod4efdotwhE"


def rendition(**changes: object) -> dict[str, object]:
    return {"name": "webp-320", "width": 320, "height": 200} | changes


def answer(*files: object, thumbhash: object = THUMBHASH) -> dict[str, object]:
    return {"result": {"files": list(files), "thumbhash": thumbhash}}


@pytest.fixture
def job_dir(tmp_path: Path) -> Path:
    (tmp_path / "webp-320.webp").write_bytes(b"picture")
    return tmp_path


def test_size_and_path_are_the_file_systems(job_dir: Path) -> None:
    made = image_renditions(answer(rendition(byte_size=1, path="/etc/passwd")), "image/png", job_dir, LIMITS)
    assert made.files[0].path == job_dir / "webp-320.webp"
    assert made.files[0].byte_size == 7
    assert made.files[0].role == "THUMBNAIL"


@pytest.mark.parametrize(
    "hostile",
    [
        {},
        {"result": None},
        {"result": {"files": {}}},
        {"refusal": "surprise", "reason": "x"},
        {"refusal": ["corrupt"]},
        answer(),
        answer(None),
        answer("webp-320"),
        answer(rendition(name=["webp-320"])),
        answer(rendition(name="../webp-320")),
        answer(rendition(name="/etc/passwd")),
        answer(rendition(name="webp-320\n")),
        answer(rendition(name="webp-٣٢٠")),
        answer(rendition(name="webp-640")),
        answer(rendition(name="webp-640", width=640)),
        answer(rendition(name="animation-640", width=640)),
        answer(rendition(name="poster-320")),
        answer(rendition(width=True)),
        answer(rendition(height=0)),
        answer(rendition(height=16_384)),
        answer(rendition(height=1.5)),
        answer(rendition(), rendition()),
        answer(*[rendition()] * 100),
        answer(rendition(), thumbhash=None),
        answer(rendition(), thumbhash="not base64"),
        answer(rendition(), thumbhash="ü"),
        answer(rendition(), thumbhash="A" * 400),
    ],
)
def test_an_answer_that_makes_no_sense_is_a_crash(hostile: dict[str, object], job_dir: Path) -> None:
    with pytest.raises(ChildCrashedError):
        image_renditions(hostile, "image/png", job_dir, LIMITS)


def test_a_link_in_place_of_a_rendition_is_a_crash(job_dir: Path) -> None:
    (job_dir / "webp-640.webp").symlink_to("/etc/passwd")
    with pytest.raises(ChildCrashedError):
        image_renditions(answer(rendition(name="webp-640", width=640)), "image/png", job_dir, LIMITS)


def test_an_animation_alone_is_a_crash(job_dir: Path) -> None:
    (job_dir / "animation-320.webp").write_bytes(b"moving")
    with pytest.raises(ChildCrashedError):
        image_renditions(answer(rendition(name="animation-320")), "image/gif", job_dir, LIMITS)


def test_roles_are_given_here_and_not_by_the_child(job_dir: Path) -> None:
    (job_dir / "animation-320.webp").write_bytes(b"moving")
    (job_dir / "jpeg-320.jpg").write_bytes(b"still")
    files = [rendition(name=name, role="POSTER") for name in ("webp-320", "jpeg-320", "animation-320")]
    made = image_renditions(answer(*files), "image/gif", job_dir, LIMITS)
    assert [file.role for file in made.files] == ["THUMBNAIL", "POSTER", "IMAGE"]


def test_further_pages_count_only_where_they_are_frames() -> None:
    result: dict[str, object] = {"result": {"width": 9_000, "height": 9_000, "pages": 2}}
    assert not image_facts(result, "image/tiff", LIMITS).animated
    with pytest.raises(ChildCrashedError):
        image_facts(result, "image/gif", LIMITS)


@pytest.mark.parametrize("hostile", [{}, {"result": None}, {"result": {"width": 1}}])
def test_of_a_drawing_nothing_is_believed(hostile: dict[str, object]) -> None:
    assert drawing_facts({"result": {}}, "image/svg+xml", LIMITS).mime_type == "image/svg+xml"
    with pytest.raises(ChildCrashedError):
        drawing_facts(hostile, "image/svg+xml", LIMITS)


def test_what_is_not_supported_is_told_in_the_childs_sentence() -> None:
    with pytest.raises(UnsupportedFormatError, match=r"^This is a camera's raw file\.$"):
        image_facts(
            {"refusal": "unsupported", "reason": "This is a camera's raw file."}, "image/tiff", LIMITS
        )


@pytest.mark.parametrize("size", [(0, 1, 1), (-1, 1, 1), (20_000, 20_000, 1), (10, 10, 1_001), ("9", 9, 1)])
def test_facts_outside_the_limits_are_a_crash(size: tuple[object, object, object]) -> None:
    width, height, pages = size
    with pytest.raises(ChildCrashedError):
        image_facts({"result": {"width": width, "height": height, "pages": pages}}, "image/png", LIMITS)


def test_a_reason_is_short_and_printable() -> None:
    with pytest.raises(CorruptInputError) as refused:
        image_facts({"refusal": "corrupt", "reason": "\x1b[31m" + "a" * 9_000}, "image/gif", LIMITS)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_lack_of_memory_names_the_limit() -> None:
    with pytest.raises(LimitExceededError, match="1,536 MiB"):
        image_facts({"refusal": "memory", "reason": "out of memory"}, "image/gif", LIMITS)
