"""`retry` and `cancel`, as people and scripts meet them."""

from pathlib import Path

import pytest

from tests import pictures
from tests.client.service import Service, darkroom, upload

NO_SUCH = "There is no such media."


def failure_of(service: Service, media_id: str) -> str | None:
    answer = service.ask("query ($id: ID!) { media(id: $id) { failure { code } } }", id=media_id)
    failure = answer["media"]["failure"]
    return None if failure is None else str(failure["code"])


@pytest.fixture(scope="module")
def failed(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Its bytes are of no picture."""
    path = tmp_path_factory.mktemp("texts") / "text.jpg"
    path.write_text("not a picture at all")
    [document] = upload(service.origin, path, "--json").documents
    assert document["status"] == "FAILED"
    return str(document["id"])


def test_what_failed_is_processed_again(service: Service, failed: str) -> None:
    [waiting] = service.request_uploads("waiting.png")
    said = darkroom(service.origin, "retry", failed, "nonsense", waiting, failed)
    assert (said.code, said.stdout) == (1, f"{failed}: PROCESSING\n")
    assert said.stderr.splitlines() == [
        f"nonsense: {NO_SUCH}",
        f"{waiting}: The media is UPLOADING: only what FAILED is tried again.",
    ]


def test_scripts_are_told_of_each(service: Service, failed: str) -> None:
    said = darkroom(service.origin, "retry", failed, "nonsense", "--json")
    assert said.code == 1
    assert said.documents == [
        {"id": failed, "status": "PROCESSING", "error": None},
        {"id": "nonsense", "error": NO_SUCH},
    ]
    said = darkroom(service.origin, "cancel", "nonsense", "--json")
    assert (said.code, said.documents) == (1, [{"id": "nonsense", "error": NO_SUCH}])


def test_what_is_cancelled_can_be_taken_up_again(service: Service, tmp_path: Path) -> None:
    """More than the workers begin at once, so that the last still waits."""
    photos = []
    for number in range(6):
        photos.append(tmp_path / f"{number}.png")
        photos[-1].write_bytes(pictures.noise_png(2500, 2000))
    *_, last = upload(service.origin, *photos, "--no-watch", "--json").documents
    said = darkroom(service.origin, "cancel", last["id"])
    assert (said.code, said.stdout, said.stderr) == (0, f"{last['id']}: cancelled\n", "")
    assert failure_of(service, last["id"]) == "CANCELLED"
    said = darkroom(service.origin, "cancel", last["id"], "--json")
    assert said.documents == [{"id": last["id"], "status": "FAILED", "error": None}]
    said = darkroom(service.origin, "retry", last["id"], "--json")
    assert said.documents == [{"id": last["id"], "status": "PROCESSING", "error": None}]
    assert failure_of(service, last["id"]) is None
