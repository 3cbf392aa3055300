"""The command as people and scripts meet it: a process of its own, against a service in another."""

import asyncio
import os
import re
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest
import pyvips

from tests import pictures
from tests.client.relay import Relay
from tests.client.service import (
    Said,
    Service,
    finish,
    started,
    upload,
)
from tests.client.terminal import in_terminal, plain


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write(tmp_path / "beach.jpg", pictures.unlike_all_others(pictures.jpeg(800, 600)))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_jpeg_becomes_ready_and_its_renditions_open(service: Service, photo: Path) -> None:
    said = upload(
        service.origin, photo, "--tag", "Holiday", "--tag", "sea", "--title", "At the sea", "--json"
    )
    assert said.code == 0, said.stderr
    [document] = said.documents
    assert document["filename"] == "beach.jpg"
    assert (document["status"], document["failure"], document["error"]) == ("READY", None, None)
    assert document["userErrors"] == []
    for rendition in document["renditions"]:
        with urllib.request.urlopen(rendition["url"], timeout=10) as response:
            data = response.read()
            assert response.headers["Content-Type"] == rendition["mimeType"]
        image = pyvips.Image.new_from_buffer(data, "")
        expected = (rendition["width"], rendition["height"], rendition["size"])
        assert (image.width, image.height, len(data)) == expected
    assert {"webp-320", "webp-640"} <= {rendition["name"] for rendition in document["renditions"]}
    kept = service.ask("query ($id: ID!) { media(id: $id) { title tags { name } } }", id=document["id"])
    assert kept["media"]["title"] == "At the sea"
    assert {tag["name"] for tag in kept["media"]["tags"]} == {"Holiday", "sea"}


def test_one_file_that_fails_and_one_that_is_refused_do_not_hold_back_the_others(
    service: Service, photo: Path, tmp_path: Path
) -> None:
    text = write(tmp_path / "text.jpg", b"not a picture at all " * 50)
    notes = write(tmp_path / "notes.txt", b"some notes")
    empty = write(tmp_path / "empty.png", b"")
    misnamed = write(tmp_path / "misnamed.jpg", pictures.png())
    said = upload(service.origin, photo, text, notes, empty, misnamed, "--json")
    assert said.code == 1
    assert [document["filename"] for document in said.documents] == [
        "beach.jpg",
        "text.jpg",
        "notes.txt",
        "empty.png",
        "misnamed.jpg",
    ]
    assert [d["status"] for d in said.documents] == ["READY", "FAILED", None, None, "READY"]
    assert said.documents[1]["failure"]["code"] == "UNSUPPORTED_FORMAT"
    assert said.documents[2]["userErrors"][0]["code"] == "UNSUPPORTED_TYPE"
    assert said.documents[3]["error"] == "The file is empty."
    for complaint in (
        "text.jpg: This is a text file",
        "notes.txt: mimeType text/plain",
        "empty.png: The file is",
    ):
        assert complaint in said.stderr


async def test_files_whose_announcement_is_answered_in_vain_become_one_media_each(
    service: Service, tmp_path: Path
) -> None:
    """The same picture under two names and one name twice: four wishes, four media."""
    photos = [write(tmp_path / name, pictures.jpeg(40, 30)) for name in ("lost-a.jpg", "lost-b.jpg")]
    async with Relay(service.port, b"RequestUploads", times=2).running() as relay:
        said = await asyncio.to_thread(upload, relay.origin, *photos, *photos, "--tag", "lost", "--json")
        assert relay.lost
    assert (said.code, [document["status"] for document in said.documents]) == (0, ["READY"] * 4), said
    found = service.ask(
        """{ mediaItems(filter: {tags: {all: ["lost"]}}, orderBy: FILENAME_ASC) {
            nodes { id filename status }
        } }"""
    )["mediaItems"]["nodes"]
    assert {media["id"] for media in found} == {document["id"] for document in said.documents}
    assert [(media["filename"], media["status"]) for media in found] == [
        ("lost-a.jpg", "READY"),
        ("lost-a.jpg", "READY"),
        ("lost-b.jpg", "READY"),
        ("lost-b.jpg", "READY"),
    ]


def test_without_watching_it_ends_with_the_finalized_upload(service: Service, photo: Path) -> None:
    said = upload(service.origin, photo, "--no-watch")
    assert said.code == 0
    assert re.fullmatch(r"beach\.jpg  (PROCESSING|READY)( .*)?  \w+=*\n", said.stdout.splitlines()[0] + "\n")
    assert (
        said.stderr == f"beach.jpg: UPLOADING {photo.stat().st_size / 1000:.1f} kB\nbeach.jpg: PROCESSING\n"
    )


