"""`ls`, as people and scripts meet it."""

import json
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests import pictures
from tests.client.service import CHECKOUT, Said, Service, client_environment, command, darkroom, upload
from tests.client.terminal import in_terminal, plain

LONG_NAME = "a very long name that says what is to be seen and where it was taken and by whom.png"


@pytest.fixture(scope="module")
def ids(service: Service, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The newest first: a picture that is READY, then 120 that are UPLOADING."""
    many = service.request_uploads(*[f"{number:03}.png" for number in range(99)], tags=["many"])
    many += service.request_uploads(*[f"{number:03}.png" for number in range(99, 119)], tags=["many"])
    many += service.request_uploads(LONG_NAME, tags=["many", "Très loin", "Holiday"])
    photo = tmp_path_factory.mktemp("photos") / "beach.jpg"
    photo.write_bytes(pictures.jpeg(400, 300))
    [document] = upload(service.origin, photo, "--tag", "Holiday", "--json").documents
    return [document["id"], *reversed(many)]


def test_pipes_get_one_tab_separated_line_for_each_the_newest_first(service: Service, ids: list[str]) -> None:
    said = darkroom(service.origin, "ls", "--limit", "2")
    rows = [line.split("\t") for line in said.stdout.splitlines()]
    assert (said.code, said.stderr, len(rows)) == (0, "", 2)
    assert [row[0] for row in rows] == ids[:2]
    assert rows[0][1:5] == ["beach.jpg", "IMAGE", "READY", rows[0][4]]
    assert rows[1][1:5] == [LONG_NAME, "IMAGE", "UPLOADING", "1000"]
    assert set(rows[1][6].split(",")) == {"many", "très-loin", "holiday"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", rows[1][5])


def test_by_default_50_are_shown_and_it_is_said_that_there_are_more(service: Service, ids: list[str]) -> None:
    said = darkroom(service.origin, "ls")
    assert [line.split("\t")[0] for line in said.stdout.splitlines()] == ids[:50]
    assert said.stderr == "There are more than these 50: say --all, or --limit N.\n"


@pytest.mark.parametrize(("option", "count"), [(("--limit", "105"), 105), (("--all",), 121)])
def test_as_many_pages_are_read_as_it_takes(
    service: Service, ids: list[str], option: tuple[str, ...], count: int
) -> None:
    said = darkroom(service.origin, "ls", "--json", *option)
    assert [document["id"] for document in said.documents] == ids[:count]
    assert said.stderr == ""


def test_json_says_what_the_service_says(service: Service, ids: list[str]) -> None:
    [document] = darkroom(service.origin, "ls", "--status", "ready", "--json").documents
    query = """query ($id: ID!) { media(id: $id) {
      id version filename title kind status visibility mimeType size createdAt updatedAt
      failure { code message } tags { name } } }"""
    media = service.ask(query, id=ids[0])["media"]
    assert document == {**media, "tags": [tag["name"] for tag in media["tags"]]}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--status", "READY"), slice(0, 1)),
        (("--status", "ready", "--status", "uploading", "--tag", "holiday"), slice(0, 2)),
        (("--tag", "Tres loin"), slice(0, 0)),
        (("--tag", " TRÈS  LOIN"), slice(1, 2)),
        (("--tag", "holiday", "--tag", "many"), slice(1, 2)),
        (("--kind", "video"), slice(0, 0)),
        (("--kind", "image", "--kind", "video", "--status", "READY"), slice(0, 1)),
        (("--search", "BEAC"), slice(0, 1)),
        (("--search", "long name loin"), slice(1, 2)),
        (("--search", "beach", "--status", "failed"), slice(0, 0)),
        (("--visibility", "public"), slice(0, 0)),
        (("--visibility", "private", "--tag", "holiday"), slice(0, 2)),
        (("--tag", "holiday", "--order", "oldest"), slice(1, None, -1)),
        (("--tag", "holiday", "--order", "changed"), slice(0, 2)),
        (("--tag", "holiday", "--order", "name"), slice(1, None, -1)),
        (("--tag", "holiday", "--order", "largest"), slice(0, 2)),
        (("--tag", "holiday", "--created-after", "2001-01-31"), slice(0, 2)),
        (("--created-after", "2200-01-31T12:00"), slice(0, 0)),
        (("--tag", "holiday", "--created-before", "2200-01-31T12:00:00+02:00"), slice(0, 2)),
        (("--created-before", "2001-01-31T12:00:59"), slice(0, 0)),
    ],
)
def test_options_choose(service: Service, ids: list[str], options: tuple[str, ...], found: slice) -> None:
    said = darkroom(service.origin, "ls", *options)
    assert [line.split("\t")[0] for line in said.stdout.splitlines()] == ids[found]
    assert said.code == 0
    assert said.stderr == ("" if ids[found] else "No media match.\n")


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_a_narrow_terminal_gets_whole_ids_and_shorter_names(
    service: Service, ids: list[str], columns: int
) -> None:
    code, output = in_terminal(service.origin, "ls", "--tag", "holiday", columns=columns)
    lines = plain(output).splitlines()
    assert code == 0
    assert "\x1b[" in output
    assert [line.strip() for line in lines[2::2]] == ids[:2]
    assert max(cell_len(line) for line in lines) <= columns
    assert "a very" in lines[3]
    assert "…" in lines[3]
    assert "UPLOADING" in lines[3]


def test_a_wide_terminal_gets_one_line_for_each(service: Service, ids: list[str]) -> None:
    _, output = in_terminal(service.origin, "ls", "--status", "READY", columns=200)
    header, row = plain(output).splitlines()
    assert header.split() == ["ID", "FILENAME", "KIND", "STATUS", "SIZE", "CREATED", "TAGS"]
    assert row.split()[:4] == [ids[0], "beach.jpg", "IMAGE", "READY"]
    assert LONG_NAME not in row


def test_no_color_is_honoured(service: Service, ids: list[str]) -> None:
    arguments = (service.origin, "ls", "--status", "READY")
    _, coloured = in_terminal(*arguments)
    _, plainer = in_terminal(*arguments, environment={"NO_COLOR": "1"})
    colour = re.compile(r"\x1b\[[\d;]*3\dm")
    assert colour.search(coloured)
    assert not colour.search(plainer)


def test_a_reader_that_has_enough_ends_it_quietly(service: Service, ids: list[str]) -> None:
    script = 'set -o pipefail; "$@" ls --all --json | head -n 1'
    said = subprocess.run(
        ["bash", "-c", script, "bash", *command()],
        cwd=CHECKOUT,
        env=client_environment(service.origin),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert json.loads(said.stdout)["id"] == ids[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT TESTED: there is no /dev/full")
def test_an_output_that_is_full_is_told(service: Service, ids: list[str]) -> None:
    with open("/dev/full", "w") as full:
        said = subprocess.run(
            command("ls"),
            cwd=CHECKOUT,
            env=client_environment(service.origin),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert said.returncode == 1
    assert said.stderr == "The output can't be written: no space left on device.\n"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--tag", "!"), "--tag !: the name of a tag has a letter or a digit.\n"),
        (("--tag", "\x1b!"), "--tag \\x1b!: the name of a tag has a letter or a digit.\n"),
        (("--limit", "0"), "--limit"),
        (("--order", "best"), "--order"),
        (("--created-after", "yesterday"), "--created-after"),
        (("--status", "NEW"), "--status"),
        (("--url", "ftp://127.0.0.1"), "--url must look like http://127.0.0.1:8000.\n"),
    ],
)
def test_what_can_not_be_meant_is_wrong_usage(
    service: Service, options: tuple[str, ...], sentence: str
) -> None:
    said = darkroom(service.origin, "ls", *options)
    assert (said.code, said.stdout) == (2, "")
    assert sentence in said.stderr
    assert "\x1b" not in said.stderr


@pytest.mark.parametrize(
    "arguments", ["ls", "show x", "watch", "tag x --add a", "tags", "rm --yes x", "download x"]
)
def test_a_service_that_is_not_there_is_named(arguments: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    expected = (
        f"Darkroom does not answer at {origin}: start it with `make run`, or name its address with --url.\n"
    )
    assert darkroom(origin, *arguments.split()) == Said(code=1, stdout="", stderr=expected)


def test_a_name_that_the_terminals_encoding_lacks_is_escaped(service: Service) -> None:
    [media_id] = service.request_uploads("日本.png", tags=["encoding"])
    said = subprocess.run(
        command("ls", "--tag", "encoding"),
        cwd=CHECKOUT,
        env={**client_environment(service.origin), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert said.stdout.split(b"\t")[:2] == [os.fsencode(media_id), b"\\u65e5\\u672c.png"]
