"""The type comes from the bytes, and what isn't processed is called by its name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sniff import HEAD_BYTES, SUPPORTED_IMAGES, sniff
from tests import corpus, pictures, stored_pictures

#: What the manifest says more exactly than the first bytes can.
BROADER = {
    "image/apng": "image/png",
    "video/webm": "video/x-matroska",
    "audio/webm": "video/x-matroska",
    "audio/ogg": "application/ogg",
    "video/3gpp": "video/mp4",
}


@pytest.mark.parametrize(
    ("data", "mime_type"),
    [
        (pictures.jpeg(), "image/jpeg"),
        (pictures.png(), "image/png"),
        (pictures.webp(), "image/webp"),
        (pictures.webp(frames=2), "image/webp"),
        (pictures.gif(), "image/gif"),
        (b"GIF87a" + bytes(20), "image/gif"),
        (pictures.apng(), "image/png"),
        (stored_pictures.PLAIN, "image/heic"),
        (pictures.avif(), "image/avif"),
        (b"\0\0\0\x18ftypavis", "image/avif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif", "image/avif"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1heic", "image/heif"),  # The box ends before the last brand.
        (b"\xff\xff\xff\xffftypmif1\0\0\0\0" + b"mif1" * 40 + b"heic", "image/heif"),
        (pictures.tiff(), "image/tiff"),
        (pictures.tiff(bigtiff=True), "image/tiff"),
        (b"MM\0*", "image/tiff"),
        (b"MM\0+", "image/tiff"),
        (pictures.jxl(), "image/jxl"),
        (pictures.jxl(container=True), "image/jxl"),
        (pictures.svg(), "image/svg+xml"),
        (b"\n <?xml version='1.0'?><svg xmlns='x'>", "image/svg+xml"),
        (pictures.svg(before=f"<!-- {'long ' * 500} -->"), "image/svg+xml"),
    ],
)
def test_supported_types_are_recognised(data: bytes, mime_type: str) -> None:
    sniffed = sniff(data[:HEAD_BYTES])
    assert sniffed.mime_type == mime_type
    assert sniffed.supported


@pytest.mark.parametrize(
    ("head", "description"),
    [
        (b"", "an empty file"),
        (b"Hello, world\n", "a text file"),
        ("Grüße".encode(), "a text file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04rest", "a ZIP archive or an office document"),
        (b"RIFF\0\0\0\0WAVE", "a WAV recording"),
        (b"\0\0\0\x20ftypisom", "an MP4 film"),
        (b"<!DOCTYPE HTML><title>", "a web page"),
        (b"<html><body><svg>", "a web page"),
        (b"in a text <svg> is a word", "a text file"),
        (b"RIFF\0\0", "a file of unknown type"),
        (b"\0\1\2\3", "a file of unknown type"),
        (b"\xff\xd8", "a file of unknown type"),
        (("ü" * HEAD_BYTES).encode()[1:], "a file of unknown type"),
        (("a" + "ü" * HEAD_BYTES).encode(), "a text file"),
    ],
)
def test_other_files_are_called_by_their_name(head: bytes, description: str) -> None:
    sniffed = sniff(head)
    assert sniffed.description == description
    assert not sniffed.supported


@given(st.binary(max_size=2 * HEAD_BYTES))
def test_any_bytes_have_a_type(data: bytes) -> None:
    sniffed = sniff(data)
    assert sniffed.supported == (sniffed.mime_type in SUPPORTED_IMAGES)
    assert sniffed == sniff(data[:HEAD_BYTES])


@corpus.each(lambda entry: True)
def test_corpus_files_have_the_type_of_the_manifest(entry: corpus.Entry) -> None:
    expected = BROADER.get(entry.mime_type, entry.mime_type)
    sniffed = sniff(entry.path.read_bytes()[:HEAD_BYTES])
    if expected != sniffed.mime_type:  # Some films name another brand than their file's extension.
        assert {expected, sniffed.mime_type} <= {"video/mp4", "video/quicktime", "audio/mp4"}
