"""Large files by the command line against the real service: in parts, interrupted, changed, at once."""

import hashlib
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.launcher import launcher
from tests import pictures
from tests.client.service import (
    CHECKOUT,
    Said,
    Service,
    client_environment,
    darkroom,
    finish,
    free_port,
    running_service,
    started,
    upload,
)
from tests.client.terminal import in_terminal, plain
from tests.service.counting_relay import CountingRelay

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
PARTS = 7


@pytest.fixture(scope="module")
def wire() -> Iterator[CountingRelay]:
    """All bytes pass here, for the service signs addresses that lead through it."""
    with CountingRelay(free_port()).running_aside() as relay:
        yield relay


@pytest.fixture(scope="module")
def service(wire: CountingRelay) -> Iterator[Service]:
    settings = {"DARKROOM_PUBLIC_URL": wire.origin, "DARKROOM_MULTIPART_BYTES": str(20 * MIB)}
    with running_service(port=wire.port, **settings) as service:
        yield service


@pytest.fixture(autouse=True)
def counted_anew(wire: CountingRelay) -> None:
    wire.forget()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write(tmp_path / "film.tif", random.randrange(2**32))


def write(path: Path, seed: int) -> Path:
    """A picture that is followed by noise; the last part is a short one."""
    picture = pictures.tiff()
    path.write_bytes(picture + random.Random(seed).randbytes(PARTS * PART_BYTES - 1000 - len(picture)))
    return path


def interrupted(service: Service, wire: CountingRelay, film: Path, number: signal.Signals) -> Said:
    """The command is sent the signal when two parts have passed."""
    with started(service.origin, "upload", film, "--tag", "film") as process:

        def interrupt() -> None:
            if wire.parts.total() == 2:
                process.send_signal(number)

        wire.on_part = interrupt
        return finish(process)


def stored_digest(service: Service, media_id: str, directory: Path) -> str:
    said = darkroom(service.origin, "download", media_id, "-o", directory / "stored")
    assert said.code == 0, said.stderr
    return digest_of(directory / "stored")


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def newest(service: Service) -> dict[str, Any]:
    page = service.ask("{ mediaItems(first: 1) { nodes { id status failure { code } } } }")
    media: dict[str, Any] = page["mediaItems"]["nodes"][0]
    return media


def test_a_large_file_goes_in_parts_each_of_them_once(
    service: Service, wire: CountingRelay, film: Path, tmp_path: Path
) -> None:
    said = upload(service.origin, film, "--json")
    assert said.code == 0, said.stderr
    [document] = said.documents
    assert (document["status"], document["alreadyStored"]) == ("READY", False)
    assert dict(wire.parts) == dict.fromkeys(range(1, PARTS + 1), 1)
    assert wire.body_bytes == film.stat().st_size
    assert stored_digest(service, document["id"], tmp_path) == digest_of(film)
    assert said.stderr.splitlines() == [
        "film.tif: UPLOADING 36.7 MB",
        "film.tif: putting together",
        "film.tif: PROCESSING",
        "film.tif: READY",
    ]


def test_two_large_files_and_a_small_one_at_once(
    service: Service, wire: CountingRelay, film: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other.tif", 7)
    small = tmp_path / "small.png"
    small.write_bytes(pictures.png())
    said = upload(service.origin, film, small, other, "--parallel", "6", "--json")
    assert said.code == 0, said.stderr
    assert [document["status"] for document in said.documents] == ["READY"] * 3
    assert dict(wire.parts) == dict.fromkeys(range(1, PARTS + 1), 2)
    assert stored_digest(service, said.documents[2]["id"], tmp_path) == digest_of(other)


def test_ctrl_c_keeps_what_was_received_and_says_how_to_go_on(
    service: Service, wire: CountingRelay, film: Path, tmp_path: Path
) -> None:
    said = interrupted(service, wire, film, signal.SIGINT)
    assert said.code == 130
    assert said.stderr.splitlines()[-1] == (
        f"Interrupted: 1 upload waits for `{launcher()} upload --resume`."
    )
    media = newest(service)
    assert media["status"] == "UPLOADING"
    wire.on_part = lambda: None
    resumed = subprocess.run(
        [CHECKOUT / "darkroom", "upload", "--resume", "film.tif", "--json"],
        cwd=tmp_path,
        env=client_environment(service.origin),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f'"id": "{media["id"]}"' in resumed.stdout
    assert wire.parts.total() <= PARTS + 1
    assert stored_digest(service, media["id"], tmp_path) == digest_of(film)


def test_one_that_was_killed_goes_on_without_its_name(
    service: Service, wire: CountingRelay, film: Path, tmp_path: Path
) -> None:
    assert interrupted(service, wire, film, signal.SIGKILL).code == -signal.SIGKILL
    wire.on_part = lambda: None
    said = upload(service.origin, "--resume", "--json")
    assert said.code == 0, said.stderr
    assert said.stderr.splitlines()[0].startswith("film.tif: goes on, ")
    assert wire.parts.total() <= PARTS + 1
    assert stored_digest(service, said.documents[0]["id"], tmp_path) == digest_of(film)
    again = upload(service.origin, "--resume")
    assert again == Said(code=0, stdout="", stderr=f"There is no unfinished upload to {service.origin}.\n")


def test_a_file_that_changed_meanwhile_is_refused(service: Service, wire: CountingRelay, film: Path) -> None:
    interrupted(service, wire, film, signal.SIGINT)
    with film.open("r+b") as file:
        file.write(b"other")
    said = upload(service.origin, "--resume", film)
    assert said.code == 1
    assert (
        "film.tif: The file changed since its upload began, which is given up: upload it again."
        in said.stderr
    )
    media = newest(service)
    assert (media["status"], media["failure"]) == ("FAILED", {"code": "CANCELLED"})


def test_an_upload_that_was_given_up_elsewhere_begins_anew(
    service: Service, wire: CountingRelay, film: Path
) -> None:
    interrupted(service, wire, film, signal.SIGINT)
    given_up = newest(service)["id"]
    upload_id = service.ask("query ($id: ID!) { media(id: $id) { upload { id } } }", id=given_up)
    service.ask(
        "mutation ($id: ID!) { abortUpload(uploadId: $id) { upload { status } } }",
        id=upload_id["media"]["upload"]["id"],
    )
    said = upload(service.origin, "--resume", film, "--json")
    assert said.code == 0, said.stderr
    assert said.documents[0]["id"] != given_up
    assert "film.tif: its upload has expired, it begins anew" in said.stderr
    tags = service.ask("query ($id: ID!) { media(id: $id) { tags { name } } }", id=said.documents[0]["id"])
    assert tags["media"]["tags"] == [{"name": "film"}]


def test_wishes_are_for_new_uploads(service: Service, film: Path) -> None:
    said = upload(service.origin, "--resume", film, "--tag", "sea")
    sentence = "--resume goes on as it began: --tag and --title are for new uploads.\n"
    assert said == Said(code=2, stdout="", stderr=sentence)


def test_a_terminal_shows_what_is_read_and_how_fast_it_goes(service: Service, film: Path) -> None:
    os.truncate(film, 300_000_000)  # long enough on its way to be drawn: ten times a second
    code, output = in_terminal(service.origin, "upload", film, columns=110)
    assert code == 0
    text = plain(output)
    assert "reading" in text
    assert " of 300.0 MB" in text
    for status in ("UPLOADING", "READY"):
        assert status in text
