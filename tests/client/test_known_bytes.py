"""Files of which the service has all bytes, or most of them: what is sent all the same, by the wire."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pictures
from tests.client.service import Service, darkroom, free_port, running_service, upload
from tests.service.counting_relay import CountingRelay

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
PARTS = 9


@pytest.fixture(scope="module")
def wire() -> Iterator[CountingRelay]:
    with CountingRelay(free_port()).running_aside() as relay:
        yield relay


@pytest.fixture(scope="module")
def service(wire: CountingRelay) -> Iterator[Service]:
    settings = {"DARKROOM_PUBLIC_URL": wire.origin, "DARKROOM_MULTIPART_BYTES": str(20 * MIB)}
    with running_service(port=wire.port, **settings) as service:
        yield service


@pytest.fixture(scope="module")
def content() -> bytes:
    picture = pictures.tiff()
    return picture + random.Random(3).randbytes(PARTS * PART_BYTES - 1000 - len(picture))


@pytest.fixture(scope="module", autouse=True)
def known(
    service: Service, wire: CountingRelay, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A file that the service has."""
    film = tmp_path_factory.mktemp("known") / "film.tif"
    film.write_bytes(content)
    said = upload(service.origin, film)
    assert said.code == 0, said.stderr
    assert wire.body_bytes == len(content)
    return film


def test_a_file_that_is_stored_is_ready_without_sending_it(
    service: Service, wire: CountingRelay, known: Path
) -> None:
    wire.forget()
    said = upload(service.origin, known, "--json")
    assert said.code == 0, said.stderr
    [document] = said.documents
    assert (document["status"], document["alreadyStored"]) == ("READY", True)
    assert document["renditions"] != []
    assert said.stderr.splitlines() == ["film.tif: already stored", "film.tif: READY"]
    assert wire.body_bytes == 0


def test_of_a_file_with_one_changed_block_one_part_is_sent(
    service: Service, wire: CountingRelay, content: bytes, tmp_path: Path
) -> None:
    wire.forget()
    place = 4 * PART_BYTES + 1000
    changed = tmp_path / "changed.tif"
    changed.write_bytes(content[:place] + b"changed" + content[place + 7 :])
    said = upload(service.origin, changed, "--json")
    assert said.code == 0, said.stderr
    assert dict(wire.parts) == {5: 1}
    assert wire.body_bytes == PART_BYTES
    parts = -(-len(content) // PART_BYTES)
    assert said.stderr.splitlines()[:2] == [
        f"changed.tif: {parts - 1} of {parts} parts are stored already",
        "changed.tif: UPLOADING 5.2 MB",
    ]
    [document] = said.documents
    assert (document["status"], document["alreadyStored"]) == ("READY", False)
    assert darkroom(service.origin, "download", document["id"], "-o", tmp_path / "stored").code == 0
    assert (tmp_path / "stored").read_bytes() == changed.read_bytes()
