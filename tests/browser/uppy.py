"""The Uppy example as somebody uses it, on an origin of its own: chooses files and presses buttons."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from playwright.async_api import Error, Locator, Page, Request, Response, Route, expect
from starlette.staticfiles import StaticFiles

from tests.browser.chromium import PATIENCE_MS
from tests.corpus import CHECKOUT
from tests.serving import serve, until

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
    """`requested` is what the service answered to `requestUpload`, `signed` what was signed, and `answers`
    what the store said, each in order; preflights aside.
    """

    page: Page
    requested: list[dict[str, Any]] = field(default_factory=list)
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

    async def choose(self, file: Path) -> "Row":
        [row] = await self.choose_all([file])
        return row

    async def choose_all(self, files: Sequence[Path]) -> list["Row"]:
        await self.page.locator("#files").set_input_files(files)
        return [self.row(file.name) for file in files]

    async def progress(self) -> Callable[[], Awaitable[list[int]]]:
        """From now on; the function gives how many bytes Uppy has told to be sent, each time."""
        await self.page.evaluate(
            "globalThis.told = []; uppy.on('upload-progress', (_, each) => told.push(each.bytesUploaded))"
        )
        return lambda: self.page.evaluate("told")

    async def answered(self, method: str, status: int) -> None:
        await until(lambda: (method, status) in self.answers)

    @asynccontextmanager
    async def third_part_held(self) -> AsyncIterator[asyncio.Event]:
        """Within the block nothing of it gets through; the event tells that its sending has begun."""
        begun, released = asyncio.Event(), asyncio.Event()

        async def hold(route: Route) -> None:
            begun.set()
            await released.wait()
            with suppress(Error):  # the page has given it up
                await route.abort()

        async with self._third_part(hold):
            yield begun
            released.set()

    @asynccontextmanager
    async def third_part_cut(self) -> AsyncIterator[None]:
        """Within the block its sending ends in a lost connection, as often as it is tried."""

        async def cut(route: Route) -> None:
            await route.abort("connectionreset")

        async with self._third_part(cut):
            yield

    @asynccontextmanager
    async def answer_lost(self, pattern: str, method: str, body: bytes | None = None) -> AsyncIterator[None]:
        """Within the block the store does what it is asked, and the first such answer is lost.

        `body` is to be told where it is a file's: the browser does not.
        """
        is_lost = False

        async def lose(route: Route) -> None:
            nonlocal is_lost
            if is_lost or route.request.method != method:
                await route.fallback()
                return
            is_lost = True
            assert (await route.fetch(post_data=body)).status == 200
            await route.abort("connectionreset")

        async with self._routed(re.compile(pattern), lose):
            yield

    @asynccontextmanager
    async def answered_as_stored(self) -> AsyncIterator[None]:
        """Within the block the page is told of each file that it is the media of the first one chosen."""
        [first] = self.requested

        async def answer(route: Route) -> None:
            if "RequestUpload" not in (route.request.post_data or ""):
                await route.fallback()
                return
            target = {"__typename": "StoredUploadTarget"}
            payload = {**first, "upload": {**first["upload"], "target": target}}
            headers = {"access-control-allow-origin": "*"}
            await route.fulfill(json={"data": {"requestUpload": payload}}, headers=headers)

        async with self._routed(re.compile("/graphql$"), answer):
            yield

    @asynccontextmanager
    async def _third_part(self, handle: Callable[[Route], Awaitable[None]]) -> AsyncIterator[None]:
        async with self._routed(re.compile(r"[?&]partNumber=3(&|$)"), handle):
            yield

    @asynccontextmanager
    async def _routed(
        self, pattern: re.Pattern[str], handle: Callable[[Route], Awaitable[None]]
    ) -> AsyncIterator[None]:
        await self.page.route(pattern, handle)
        try:
            yield
        finally:
            await self.page.unroute(pattern, handle)

    def row(self, name: str) -> "Row":
        has_name = self.page.get_by_text(name, exact=True)
        return Row(self.page.get_by_role("listitem").filter(has=has_name))

    def _note_signing(self, request: Request) -> None:
        if request.method != "POST" or not request.url.endswith("/graphql"):
            return
        asked = (request.post_data_json or {})["variables"].get("input", {})
        if "method" in asked:
            self.signed.append(Signed(asked["method"], asked.get("partNumber"), "uploadId" in asked))

    async def _note_answer(self, response: Response) -> None:
        request = response.request
        # Pictures that are shown come from the store as well.
        if request.resource_type == "xhr":
            self.answers.append((request.method, response.status))
        elif request.url.endswith("/graphql") and "mutation RequestUpload" in (request.post_data or ""):
            self.requested.append((await response.json())["data"]["requestUpload"])


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