def test_more_files_than_one_request_may_announce(service: Service, tmp_path: Path) -> None:
    notes = [write(tmp_path / f"{number:03}.txt", b"some notes") for number in range(103)]
    said = upload(service.origin, *notes, "--json")
    assert said.code == 1
    assert [document["filename"] for document in said.documents] == [note.name for note in notes]
    assert all(document["userErrors"] for document in said.documents)


def test_piped_output_is_plain_and_has_each_address_at_the_end_of_its_line(
    service: Service, photo: Path
) -> None:
    said = upload(service.origin, photo)
    assert said.code == 0
    assert not re.search(r"[^\n -~×]", said.stdout + said.stderr)
    title, header, *rows = said.stdout.strip().splitlines()
    assert title.startswith("beach.jpg  READY  800 × 600  ")
    assert header.split() == ["NAME", "TYPE", "PIXELS", "BYTES", "ADDRESS"]
    for row in rows:
        with urllib.request.urlopen(row.split()[-1], timeout=10) as response:
            assert response.status == 200
    assert said.stderr.splitlines()[1:] == ["beach.jpg: PROCESSING", "beach.jpg: READY"]
    assert "signature=" not in said.stderr


def test_a_narrow_terminal_shows_bars_and_whole_addresses(service: Service, photo: Path) -> None:
    code, output = in_terminal(service.origin, "upload", photo, columns=60)
    assert code == 0
    assert "\x1b[" in output
    assert "━" in output
    text = plain(output)
    for status in ("UPLOADING", "READY"):
        assert status in text
    addresses = re.findall(r"^http://\S+signature=\S+$", text, re.MULTILINE)
    assert len(addresses) >= 4
    with urllib.request.urlopen(addresses[0], timeout=10) as response:
        assert response.status == 200


def test_control_characters_of_a_filename_are_printed_escaped(service: Service, tmp_path: Path) -> None:
    said = upload(service.origin, write(tmp_path / "a\x1b[31m\u202e.jpg", pictures.jpeg()))
    assert said.code == 1
    assert "\x1b" not in said.stdout + said.stderr
    assert "a\\x1b[31m\\u202e.jpg: filename must not contain control characters." in said.stderr


def test_a_name_that_is_no_text_is_sent_as_what_can_be_read_of_it(service: Service, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    said = upload(service.origin, write(tmp_path / name, pictures.jpeg()), "--json")
    assert said.code == 0, said.stderr
    [document] = said.documents
    kept = service.ask("query ($id: ID!) { media(id: $id) { filename } }", id=document["id"])
    assert kept["media"]["filename"] == document["filename"] == "caf\N{REPLACEMENT CHARACTER}.jpg"


def test_a_service_that_is_not_there_is_named(photo: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    said = upload(origin, photo, "--json")
    expected = (
        f"Darkroom does not answer at {origin}: start it with `make run`, or name its address with --url.\n"
    )
    assert said == Said(code=1, stdout="", stderr=expected)


def test_another_service_at_the_address_is_told(service: Service, photo: Path) -> None:
    said = upload(f"{service.origin}/elsewhere", photo)
    assert said.code == 1
    assert "answers 404" in said.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing.jpg", "there is no such file."),
        ("empty", "there are no files to upload in this folder."),
        ("pipe", "is not a regular file."),
    ],
)
def test_what_is_no_file_is_wrong_usage(photo: Path, name: str, sentence: str) -> None:
    (photo.parent / "empty").mkdir()
    os.mkfifo(photo.parent / "pipe")
    said = upload("http://127.0.0.1:9", photo, photo.parent / name)
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr.rstrip().endswith(sentence)
    assert len(said.stderr.splitlines()) == 1


def test_no_file_and_no_address_are_wrong_usage(photo: Path) -> None:
    assert upload("http://127.0.0.1:9").code == 2
    said = upload("http://127.0.0.1:9", photo, "--url", "ftp://127.0.0.1")
    assert said == Said(code=2, stdout="", stderr="--url must look like http://127.0.0.1:8000.\n")


def test_ctrl_c_gives_up_what_was_not_sent(service: Service, tmp_path: Path) -> None:
    big = write(tmp_path / "big.png", pictures.noise_png(3500, 3000))
    with started(service.origin, "upload", *[big] * 8) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("big.png: UPLOADING")
        process.send_signal(signal.SIGINT)
        interrupted_at = time.monotonic()
        said = finish(process)
    assert time.monotonic() - interrupted_at < 20
    assert (said.code, said.stdout) == (130, "")
    assert said.stderr.splitlines()[-1] == "Interrupted: what was not sent is given up."
    assert "Traceback" not in said.stderr
    page = service.ask("{ mediaItems(first: 8) { nodes { filename status failure { code } } } }")
    nodes = page["mediaItems"]["nodes"]
    assert {node["filename"] for node in nodes} == {"big.png"}
    assert "UPLOADING" not in {node["status"] for node in nodes}
    assert {"code": "CANCELLED"} in [node["failure"] for node in nodes]
