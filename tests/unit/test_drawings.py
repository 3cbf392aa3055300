"""An SVG is parsed, never rendered: a plain drawing is taken, anything active is refused with its name."""

import time
from pathlib import Path

import pytest

from pipeline.facts import (
    CorruptInputError,
    DrawingFacts,
    ImageFacts,
    LimitExceededError,
    UnsupportedFormatError,
)
from pipeline.images import inspect_image, render_image
from pipeline.limits import ImageLimits
from tests import corpus, pictures

LIMITS = ImageLimits()
SVG_1_0 = "http://www.w3.org/TR/2001/REC-SVG-20010904/DTD/svg10.dtd"
SVG_1_1 = "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"
LAUGHS = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 12))


class Desk:
    def __init__(self, directory: Path) -> None:
        self.source = directory / "source"
        self.job_dir = directory / "job"
        self.job_dir.mkdir()

    async def inspect(self, data: bytes) -> ImageFacts | DrawingFacts:
        self.source.write_bytes(data)
        return await inspect_image(self.source, self.job_dir, LIMITS)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        pictures.svg(),
        pictures.svg(before="<?xml version='1.0' encoding='UTF-8'?>\n<!-- made by hand -->\n"),
        pictures.svg(before=f"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' '{SVG_1_1}'>"),
        pictures.svg(before=f"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 20010904//EN'\n '{SVG_1_0}'>"),
        pictures.svg(before="<!DOCTYPE svg>"),
        pictures.svg(before=f"<?xml version='1.0'?><!--{'long ' * 500}-->"),
        pictures.svg("<style>circle { fill: red }</style><image href='data:image/png;base64,AAAA'/>"),
        pictures.svg(
            "<style>@media print { circle { fill: url(#a) } } @font-face { src: url(a.woff) }</style>"
        ),
        pictures.svg("<style><![CDATA[ a > b { color: red } ]]></style><text>@import</text>"),
        pictures.svg(
            "<image href='https://example.org/a.png'/><g style='fill: url(https://example.org/#a)'/>"
        ),
        pictures.svg("<set attributeName='opacity' to='1'/><animate attributeName='x' values='0;1'/>"),
        pictures.svg("<a href='https://example.org/'><text>script onload= javascript: &amp;</text></a>"),
        "\ufeff".encode() + pictures.svg(),
        b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>",
    ],
)
async def test_a_plain_drawing_is_taken(desk: Desk, data: bytes) -> None:
    assert await desk.inspect(data) == DrawingFacts(mime_type="image/svg+xml")
    assert list(desk.job_dir.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pictures.svg("<script>alert(1)</script>"), "the element script"),
        (pictures.svg("<x:SCRIPT xmlns:x='http://www.w3.org/1999/xhtml'/>"), "the element SCRIPT"),
        (pictures.svg("<foreignObject/>"), "the element foreignObject"),
        (pictures.svg("<g><iframe xmlns='http://www.w3.org/1999/xhtml'/></g>"), "the element iframe"),
        (pictures.svg(attributes="onload='alert(1)'"), "the event handler onload"),
        (pictures.svg("<g ONCLICK='alert(1)'/>"), "the event handler onclick"),
        (pictures.svg("<a href='javascript:alert(1)'/>"), "an address that runs a program in href"),
        (pictures.svg("<a href=' java&#10;script:alert(1)'/>"), "an address that runs a program"),
        (
            pictures.svg("<a xmlns:l='http://www.w3.org/1999/xlink' l:href='&#106;avascript:a()'/>"),
            "an address that runs a program",
        ),
        (
            pictures.svg("<set attributeName='href' to='javascript:a()'/>"),
            "an address that runs a program in to",
        ),
        (
            pictures.svg("<animate attributeName='href' values='#a;javascript:a()'/>"),
            "an address that runs a program in values",
        ),
        (pictures.svg("<use href='data:image/svg+xml,x'/>"), "an address that runs a program"),
        (pictures.svg(before="<?xml-stylesheet type='text/xsl' href='#a'?>"), "refers to a style sheet"),
        (pictures.svg(before="<!DOCTYPE svg [<!ENTITY x 'y'>]>"), "a document type of its own"),
        (
            pictures.svg(
                "&x;", before="<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"
            ),
            "a document type of its own",
        ),
        (
            pictures.svg("&payload;", before="<!DOCTYPE svg SYSTEM 'http://evil.example/x.dtd'>"),
            "a document type from elsewhere",
        ),
        (
            pictures.svg(
                "<a href='&payload;'/>",
                before="<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'http://evil.example/x.dtd'>",
            ),
            "a document type from elsewhere",
        ),
        (
            pictures.svg(before=f"<!DOCTYPE svg PUBLIC '-//W3C//DTD XHTML 1.1//EN' '{SVG_1_1}'>"),
            "a document type that is not W3C's",
        ),
        (
            pictures.svg("&payload;", before=f"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' '{SVG_1_1}'>"),
            "entities of another file",
        ),
        *(
            (
                pictures.svg(f"<i:include xmlns:i='{namespace}' href='file:///etc/passwd' parse='text'/>"),
                "includes another file",
            )
            for namespace in ("http://www.w3.org/2001/XInclude", "http://www.w3.org/2003/XInclude")
        ),
        *(
            (pictures.svg(f"<{element} attributeName='{name}' to='alert(1)'/>"), "animates the event handler")
            for element, name in (("set", "onclick"), ("animate", " ONload"), ("set", "x:&#111;nclick"))
        ),
        *(
            (pictures.svg(f"<{element} attributeName='{name}' {value}/>"), "an address that runs a program")
            for element, name, value in (
                ("set", "xlink:href", "to='javascript:a()'"),
                ("animate", "href", "from='JavaScript:a()'"),
                ("animate", "href", "by='vbscript:a()'"),
                ("animate", "xlink:href", "values='#a; java&#9;script:a()'"),
            )
        ),
        *(
            (pictures.svg(f"<style>{sheet}</style>"), "imports a style sheet")
            for sheet in (
                "@import url(http://evil.example/x.css);",
                "@charset '/*'; @IMPORT '//evil.example/x.css'; /* */",
                "@\\69mport 'x.css';",
                "@\\000069 mpo\\r\\74 'x.css';",
                "@im<g>and so on</g>port 'x.css';",
                "<![CDATA[@im]]>port 'x.css';",
                "&#64;import 'x.css';",
            )
        ),
        (
            pictures.svg("<h:STYLE xmlns:h='http://www.w3.org/1999/xhtml'>@import 'x';</h:STYLE>"),
            "imports a style sheet",
        ),
        (pictures.svg(before="<?xml version='1.0' encoding='utf-7'?>"), "another encoding"),
        (b"<html><svg xmlns='http://www.w3.org/2000/svg'/></html>", "a web page"),
        (b"<x><svg xmlns='http://www.w3.org/2000/svg'/></x>", "no SVG drawing"),
        (b"<svg/>", "no SVG drawing"),
    ],
)
async def test_what_is_active_is_refused_by_its_name(desk: Desk, data: bytes, reason: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=reason) as refused:
        await desk.inspect(data)
    assert str(refused.value).endswith(".")


