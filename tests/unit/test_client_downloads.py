"""The names and the files of downloads, and the slugs that the client makes of tags' names."""

import fcntl
import hashlib
import os
import re
from pathlib import Path

import pytest

from app.client.destination import destination, to_stdout
from app.client.errors import FileProblemError, UsageError
from app.client.file_names import rendition_name, safe_name, shortened
from app.client.part_file import PartFile
from app.client.text import tag_slug
from services.validation import slugify


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("beach.jpg", "beach.jpg"),
        ("日本の写真.gif", "日本の写真.gif"),
        ("../../etc/passwd", "__.._etc_passwd"),
        ("a\\b:c*d", "a_b_c_d"),
        (".bashrc", "_bashrc"),
        ("..", "_"),
        (".", "_"),
        ("", "_"),
        ("   ", "_"),
        ("-rf", "_rf"),
        ("--output=x", "_output=x"),
        ("a\x1b[31m\nb\x00.jpg", "a_[31m_b_.jpg"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("caf\udce9.jpg", "caf_.jpg"),
        (" padded.jpg ", "padded.jpg"),
    ],
)
def test_what_the_service_calls_a_file_becomes_a_plain_name(name: str, expected: str) -> None:
    assert safe_name(name) == expected
    assert safe_name(expected) == expected


@pytest.mark.parametrize(
    "name", ["x" * 300 + ".jpg", "é" * 200 + ".jpeg", "日" * 255, "x." + "y" * 300, "🎞" * 100 + ".png"]
)
def test_a_name_is_as_long_as_file_systems_take(name: str, tmp_path: Path) -> None:
    safe = safe_name(name)
    (tmp_path / safe).touch()
    assert len(os.fsencode(safe)) <= 255
    if len(Path(name).suffix) < 16:
        assert Path(safe).suffix == Path(name).suffix


def test_a_short_name_stays() -> None:
    assert shortened("beach.jpg", 9) == "beach.jpg"
    assert shortened("beach.jpg", 8) == "beac.jpg"


@pytest.mark.parametrize(
    ("filename", "rendition", "mime_type", "expected"),
    [
        ("beach.jpeg", "webp-640", "image/webp", "beach-webp-640.webp"),
        ("beach", "jpeg-640", "image/jpeg", "beach-jpeg-640.jpg"),
        ("../x", "../../y", "text/html", "__x-.._.._y"),
    ],
)
def test_a_rendition_is_named_after_its_original(
    filename: str, rendition: str, mime_type: str, expected: str
) -> None:
    assert rendition_name(filename, rendition, mime_type) == expected


@pytest.mark.parametrize(
    "name",
    [
        "Holiday",
        " Summer  Holiday ",
        "Été",
        "ＦＵＬＬ",
        "a_b",
        "_a_",
        "ß",
        "日本 2026",
        "-x-",
        "İstanbul",
        "दिन",
    ],
)
def test_the_client_compares_tags_as_the_service_does(name: str) -> None:
    assert tag_slug(name) == slugify(name, "tags")


def test_a_part_is_taken_up_and_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "beach.jpg"
    part = PartFile.open(target, "one")
    part.append(b"first ")
    part.close()
    [left] = tmp_path.iterdir()
    assert left.name.startswith("beach.jpg.")
    assert left.name.endswith(".part")
    part = PartFile.open(target, "one")
    assert part.byte_size == 6
    part.append(b"second")
    assert part.sha256 == hashlib.sha256(b"first second").hexdigest()
    part.publish(force=False)
    part.close()
    assert [path.name for path in tmp_path.iterdir()] == ["beach.jpg"]
    assert target.read_bytes() == b"first second"


def test_a_part_of_another_object_is_not_gone_on_with(tmp_path: Path) -> None:
    part = PartFile.open(tmp_path / "beach.jpg", "one")
    part.append(b"first")
    part.close()
    other = PartFile.open(tmp_path / "beach.jpg", "two")
    assert other.byte_size == 0
    other.close()
    assert len(list(tmp_path.iterdir())) == 1


def test_two_do_not_write_one_part(tmp_path: Path) -> None:
    part = PartFile.open(tmp_path / "beach.jpg", "one")
    with pytest.raises(FileProblemError, match="Another download"):
        PartFile.open(tmp_path / "beach.jpg", "one")
    part.close()


def test_a_name_that_was_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "beach.jpg"
    part = PartFile.open(target, "one")
    part.append(b"new")
    target.write_bytes(b"old")
    with pytest.raises(FileProblemError, match=r"beach\.jpg is there already"):
        part.publish(force=False)
    assert target.read_bytes() == b"old"
    part.publish(force=True)
    part.close()
    assert target.read_bytes() == b"new"


