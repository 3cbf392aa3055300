"""The service is killed while pictures are sent or processed: the command goes on when it is back."""

from pathlib import Path

from tests import pictures
from tests.client.service import Service, finish, started


def test_watching_survives_that_the_service_is_killed(service: Service, tmp_path: Path) -> None:
    photos = []
    for number in range(4):
        photos.append(tmp_path / f"{number}.png")
        photos[-1].write_bytes(pictures.noise_png(3000, 2500))
    lines: list[str] = []
    with started(service.origin, "upload", *photos, "--json") as process:
        assert process.stderr is not None
        while not lines or "PROCESSING" not in lines[-1]:
            lines.append(process.stderr.readline().strip())
            assert lines[-1], "The command ended."
        service.kill()
        service.start()
        said = finish(process)
    lines += said.stderr.splitlines()
    assert said.code == 0, lines
    assert [document["status"] for document in said.documents] == ["READY"] * 4
    assert any(line.endswith("connection lost, trying again") for line in lines)
    stories = [statuses_told(lines, photo) for photo in photos]
    assert ["UPLOADING", "PROCESSING", "READY"] in stories
    # Where the answer to finalizeUpload was lost, a picture may be READY when the service is back.
    assert all(
        story in (["UPLOADING", "PROCESSING", "READY"], ["UPLOADING", "READY"]) for story in stories
    ), stories


def statuses_told(lines: list[str], photo: Path) -> list[str]:
    told = [line.removeprefix(f"{photo.name}: ").split()[0] for line in lines if line.startswith(photo.name)]
    return [word for word in told if word.isupper()]
