"""The system's Chromium with the network closed: it reaches loopback only, and tells what else it tried.

Where there is none, tests that need it are skipped by name; on CI (the variable CI is set) they fail.
`DARKROOM_TEST_CHROMIUM` names another browser of its kind.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, Route, WebSocket, async_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")

#: For a page of some megabytes and its answers, on a machine that does much else.
PATIENCE_MS = 60_000

ColorScheme = Literal["dark", "light"]

ARGUMENTS = (
    "--no-sandbox",  # which does not work for root; the pages are ours
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def find() -> str:
    """The path of the browser's program; skips or fails the test where there is none."""
    named = os.environ.get("DARKROOM_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        reason = "NO CHROMIUM on the PATH: no page is tested in a browser (Debian: apt install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@asynccontextmanager
async def running_chromium(directory: Path) -> AsyncIterator[Browser]:
    """Headless; whatever it writes lies below `directory`."""
    program = find()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            args=list(ARGUMENTS),
            env={**os.environ, "HOME": str(directory), "TMPDIR": str(directory)},
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(kw_only=True)  # not frozen: Playwright keeps notes on the object whose methods it calls
class Visitor:
    """One person's browser: an empty profile with one page, and everything that went wrong in it.

    `others` are further origins that the page may speak to.
    """

    page: Page
    origin: str
    others: tuple[str, ...] = ()
    foreign: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def may_reach(self, url: str) -> bool:
        """Also by WebSocket."""
        http = url.replace("ws", "http", 1) if url.startswith("ws") else url
        return http.startswith(tuple(f"{origin}/" for origin in (self.origin, *self.others)))

    def note_request(self, request: Request) -> None:
        if not self.may_reach(request.url) and not request.url.startswith(("data:", "blob:")):
            self.foreign.append(request.url)

    def note_socket(self, socket: WebSocket) -> None:
        if not self.may_reach(socket.url):
            self.foreign.append(socket.url)

    def note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def forgive(self, *words: str) -> None:
        """Take back complaints with some of these words: a test that breaks something causes them."""
        self.complaints = [each for each in self.complaints if not any(word in each for word in words)]

    def note_error(self, error: Exception) -> None:
        self.complaints.append(f"uncaught: {error}")


@asynccontextmanager
async def visitor(
    browser: Browser,
    origin: str,
    *,
    others: tuple[str, ...] = (),
    color_scheme: ColorScheme = "light",
    width: int = 1280,
    height: int = 800,
) -> AsyncIterator[Visitor]:
    """A visitor of `origin` who may go nowhere else but to `others`."""
    context = await browser.new_context(
        color_scheme=color_scheme, viewport={"width": width, "height": height}
    )
    context.set_default_timeout(PATIENCE_MS)
    visitor = Visitor(page=await context.new_page(), origin=origin, others=others)

    async def stay(route: Route) -> None:
        if visitor.may_reach(route.request.url):
            await route.continue_()
        else:
            visitor.foreign.append(route.request.url)
            await route.abort()

    await context.route("**/*", stay)
    page: Any = visitor.page  # its events are typed one by one, and these four are all that is needed
    page.on("request", visitor.note_request)
    page.on("websocket", visitor.note_socket)
    page.on("console", visitor.note_message)
    page.on("pageerror", visitor.note_error)
    try:
        yield visitor
    finally:
        await context.close()
