"""Whether an SVG is a drawing and nothing else; it is parsed here, and rendered nowhere.

What may run in a browser, or become a part of the document from elsewhere, is refused: scripts, event
handlers, foreign documents, inclusions, style sheets of others, entities. Pictures and links elsewhere are
not, nor is `url()` in a style. That is the second line of defence: the file is handed out as an attachment
only.
"""

import re
from xml.parsers.expat import ExpatError, ParserCreate

from pipeline.limited.refusals import RefusalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

NAMESPACE = "http://www.w3.org/2000/svg"
#: What expat puts between a namespace and a name; no address contains it.
BETWEEN = " "

#: Bytes: large maps have some; a parser reads 50 MB in a second.
MAX_BYTES = 32 * 1024 * 1024
#: Elements within each other: browsers and editors recurse.
MAX_DEPTH = 256
BLOCK_BYTES = 256 * 1024

#: By local name in any namespace: SVG's own and those of HTML that run or load something.
ACTIVE_ELEMENTS = frozenset(
    {
        *("script", "handler", "listener", "foreignobject"),
        *("iframe", "frame", "object", "embed", "applet", "form", "meta", "base", "link"),
        *("audio", "video"),
    }
)
#: Whose elements are replaced by other files, already by some parsers (W3C's recommendation, and its draft).
INCLUSIONS = ("http://www.w3.org/2001/XInclude", "http://www.w3.org/2003/XInclude")
ACTIVE_SCHEMES = (
    *("javascript:", "vbscript:"),
    *("data:text/html", "data:text/xml", "data:image/svg", "data:application/"),
)
#: The only document types that another party may have declared: they have no entities.
PUBLIC_TYPE = re.compile(r"-//W3C//DTD SVG [ .\w]+//EN")
PUBLIC_ADDRESS = re.compile(r"https?://www\.w3\.org/[-./\w]+")
#: In CSS a letter may follow a backslash, or be written as its number, which one space may end.
IMPORT = re.compile(
    "@" + "".join(rf"(?:\\?{c}|\\0{{0,4}}(?:{ord(c):x}|{ord(c) - 32:x})(?:\r\n|\s)?)" for c in "import"),
    re.IGNORECASE,
)
#: Those that every XML parser reads alike.
ENCODINGS = (None, "utf-8", "us-ascii", "iso-8859-1")
#: What browsers leave out of the scheme of an address.
IGNORED = {code: None for code in range(0x21)}


def check(source: str) -> None:
    """RefusalError unless the file is well-formed SVG without anything active."""
    drawing = Drawing()
    with open(source, "rb") as file:
        total = 0
        while block := file.read(BLOCK_BYTES):
            total += len(block)
            if total > MAX_BYTES:
                raise RefusalError("limit", f"The drawing has more than the {MAX_BYTES:,} bytes allowed.")
            drawing.read(block)
    drawing.finish()


class Drawing:
    """Takes the file in blocks; nothing of it is kept but the text of style sheets, until they end."""

    def __init__(self) -> None:
        #: Of each open element, the pieces of its text when it is a style sheet.
        self._open: list[list[str] | None] = []
        parser = self._parser = ParserCreate(namespace_separator=BETWEEN)
        parser.buffer_text = True  # Else each line of a text comes by itself.
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = lambda *_: refuse("declares entities")
        parser.SkippedEntityHandler = lambda *_: refuse("refers to entities of another file")
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartElementHandler = self._start
        parser.CharacterDataHandler = self._text
        parser.EndElementHandler = self._end

    def read(self, block: bytes) -> None:
        self._parse(block, final=False)

    def finish(self) -> None:
        self._parse(b"", final=True)

    def _parse(self, block: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(block, final)
        except ExpatError as error:
            raise RefusalError("corrupt", str(error)) from None

    def _declaration(self, version: str, encoding: "str | None", standalone: int) -> None:
        if (encoding.lower() if encoding else None) not in ENCODINGS:
            refuse("is written in another encoding than UTF-8")

    def _doctype(self, name: str, system: "str | None", public: "str | None", internal: int) -> None:
        """A mere reference to W3C's is common, and harmless to those who follow it.

        Expat does not tell of an entity that it skips in an attribute, so no other file may declare any.
        """
        if internal:
            refuse("has a document type of its own")
        if public is not None and not PUBLIC_TYPE.fullmatch(public):
            refuse("has a document type that is not W3C's")
        if system is not None and not (public and PUBLIC_ADDRESS.fullmatch(system)):
            refuse("has a document type from elsewhere")

    def _instruction(self, target: str, data: str) -> None:
        if target.lower() == "xml-stylesheet":
            refuse("refers to a style sheet")

    def _start(self, name: str, attributes: "dict[str, str]") -> None:
        namespace, _, local = name.rpartition(BETWEEN)
        if not self._open and (namespace, local) != (NAMESPACE, "svg"):
            raise RefusalError("unsupported", "This is an XML document, but no SVG drawing.")
        if len(self._open) == MAX_DEPTH:
            raise RefusalError("limit", f"Its elements are nested deeper than the {MAX_DEPTH} allowed.")
        self._open.append([] if local.lower() == "style" else None)
        if local.lower() in ACTIVE_ELEMENTS:
            refuse(f"contains the element {local}")
        if namespace in INCLUSIONS:
            refuse("includes another file")
        for attribute, value in attributes.items():
            check_attribute(attribute.rpartition(BETWEEN)[2].lower(), value)

    def _text(self, text: str) -> None:
        if self._open and (sheet := self._open[-1]) is not None:
            sheet.append(text)

    def _end(self, name: str) -> None:
        if (sheet := self._open.pop()) is not None:
            check_style("".join(sheet))


def check_attribute(name: str, value: str) -> None:
    """`values`, `to` and `from` of an animation can become an address, so every value counts as one."""
    if name.startswith("on"):
        refuse(f"contains the event handler {name}")
    if name == "attributename" and value.strip().rpartition(":")[2].lower().startswith("on"):
        refuse(f"animates the event handler {value.strip()}")
    for part in value.split(";"):
        if part.translate(IGNORED).lower().startswith(ACTIVE_SCHEMES):
            refuse(f"contains an address that runs a program in {name}")


def check_style(sheet: str) -> None:
    """`@import`, however it is written, and also in a comment: telling that apart would take CSS's parser."""
    if IMPORT.search(sheet):
        refuse("imports a style sheet")


def refuse(what: str) -> "NoReturn":
    raise RefusalError(
        "unsupported", f"This SVG drawing {what}, which is refused here; save it as a plain drawing."
    )