def test_a_part_begun_anew_holds_only_what_came_since(tmp_path: Path) -> None:
    part = PartFile.open(tmp_path / "beach.jpg", "one")
    part.append(b"something long")
    part.restart()
    part.append(b"short")
    assert part.sha256 == hashlib.sha256(b"short").hexdigest()
    part.publish(force=False)
    part.close()
    assert (tmp_path / "beach.jpg").read_bytes() == b"short"


def test_a_link_in_the_place_of_the_part_is_not_followed(tmp_path: Path) -> None:
    part = PartFile.open(tmp_path / "beach.jpg", "one")
    [path] = tmp_path.iterdir()
    part.close()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileProblemError, match="can't be written"):
        PartFile.open(tmp_path / "beach.jpg", "one")
    assert not (tmp_path / "elsewhere").exists()


def test_a_part_that_became_the_finished_file_is_not_touched_again(tmp_path: Path) -> None:
    """Killed between its second name and the end of its first one."""
    target = tmp_path / "beach.jpg"
    part = PartFile.open(target, "one")
    part.append(b"whole")
    [path] = tmp_path.iterdir()
    target.hardlink_to(path)
    part.close()
    again = PartFile.open(target, "one")
    assert again.byte_size == 0
    again.restart()
    again.append(b"new")
    assert target.read_bytes() == b"whole"
    again.publish(force=True)
    again.close()
    assert [each.name for each in tmp_path.iterdir()] == ["beach.jpg"]
    assert target.read_bytes() == b"new"


def test_a_part_that_gets_its_name_while_it_is_opened_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "beach.jpg"
    first = PartFile.open(target, "one")
    first.append(b"whole")
    lock = fcntl.flock

    def lock_late(descriptor: int, operation: int) -> None:
        if first.byte_size:
            first.publish(force=False)
            first.close()
            first.byte_size = 0
        lock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", lock_late)
    second = PartFile.open(target, "one")
    assert second.byte_size == 0
    second.append(b"second")
    assert target.read_bytes() == b"whole"
    second.close()


@pytest.mark.parametrize("kind", ["of another user", "no regular file"])
def test_a_part_that_is_not_ours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    part = PartFile.open(tmp_path / "beach.jpg", "one")
    part.append(b"first")
    [path] = tmp_path.iterdir()
    part.close()
    if kind == "no regular file":
        path.unlink()
        os.mkfifo(path)
    else:
        stranger = os.geteuid() + 1
        monkeypatch.setattr("os.geteuid", lambda: stranger)
    with pytest.raises(FileProblemError, match=rf"^{re.escape(path.name)} is no file of yours: remove it"):
        PartFile.open(tmp_path / "beach.jpg", "one")
    assert path.exists()


def test_downloads_of_one_command_do_not_take_each_others_place(tmp_path: Path) -> None:
    places = destination(str(tmp_path), many=True, force=True)
    assert places.target("a.jpg") == tmp_path / "a.jpg"
    with pytest.raises(FileProblemError, match=r"Another of these is saved as a\.jpg"):
        places.target("a.jpg")


def test_a_file_that_is_there_is_only_replaced_by_force(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "link.jpg").symlink_to("nowhere")
    (tmp_path / "directory.jpg").mkdir()
    careful = destination(str(tmp_path), many=False, force=False)
    for name in ("a.jpg", "link.jpg"):
        with pytest.raises(FileProblemError, match=f"{name} is there already: --force replaces it"):
            careful.target(name)
    forced = destination(str(tmp_path), many=False, force=True)
    assert forced.target("a.jpg") == tmp_path / "a.jpg"
    with pytest.raises(FileProblemError, match=r"directory\.jpg is a directory"):
        forced.target("directory.jpg")


def test_a_file_or_a_directory_is_meant_by_what_is_there(tmp_path: Path) -> None:
    assert destination(str(tmp_path / "x.jpg"), many=False, force=False).target("a") == tmp_path / "x.jpg"
    for output, many in (("new/", False), ("x.jpg", True), ("new/x.jpg", False)):
        with pytest.raises(UsageError, match="there is no such directory"):
            destination(f"{tmp_path}/{output}", many=many, force=False)


@pytest.mark.parametrize(("ids", "json"), [(["a", "b"], False), (["a"], True)])
def test_stdout_takes_the_bytes_of_one_file_and_nothing_else(ids: list[str], json: bool) -> None:
    with pytest.raises(UsageError, match="--output - "):
        to_stdout("-", ids, json=json)
    assert not to_stdout(None, ids, json=json)
