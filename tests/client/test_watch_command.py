"""`watch`: the whole library live, in a terminal and in a pipe."""

import json
import re
import signal
from pathlib import Path

import pytest

from tests import pictures
from tests.client.service import Service, finish, started, upload
from tests.client.terminal import Terminal, plain, terminal


def frame(shown: Terminal) -> str:
    """The last picture of the table."""
    return plain(shown.output.rpartition("\x1b[H")[2])


def counts(shown: Terminal) -> dict[str, int]:
    return {status: int(count) for count, status in re.findall(r"(\d+) ([A-Z]{5,})", frame(shown))}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "beach.jpg"
    path.write_bytes(pictures.unlike_all_others(pictures.jpeg(400, 300)))
    return path


def test_a_terminal_shows_what_is_there_and_what_comes(service: Service, photo: Path) -> None:
    service.request_uploads("there.png")
    with terminal(service.origin, "watch", columns=100, lines=12) as shown:
        shown.wait_for(lambda _: "there.png" in frame(shown) and "UPLOADING" in counts(shown))
        before = counts(shown)
        [document] = upload(service.origin, photo, "--tag", "live", "--json").documents
        assert document["status"] == "READY"
        shown.wait_for(lambda _: counts(shown).get("READY") == before["READY"] + 1)
        header, first, *_ = frame(shown).splitlines()
        assert header.split()[0] == "FILENAME"
        assert first.split()[0] == "beach.jpg"
        assert "READY" in first
        assert "live" in first
        service.ask("mutation ($id: ID!) { deleteMedia(id: $id) { deletedId } }", id=document["id"])
        shown.wait_for(lambda _: "beach.jpg" not in frame(shown) and counts(shown) == before)
        shown.send(signal.SIGINT)
        assert shown.finish() == 130
    assert_restored(shown)


def assert_restored(shown: Terminal) -> None:
    """The cursor is seen again and the screen is the one from before."""
    assert shown.output.count("\x1b[?1049h") == shown.output.count("\x1b[?1049l") == 1
    assert shown.output.rindex("\x1b[?25h") > shown.output.rindex("\x1b[?25l")
    assert plain(shown.output.rpartition("\x1b[?1049l")[2]) == ""
    assert "Traceback" not in shown.output


def test_a_small_screen_shows_the_latest_and_the_counts(service: Service) -> None:
    service.request_uploads(*[f"small {number}.png" for number in range(20)], tags=["small"])
    with terminal(service.origin, "watch", "--tag", "small", columns=60, lines=8) as shown:
        shown.wait_for(lambda _: counts(shown).get("UPLOADING") == 20)
        lines = frame(shown).splitlines()
        assert len(lines) <= 8
        assert max(map(len, lines)) <= 60
        assert lines[1].startswith("small 19.png")
        assert sum("UPLOADING" in line and "png" in line for line in lines) == 5
        shown.send(signal.SIGTERM)
        assert shown.finish() == 143
    assert_restored(shown)


def test_a_service_that_is_killed_is_watched_again_when_it_is_back(service: Service) -> None:
    service.request_uploads("before.png", tags=["restart"])
    with terminal(service.origin, "watch", "--tag", "restart") as shown:
        shown.wait_for(lambda _: counts(shown).get("UPLOADING") == 1)
        service.kill()
        shown.wait_for(lambda _: "reconnecting" in frame(shown))
        service.start()
        service.request_uploads("after.png", tags=["restart"])
        shown.wait_for(lambda _: counts(shown).get("UPLOADING") == 2 and "reconnecting" not in frame(shown))
        assert frame(shown).splitlines()[1].startswith("after.png")
        shown.send(signal.SIGINT)
        assert shown.finish() == 130


def test_a_pipe_gets_a_line_for_each_event(service: Service, photo: Path) -> None:
    with started(service.origin, "watch", "--tag", "piped") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline() == "Watching: Ctrl-C ends.\n"
        service.request_uploads("other.png")
        [document] = upload(service.origin, photo, "--tag", "piped", "--json").documents
        rows: list[list[str]] = []
        while not rows or rows[-1][3] != "READY":
            rows.append(process.stdout.readline().rstrip("\n").split("\t"))
        process.send_signal(signal.SIGINT)
        said = finish(process)
    assert (said.code, said.stdout, said.stderr) == (130, "", "")
    assert {row[2] for row in rows} == {document["id"]}
    assert {row[4] for row in rows} == {"beach.jpg"}
    assert [row[3] for row in rows if row[1] in ("CREATED", "STATUS_CHANGED")] == [
        "UPLOADING",
        "PROCESSING",
        "READY",
    ]
    assert "\x1b" not in str(rows)


def test_json_tells_each_event_once_though_the_service_is_killed(service: Service) -> None:
    with started(service.origin, "watch", "--json", "--status", "uploading", "--tag", "json") as process:
        assert process.stderr is not None
        assert process.stdout is not None
        begun = json.loads(process.stdout.readline())
        [before] = service.request_uploads("before.png", tags=["json"])
        created = json.loads(process.stdout.readline())
        service.kill()
        assert process.stderr.readline() == "connection lost, trying again\n"
        service.start()
        [after] = service.request_uploads("after.png", tags=["json"])
        again = json.loads(process.stdout.readline())
        service.ask("mutation ($id: ID!) { deleteMedia(id: $id) { deletedId } }", id=before)
        deleted = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said = finish(process)
    assert (said.code, said.stdout) == (130, "")
    assert said.stderr == "connected again\n"
    assert (begun["type"], begun["mediaId"], begun["media"]) == ("CURSOR", None, None)
    assert (created["type"], created["mediaId"], created["matches"]) == ("CREATED", before, True)
    assert created["media"]["filename"] == "before.png"
    assert (again["type"], again["mediaId"]) == ("CREATED", after)
    assert (deleted["type"], deleted["mediaId"], deleted["matches"], deleted["media"]) == (
        "DELETED",
        before,
        False,
        None,
    )


def test_a_reader_that_has_gone_ends_it_quietly(service: Service) -> None:
    with started(service.origin, "watch", "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        service.request_uploads("nobody reads of it.png")
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
