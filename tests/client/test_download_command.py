"""`download`, as people and scripts meet it."""

import os
import select
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests import pictures
from tests.client.service import (
    CHECKOUT,
    Service,
    client_environment,
    command,
    darkroom,
    finish,
    started,
    upload,
)
from tests.client.terminal import in_terminal, plain

BEACH = pictures.jpeg(500, 400)


@pytest.fixture(scope="module")
def ids(service: Service, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A picture of a few kilobytes, and one of 15 MB."""
    directory = tmp_path_factory.mktemp("photos")
    beach, big = directory / "beach.jpg", directory / "big.png"
    beach.write_bytes(BEACH)
    big.write_bytes(pictures.noise_png(2500, 2000))
    said = upload(service.origin, beach, big, "--json")
    return [document["id"] for document in said.documents]


@pytest.fixture(scope="module")
def big(service: Service, ids: list[str]) -> bytes:
    answer = service.ask("query ($id: ID!) { media(id: $id) { download { url } } }", id=ids[1])
    with urllib.request.urlopen(answer["media"]["download"]["url"], timeout=30) as response:
        data: bytes = response.read()
    return data


def test_originals_are_saved_under_their_own_names(
    service: Service, ids: list[str], big: bytes, tmp_path: Path
) -> None:
    said = darkroom(service.origin, "download", *ids, "-o", tmp_path)
    assert (said.code, said.stderr) == (0, "")
    assert said.stdout == f"{tmp_path}/beach.jpg\n{tmp_path}/big.png\n"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "beach.jpg": BEACH,
        "big.png": big,
    }


def test_what_is_there_stays_unless_force_is_used(service: Service, ids: list[str], tmp_path: Path) -> None:
    (tmp_path / "beach.jpg").write_text("mine")
    said = darkroom(service.origin, "download", ids[0], "nonsense", "-o", tmp_path, "--json")
    assert said.code == 1
    refused, missing = said.documents
    assert refused == {
        "id": ids[0],
        "path": None,
        "size": None,
        "error": "beach.jpg is there already: --force replaces it, --output names another.",
    }
    assert missing["error"] == "There is no media with this id."
    assert (tmp_path / "beach.jpg").read_text() == "mine"
    said = darkroom(service.origin, "download", ids[0], "-o", tmp_path, "--json", "--force")
    path = str(tmp_path / "beach.jpg")
    assert said.documents == [{"id": ids[0], "path": path, "size": len(BEACH), "error": None}]
    assert (tmp_path / "beach.jpg").read_bytes() == BEACH


def test_a_rendition_is_saved_by_its_name(service: Service, ids: list[str], tmp_path: Path) -> None:
    said = darkroom(service.origin, "download", ids[0], "-o", tmp_path, "--rendition", "webp-320")
    assert said.stdout == f"{tmp_path}/beach-webp-320.webp\n"
    assert (tmp_path / "beach-webp-320.webp").read_bytes()[8:12] == b"WEBP"
    said = darkroom(service.origin, "download", ids[0], "-o", tmp_path, "--rendition", "webp-9")
    assert said.code == 1
    assert "There is no rendition webp-9: there are " in said.stderr
    assert "webp-320" in said.stderr


def test_stdout_takes_the_bytes(service: Service, ids: list[str], big: bytes) -> None:
    said = subprocess.run(
        command("download", ids[1], "-o", "-"),
        cwd=CHECKOUT,
        env=client_environment(service.origin),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, b"")
    assert said.stdout == big


def test_a_terminal_is_not_filled_with_bytes(service: Service, ids: list[str]) -> None:
    code, output = in_terminal(service.origin, "download", ids[0], "-o", "-")
    assert code == 2
    assert plain(output).startswith("--output - would fill the terminal with bytes")


def test_a_terminal_shows_bars_and_then_the_paths(service: Service, ids: list[str], tmp_path: Path) -> None:
    code, output = in_terminal(service.origin, "download", *ids, "-o", tmp_path, columns=70)
    assert code == 0
    assert "━" in output
    assert "saved" in output
    assert "signature=" not in output
    assert plain(output).endswith(f"{tmp_path}/beach.jpg\n{tmp_path}/big.png\n")


def cut(service: Service, media_id: str, directory: Path) -> Path:
    """The part that a download leaves which may write no file of more than 4 MiB."""
    said = subprocess.run(
        ["bash", "-c", 'ulimit -f 4096; "$@"', "bash", *command("download", media_id, "-o", directory)],
        cwd=CHECKOUT,
        env=client_environment(service.origin),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == f"{media_id}: The file can't be written: file too large.\n"
    [part] = directory.iterdir()
    assert part.name.startswith("big.png.")
    assert part.name.endswith(".part")
    assert part.stat().st_size == 4096 * 1024
    return part


def test_a_download_that_was_cut_is_taken_up_by_the_same_command(
    service: Service, ids: list[str], big: bytes, tmp_path: Path
) -> None:
    inode = cut(service, ids[1], tmp_path).stat().st_ino
    said = darkroom(service.origin, "download", ids[1], "-o", tmp_path)
    assert (said.code, said.stdout) == (0, f"{tmp_path}/big.png\n")
    assert [path.name for path in tmp_path.iterdir()] == ["big.png"]
    assert (tmp_path / "big.png").read_bytes() == big
    assert (tmp_path / "big.png").stat().st_ino == inode


def test_a_part_whose_beginning_is_not_the_originals_is_thrown_away(
    service: Service, ids: list[str], tmp_path: Path
) -> None:
    with cut(service, ids[1], tmp_path).open("r+b") as part:
        part.write(b"something else")
    said = darkroom(service.origin, "download", ids[1], "-o", tmp_path)
    assert (said.code, said.stdout) == (1, "")
    assert "What came has another SHA-256 than the service computed of the original." in said.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_it_with_a_word(service: Service, ids: list[str]) -> None:
    """A pipe that nobody reads holds it in the middle."""
    with started(service.origin, "download", ids[1], "-o", "-") as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 60)[0]
        process.send_signal(signal.SIGINT)
        os.set_blocking(process.stdout.fileno(), True)
        while os.read(process.stdout.fileno(), 1 << 20):
            pass
        said = finish(process)
    assert (said.code, said.stderr) == (130, "Interrupted.\n")


def test_what_has_no_bytes_yet_is_not_downloaded(service: Service, tmp_path: Path) -> None:
    [media_id] = service.request_uploads("coming.png")
    said = darkroom(service.origin, "download", media_id, "-o", tmp_path)
    assert (said.code, said.stdout) == (1, "")
    assert said.stderr == f"{media_id}: There are no bytes to download: it is UPLOADING.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_can_not_be_written_is_told(
    service: Service, ids: list[str], tmp_path: Path
) -> None:
    said = darkroom(service.origin, "download", *ids, "-o", tmp_path / "new")
    assert (said.code, said.stderr) == (2, f"{tmp_path}/new: there is no such directory.\n")
