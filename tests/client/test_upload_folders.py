"""Folders: what is taken of them, and what is left out."""

import os
from pathlib import Path

import pytest

from app.client.errors import UsageError
from app.client.folders import named_files
from app.client.jobs import batches, new_jobs
from app.client.upload_api import Wishes
from tests import pictures
from tests.client.service import Service, upload


def write(path: Path, data: bytes = b"bytes") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def album(tmp_path: Path) -> Path:
    album = tmp_path / "album"
    for name in ("b/2.jpg", "b/1.jpg", "a.jpg", ".hidden.jpg", ".git/config", "b/.thumbs/x.jpg"):
        write(album / name)
    (album / "linked.jpg").symlink_to(album / "a.jpg")
    (album / "linked").symlink_to(album / "b")
    os.mkfifo(album / "pipe")
    return album


def test_everything_beneath_is_taken_but_what_is_hidden_and_links(album: Path) -> None:
    found = named_files([album])
    assert [str(path.relative_to(album)) for path in found.paths] == ["a.jpg", "b/1.jpg", "b/2.jpg"]
    assert found.notes == [
        f"{album}: skipped 3 hidden names, 2 symbolic links, 1 name that is no regular file."
    ]


def test_what_is_named_itself_is_taken_whatever_it_is_called(album: Path) -> None:
    named = [album / "linked.jpg", album / ".hidden.jpg", album / "linked"]
    assert [path.name for path in named_files(named).paths] == [
        "linked.jpg",
        ".hidden.jpg",
        "1.jpg",
        "2.jpg",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT TESTED: root may list every folder")
def test_a_folder_that_can_not_be_listed_is_told_before_anything_is_sent(album: Path) -> None:
    (album / "b").chmod(0)
    with pytest.raises(UsageError, match=r"b can't be listed: permission denied\."):
        named_files([album])
    (album / "b").chmod(0o700)


def test_batches_have_a_hundred_files_and_half_a_gigabyte_at_most(tmp_path: Path) -> None:
    small = [write(tmp_path / f"{number}") for number in range(203)]
    large = write(tmp_path / "large")
    os.truncate(large, 499_999_984)
    jobs = new_jobs([*small, large, small[0], large, large], Wishes())
    assert [len(numbers) for numbers in batches(jobs)] == [100, 100, 4, 2, 1]
    assert [number for numbers in batches(jobs) for number in numbers] == list(range(207))
    assert list(batches([])) == []


def test_a_folder_is_uploaded_and_one_file_does_not_hold_back_the_others(
    service: Service, tmp_path: Path
) -> None:
    album = tmp_path / "album"
    write(album / "beach.jpg", pictures.jpeg(80, 60))
    write(album / "notes.txt", b"some notes")
    write(album / "sea" / "waves.png", pictures.png())
    write(album / ".DS_Store")
    said = upload(service.origin, album, "--tag", "folder", "--json")
    assert said.code == 1
    assert [(document["filename"], document["status"]) for document in said.documents] == [
        ("beach.jpg", "READY"),
        ("notes.txt", None),
        ("waves.png", "READY"),
    ]
    lines = said.stderr.splitlines()
    assert lines[0] == f"{album}: skipped 1 hidden name."
    assert lines[-1].startswith("notes.txt: mimeType text/plain")
    query = '{ mediaItems(filter: {tags: {all: ["folder"]}}) { nodes { filename } } }'
    nodes = service.ask(query)["mediaItems"]["nodes"]
    assert sorted(node["filename"] for node in nodes) == ["beach.jpg", "waves.png"]


def test_more_files_than_one_batch_go_in_several(service: Service, tmp_path: Path) -> None:
    for number in range(110):
        write(tmp_path / "many" / f"{number:03}.svg", pictures.svg(before=f"<!-- {number} -->"))
    said = upload(service.origin, tmp_path / "many", "--no-watch", "--json", "--parallel", "8")
    assert said.code == 0, said.stderr
    assert len({document["id"] for document in said.documents}) == 110
