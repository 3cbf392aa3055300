"""`show`, as people and scripts meet it."""

import re
import urllib.request

import pytest

from tests import pictures
from tests.client.service import Service, darkroom, upload
from tests.client.terminal import in_terminal, plain

PHOTO = pictures.jpeg(500, 400)


@pytest.fixture(scope="module")
def ids(service: Service, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """One that is READY and one that FAILED."""
    directory = tmp_path_factory.mktemp("photos")
    photo, text = directory / "beach.jpg", directory / "text.jpg"
    photo.write_bytes(PHOTO)
    text.write_bytes(b"not a picture at all " * 50)
    documents = upload(
        service.origin, photo, text, "--tag", "Holiday", "--title", "At sea", "--json"
    ).documents
    return [document["id"] for document in documents]


def test_all_facts_are_shown_with_addresses_that_open(service: Service, ids: list[str]) -> None:
    said = darkroom(service.origin, "show", ids[0])
    assert (said.code, said.stderr) == (0, "")
    title, *lines = said.stdout.strip().splitlines()
    assert title == f"beach.jpg  READY  500 × 400  {ids[0]}"
    facts = dict(re.split(r" {2,}", line.strip(), maxsplit=1) for line in lines[: lines_before_table(lines)])
    assert facts["Title"] == "At sea"
    assert (facts["Kind"], facts["Type"], facts["Tags"]) == ("IMAGE", "image/jpeg", "Holiday")
    assert facts["Size"] == f"{len(PHOTO):,} bytes"
    assert re.fullmatch("[0-9a-f]{64}", facts["SHA-256"])
    assert fetch(facts["Original"]) == PHOTO
    renditions = [line.split() for line in lines[lines_before_table(lines) + 1 :]]
    assert {"webp-320", "webp-500"} <= {row[0] for row in renditions}
    for row in renditions:
        assert len(fetch(row[-1])) == int(row[-2].replace(",", ""))


def lines_before_table(lines: list[str]) -> int:
    [header] = [number for number, line in enumerate(lines) if line.split()[0] == "NAME"]
    return header


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as response:
        data: bytes = response.read()
    return data


def test_a_failure_is_said_with_its_code(service: Service, ids: list[str]) -> None:
    said = darkroom(service.origin, "show", ids[1])
    assert said.stdout.startswith(f"text.jpg  FAILED  {ids[1]}\n  Failure      This is a text file")
    assert "(UNSUPPORTED_FORMAT, in the step inspect)" in said.stdout
    assert "image/jpeg (as announced, not inspected)" in said.stdout


def test_a_terminal_gets_each_address_on_a_line_of_its_own(service: Service, ids: list[str]) -> None:
    code, output = in_terminal(service.origin, "show", ids[0], columns=60)
    addresses = re.findall(r"^http://\S+signature=\S+$", plain(output), re.MULTILINE)
    assert code == 0
    assert len(addresses) >= 4
    assert fetch(addresses[0]) == PHOTO


def test_json_has_a_document_for_each_and_an_error_for_what_is_not_there(
    service: Service, ids: list[str]
) -> None:
    tag = service.ask("{ tags { nodes { id } } }")["tags"]["nodes"][0]["id"]
    said = darkroom(service.origin, "show", ids[0], "nonsense", tag, ids[1], ids[0], "--json")
    assert said.code == 1
    ready, nonsense, no_media, failed = said.documents
    sentence = "There is no media with this id."
    assert said.stderr == f"nonsense: {sentence}\n{tag}: {sentence}\n"
    assert (nonsense, no_media) == ({"id": "nonsense", "error": sentence}, {"id": tag, "error": sentence})
    assert (ready["id"], ready["status"], ready["error"]) == (ids[0], "READY", None)
    assert (ready["sha256Verified"], ready["tags"], ready["failure"]) == (True, ["Holiday"], None)
    assert (ready["details"]["width"], ready["details"]["height"]) == (500, 400)
    assert fetch(ready["download"]["url"]) == PHOTO
    assert all(len(fetch(each["url"])) == each["size"] for each in ready["renditions"])
    assert (failed["status"], failed["failure"]["code"], failed["details"]) == (
        "FAILED",
        "UNSUPPORTED_FORMAT",
        None,
    )


def test_foreign_text_can_not_forge_lines_or_move_the_cursor(service: Service, ids: list[str]) -> None:
    said = darkroom(service.origin, "show", "a\x1b[2J\u202eb")
    assert (said.code, said.stdout) == (1, "")
    assert said.stderr == "a\\x1b[2J\\u202eb: There is no media with this id.\n"
    described = """mutation ($id: ID!) { updateMedia(input: {id: $id, description: "a\\nREADY \u202e"}) {
      userErrors { message } } }"""
    assert service.ask(described, id=ids[1])["updateMedia"]["userErrors"] == []
    shown = darkroom(service.origin, "show", ids[1]).stdout
    assert "  Description  a\\nREADY \\u202e\n" in shown


def test_there_are_no_addresses_before_there_are_bytes(service: Service) -> None:
    [media_id] = service.request_uploads("coming.png")
    said = darkroom(service.origin, "show", media_id)
    assert said.stdout.startswith(f"coming.png  UPLOADING  {media_id}\n")
    assert "Original" not in said.stdout
    assert "ADDRESS" not in said.stdout
