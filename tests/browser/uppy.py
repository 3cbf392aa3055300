"""The Uppy example as somebody uses it, on an origin of its own: chooses files and presses buttons."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

from playwright.async_api import Locator, Page, Request, Response, expect
from starlette.staticfiles import StaticFiles

from tests.browser.chromium import PATIENCE_MS
from tests.corpus import CHECKOUT
from tests.serving import serve

DIST = CHECKOUT / "examples" / "uppy" / "dist"

expect.set_options(timeout=PATIENCE_MS)


@asynccontextmanager
async def example_page() -> AsyncIterator[str]:
    """The address at which the committed page is served, by nothing but a server of files."""
    async with serve(lambda _: StaticFiles(directory=DIST, html=True)) as address:
        yield address


class Signed(NamedTuple):
    """What Uppy had signed."""

    method: str
    part: int | None = None
    is_begun: bool = False


CREATE = Signed("POST")
COMPLETE = Signed("POST", is_begun=True)
LIST_PARTS = Signed("GET", is_begun=True)
ABORT = Signed("DELETE", is_begun=True)
WHOLE = Signed("PUT")


def part(number: int) -> Signed:
    return Signed("PUT", number, is_begun=True)


@dataclass(kw_only=True)  # not frozen: Playwright keeps notes on the object whose methods it calls
class Example:
    """`signed` is what was signed, and `answers` what the store said, each in order; preflights aside."""

    page: Page
    signed: list[Signed] = field(default_factory=list)
    answers: list[tuple[str, int]] = field(default_factory=list)

    @classmethod
    async def opened(cls, page: Page, address: str, *, darkroom: str) -> "Example":
        example = cls(page=page)
        events: Any = page  # typed one by one
        events.on("request", example._note_signing)
        events.on("response", example._note_answer)
        await page.goto(f"{address}/?{urlencode({'darkroom': darkroom})}")
        return example

    async def choose(self, name: str, data: bytes, *, mime_type: str = "image/tiff") -> "Row":
        await self.page.locator("#files").set_input_files(
            {"name": name, "mimeType": mime_type, "buffer": data}
        )
        return self.row(name)

    def row(self, name: str) -> "Row":
        has_name = self.page.get_by_text(name, exact=True)
        return Row(self.page.get_by_role("listitem").filter(has=has_name))

    def _note_signing(self, request: Request) -> None:
        if request.method != "POST" or not request.url.endswith("/graphql"):
            return
        asked = (request.post_data_json or {})["variables"].get("input", {})
        if "method" in asked:
            self.signed.append(Signed(asked["method"], asked.get("partNumber"), "uploadId" in asked))

    def _note_answer(self, response: Response) -> None:
        # Pictures that are shown come from the store as well.
        if response.request.resource_type == "xhr":
            self.answers.append((response.request.method, response.status))


@dataclass(frozen=True)
class Row:
    place: Locator

    async def says(self, text: str | re.Pattern[str]) -> None:
        await expect(self.place.get_by_role("status")).to_have_text(text)

    async def press(self, button: str) -> None:
        await self.place.get_by_role("button", name=button).click()

    async def shows_a_picture(self) -> None:
        """One that has arrived and could be decoded."""
        picture = await self.place.locator("img").element_handle()
        assert picture is not None
        await self.place.page.wait_for_function("picture => picture.naturalWidth > 0", arg=picture)

    async def sent(self) -> float:
        """The share that the bar shows."""
        value: float = await self.place.locator("progress").evaluate("bar => bar.value")
        return value

    async def is_gone(self) -> None:
        await expect(self.place).to_have_count(0)
