"""`rm` deletes what was agreed to and nothing else."""

import signal

import pytest

from tests.client.service import Service, darkroom
from tests.client.terminal import plain, terminal

NO_SUCH = "There is no such media."


def is_there(service: Service, media_id: str) -> bool:
    return service.ask("query ($id: ID!) { media(id: $id) { id } }", id=media_id)["media"] is not None


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 1)])
def test_a_terminal_is_asked_first(service: Service, answer: str, code: int) -> None:
    ids = service.request_uploads("a.png", "b.png")
    with terminal(service.origin, "rm", *ids) as shown:
        shown.wait_for(lambda seen: "[y/N] " in seen)
        asked = plain(shown.output)
        assert all(is_there(service, media_id) for media_id in ids)
        shown.type(answer)
        assert shown.finish() == code
    assert asked == (
        "  a.png\n  b.png\nDelete these 2 media with all that was made of them, for good? [y/N] "
    )
    assert [is_there(service, media_id) for media_id in ids] == [code == 1] * 2
    assert ("Nothing was deleted." in shown.output) is (code == 1)


def test_ctrl_c_at_the_question_deletes_nothing(service: Service) -> None:
    [media_id] = service.request_uploads("a.png")
    with terminal(service.origin, "rm", media_id) as shown:
        shown.wait_for(lambda seen: "Delete this media" in seen)
        shown.send(signal.SIGINT)
        assert shown.finish() == 130
    assert "Traceback" not in shown.output
    assert is_there(service, media_id)


def test_where_nobody_can_be_asked_only_yes_deletes(service: Service) -> None:
    [media_id] = service.request_uploads("a.png")
    said = darkroom(service.origin, "rm", media_id)
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr == "Nobody can be asked here whether to delete: say --yes.\n"
    assert is_there(service, media_id)
    said = darkroom(service.origin, "rm", media_id, "--yes")
    assert (said.code, said.stdout, said.stderr) == (0, f"{media_id}: deleted\n", "")
    assert not is_there(service, media_id)


def test_one_that_is_not_there_does_not_hold_back_the_others(service: Service) -> None:
    first, second = service.request_uploads("a.png", "b.png")
    said = darkroom(service.origin, "rm", "-y", first, "nonsense", second, first, "--json")
    assert said.code == 1
    assert said.documents == [
        {"id": first, "error": None},
        {"id": "nonsense", "error": NO_SUCH},
        {"id": second, "error": None},
    ]
    assert said.stderr == f"nonsense: {NO_SUCH}\n"
    assert not is_there(service, first)
    assert not is_there(service, second)


def test_a_terminal_is_not_asked_about_what_is_not_there(service: Service) -> None:
    with terminal(service.origin, "rm", "nonsense") as shown:
        assert shown.finish() == 1
    assert plain(shown.output) == "nonsense: There is no media with this id.\n"


def test_many_are_named_by_the_first_ten(service: Service) -> None:
    ids = service.request_uploads(*[f"{number:02}.png" for number in range(13)])
    with terminal(service.origin, "rm", *ids) as shown:
        shown.wait_for(lambda seen: "[y/N] " in seen)
        shown.type("y\n")
        assert shown.finish() == 0
    assert "  09.png\n  and 3 more\nDelete these 13 media" in plain(shown.output)
    assert not any(is_there(service, media_id) for media_id in ids)
