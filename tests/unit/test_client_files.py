"""What the client claims of a file, and how foreign text is made safe."""

import hashlib
from pathlib import Path

import pytest

from app.client.errors import FileProblemError, UsageError
from app.client.files import guess_mime_type, inspect
from app.client.folders import named_files
from app.client.text import decimal_bytes, printable, sendable
from pipeline.sniff import HEAD_BYTES
from tests import pictures


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (pictures.jpeg(), "a.png", "image/jpeg"),
        (pictures.png(), "a.jpg", "image/png"),
        (pictures.webp(), "a", "image/webp"),
        (pictures.gif(), "a.txt", "image/gif"),
        (pictures.tiff(), "a.jpg", "image/tiff"),
        (pictures.jxl(), "a.jpg", "image/jxl"),
        (pictures.jxl(container=True), "a", "image/jxl"),
        (pictures.svg(), "a.svg", "image/svg+xml"),
        (pictures.svg(before=f"<!-- {'long ' * 500} -->"), "drawing", "image/svg+xml"),
        (pictures.tiff(bigtiff=True), "a", "image/tiff"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "a.jpg", "image/avif"),
        (b"\0\0\0\x1cftypavis\0\0\0\0", "a", "image/avif"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc", "burst.heics", "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1miaf", "a", "image/heif"),
        (b"\0\0\0\x18ftyphevc\0\0\0\0", "a.heics", "image/heic"),
        (b"%PDF-1.7", "a.jpg", "application/pdf"),
        (b"plain text", "a.jpg", "image/jpeg"),
        (b"plain text", "a.csv", "text/csv"),
        (b"plain text", "a", "text/plain"),
        (b"\x01\x02\x03", "a.jpg", "image/jpeg"),
        (b"\x01\x02\x03", "a", "application/octet-stream"),
    ],
)
def test_the_type_comes_from_clear_bytes_first_then_from_the_name(
    content: bytes, name: str, expected: str
) -> None:
    assert guess_mime_type(content[:HEAD_BYTES], name) == expected


async def test_a_file_is_announced_as_what_its_first_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "drawing"
    path.write_bytes(pictures.svg(before=f"<!-- {'long ' * 500} -->"))
    assert (await inspect(path)).mime_type == "image/svg+xml"


async def test_size_and_hash_are_of_the_whole_file(tmp_path: Path) -> None:
    content = b"x" * 5_000_000
    (tmp_path / "a.bin").write_bytes(content)
    file = await inspect(tmp_path / "a.bin")
    assert (file.byte_size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


async def test_an_empty_file_and_one_that_vanished_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(FileProblemError, match=r"The file is empty\."):
        await inspect(tmp_path / "empty")
    with pytest.raises(FileProblemError, match=r"can't be read: no such file or directory\."):
        await inspect(tmp_path / "gone")


def test_a_name_that_no_file_can_have_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        named_files([Path("a\0b")])


def test_foreign_text_is_escaped_for_the_terminal_and_made_unicode_for_the_wire() -> None:
    assert printable("a\x1b[2J\u202e\udcff\n é ×") == "a\\x1b[2J\\u202e\\udcff\\n é ×"
    assert sendable("a\udcff") == "a\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (5 * 10**12, "5,000.0 GB")],
)
def test_bytes_are_told_in_decimal_units(count: int, expected: str) -> None:
    assert decimal_bytes(count) == expected
