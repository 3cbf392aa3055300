"""Whether an SVG is a drawing and nothing else; it is parsed here, and rendered nowhere.

What may run in a browser or fetch something while it is parsed is refused: scripts, event handlers, foreign
documents, style sheets that transform, entities. That is the second line of defence: the file is handed out
as an attachment only.
"""

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
ACTIVE_SCHEMES = (
    *("javascript:", "vbscript:"),
    *("data:text/html", "data:text/xml", "data:image/svg", "data:application/"),
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
    """Takes the file in blocks; nothing of it is kept."""

    def __init__(self) -> None:
        self._depth = 0
        parser = self._parser = ParserCreate(namespace_separator=BETWEEN)
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = lambda *_: refuse("declares entities")
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartElementHandler = self._start
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
        """A mere reference is common, and nobody follows it."""
        if internal:
            refuse("has a document type of its own")

    def _instruction(self, target: str, data: str) -> None:
        if target.lower() == "xml-stylesheet":
            refuse("refers to a style sheet")

    def _start(self, name: str, attributes: "dict[str, str]") -> None:
        namespace, _, local = name.rpartition(BETWEEN)
        if self._depth == 0 and (namespace, local) != (NAMESPACE, "svg"):
            raise RefusalError("unsupported", "This is an XML document, but no SVG drawing.")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RefusalError("limit", f"Its elements are nested deeper than the {MAX_DEPTH} allowed.")
        if local.lower() in ACTIVE_ELEMENTS:
            refuse(f"contains the element {local}")
        for attribute, value in attributes.items():
            check_attribute(attribute.rpartition(BETWEEN)[2].lower(), value)

    def _end(self, name: str) -> None:
        self._depth -= 1


def check_attribute(name: str, value: str) -> None:
    """`values`, `to` and `from` of an animation can become an address, so every value counts as one."""
    if name.startswith("on"):
        refuse(f"contains the event handler {name}")
    for part in value.split(";"):
        if part.translate(IGNORED).lower().startswith(ACTIVE_SCHEMES):
            refuse(f"contains an address that runs a program in {name}")


def refuse(what: str) -> "NoReturn":
    raise RefusalError(
        "unsupported", f"This SVG drawing {what}, which is refused here; save it as a plain drawing."
    )
