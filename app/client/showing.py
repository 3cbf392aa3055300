"""`show`: all that is known of some media, with addresses that open what was made of them."""

import json as jsonlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from app.client import documents
from app.client.answers import rendition
from app.client.endpoint import open_endpoint
from app.client.library_api import PAGE_SIZE, LibraryApi
from app.client.media import Status
from app.client.media_table import local_time
from app.client.printer import Printer
from app.client.running import ExitCode
from app.client.selection import distinct_ids, in_chunks
from app.client.streams import complain, put
from app.client.text import printable

NOT_FOUND = "There is no media with this id."
_LABEL_COLUMNS = 13


async def show_media(ids: Sequence[str], *, json: bool, origin: str) -> ExitCode:
    code = ExitCode.SUCCESS
    async with open_endpoint(LibraryApi, origin) as api:
        await api.ping()
        for chunk in in_chunks(distinct_ids(ids), PAGE_SIZE):
            for media_id, node in zip(chunk, await api.show(chunk), strict=True):
                if node is None:
                    code = ExitCode.FAILURE
                    complain(f"{printable(media_id)}: {NOT_FOUND}")
                put(_document(media_id, node) if json else _page(node))
    return code


def _document(media_id: str, node: Mapping[str, Any] | None) -> str:
    return documents.line(documents.failed(media_id, NOT_FOUND) if node is None else documents.shown(node))


def _page(node: Mapping[str, Any] | None) -> str:
    if node is None:
        return ""
    printer = Printer()
    with printer.console.capture() as text:
        _print(node, printer)
    return text.get()


def _print(node: Mapping[str, Any], printer: Printer) -> None:
    details = node["details"] or {}
    pixels = (details["width"], details["height"]) if "width" in details else None
    printer.title(node["filename"], Status(node["status"]), node["id"], pixels=pixels)
    for label, fact in _facts(node):
        printer.line(Text.assemble((f"  {label:<{_LABEL_COLUMNS}}", "dim"), printable(fact)))
    if node["download"]:
        address = printable(node["download"]["url"])
        if printer.terminal:
            printer.line(Text("  Original", "dim"))
            printer.address(address)
        else:
            printer.line(f"  {'Original':<{_LABEL_COLUMNS}}{address}")
    if node["renditions"]:
        printer.renditions([rendition(each) for each in node["renditions"]])
    printer.line()


def _facts(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What there is to say, each with its label."""
    if node["failure"]:
        yield "Failure", _failure(node["failure"])
    if node["title"]:
        yield "Title", node["title"]
    if node["description"]:
        yield "Description", node["description"]
    yield "Kind", node["kind"] + (", animated" if (node["details"] or {}).get("animated") else "")
    yield "Type", _type(node)
    yield "Visibility", node["visibility"]
    yield "Size", f"{node['size']:,} bytes"
    if node["sha256"]:
        yield "SHA-256", node["sha256"] + ("" if node["sha256Verified"] else " (as announced, not verified)")
    if node["tags"]:
        yield "Tags", ", ".join(tag["name"] for tag in node["tags"])
    if node["metadata"]:
        yield "Metadata", jsonlib.dumps(node["metadata"], ensure_ascii=False)
    for label, field in (("Created", "createdAt"), ("Updated", "updatedAt"), ("Ready", "readyAt")):
        if node[field]:
            yield label, local_time(node[field])
    yield "Version", str(node["version"])


def _failure(failure: Mapping[str, Any]) -> str:
    step = f", in the step {failure['step']}" if failure["step"] else ""
    return f"{failure['message']} ({failure['code']}{step})"


def _type(node: Mapping[str, Any]) -> str:
    declared, detected = node["mimeType"], node["detectedMimeType"]
    if detected is None:
        return f"{declared} (as announced, not inspected)"
    return str(detected) if detected == declared else f"{detected} (announced as {declared})"