async def test_entities_that_expand_to_gigabytes_are_never_expanded(desk: Desk) -> None:
    bomb = pictures.svg("&l11;", before=f"<!DOCTYPE svg [<!ENTITY l0 'lol'>{LAUGHS}]>")
    took = []
    for _ in range(3):
        began = time.perf_counter()
        with pytest.raises(UnsupportedFormatError, match="a document type of its own"):
            await desk.inspect(bomb)
        took.append(time.perf_counter() - began)
    assert min(took) < 1  # one of them has a core of a busy machine to itself


@pytest.mark.parametrize(
    "data",
    [
        pictures.svg("<g>"),
        pictures.svg("<g></h>"),
        pictures.svg("&undefined;"),
        pictures.svg("<x:g/>"),
        pictures.svg() + b"<svg/>",
        pictures.cut(pictures.svg("<g/>" * 100)),
    ],
)
async def test_what_is_not_well_formed_is_damaged(desk: Desk, data: bytes) -> None:
    with pytest.raises(CorruptInputError, match="SVG data is damaged"):
        await desk.inspect(data)


async def test_depth_and_size_are_limited(desk: Desk) -> None:
    await desk.inspect(pictures.svg("<g>" * 255 + "</g>" * 255))
    with pytest.raises(LimitExceededError, match="nested deeper than the 256 allowed"):
        await desk.inspect(pictures.svg("<g>" * 256 + "</g>" * 256))
    with pytest.raises(LimitExceededError, match=r"more than the 33,554,432 bytes allowed"):
        await desk.inspect(pictures.svg(f"<!--{' ' * 33_554_432}-->"))


async def test_a_packed_drawing_is_refused(desk: Desk) -> None:
    with pytest.raises(UnsupportedFormatError, match="a gzip archive"):
        await desk.inspect(b"\x1f\x8b\x08" + bytes(200))


async def test_no_drawing_is_ever_rendered(desk: Desk) -> None:
    desk.source.write_bytes(pictures.svg())
    with pytest.raises(UnsupportedFormatError, match="stored as it is"):
        await render_image(desk.source, desk.job_dir, LIMITS)


@corpus.each(corpus.is_drawing)
async def test_drawings_of_the_corpus_end_as_the_manifest_says(entry: corpus.Entry, desk: Desk) -> None:
    if entry.expected == "ok":
        await desk.inspect(entry.path.read_bytes())
        return
    with pytest.raises(UnsupportedFormatError):
        await desk.inspect(entry.path.read_bytes())
