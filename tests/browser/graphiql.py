"""GraphiQL as somebody uses it: reads what is on the screen, types, and presses the button."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin

from playwright.async_api import Locator, Page, expect

from tests.browser.chromium import PATIENCE_MS, Visitor

expect.set_options(timeout=PATIENCE_MS)


@dataclass(frozen=True, kw_only=True)
class GraphiQL:
    page: Page

    @classmethod
    async def opened_by(cls, visitor: Visitor, address: str = "/graphql") -> "GraphiQL":
        """Wait until the editor is there and the schema is known."""
        await visitor.page.goto(urljoin(visitor.origin, address))
        graphiql = cls(page=visitor.page)
        await graphiql.is_ready()
        return graphiql

    async def is_ready(self) -> None:
        await expect(self._editor).to_be_visible()
        await expect(self.page.get_by_label("Re-fetch GraphQL schema")).to_be_enabled()

    async def document(self) -> str:
        return await self._value("operation.graphql")

    async def variables(self) -> str:
        return await self._value("variables.json")

    async def write(self, document: str) -> None:
        """Replace the document by a line typed over it; further lines the editor would indent as it likes."""
        await self._editor.click(position={"x": 200, "y": 10})
        await self.page.keyboard.press("ControlOrMeta+A")
        await self.page.keyboard.insert_text(document)
        await self._settle()

    async def append(self, text: str) -> None:
        """Type at the document's end."""
        await self._editor.click(position={"x": 200, "y": 10})
        await self.page.keyboard.press("ControlOrMeta+End")
        await self.page.keyboard.insert_text(text)
        await self._settle()

    async def open_tab(self, title: str) -> None:
        await self._tabs.get_by_text(title, exact=True).click()
        await self._settle()

    async def tabs(self) -> list[str]:
        return await self._tabs.locator("button[title]").all_text_contents()

    async def tabs_shown_as_open(self) -> list[str]:
        return await self._tabs.locator(".graphiql-tab-active button[title]").all_text_contents()

    async def shows(self, document: str) -> None:
        """Wait until the page has been loaded anew with this document."""
        await self.page.wait_for_function(
            "text => globalThis.__MONACO?.editor.getModels().some("
            "model => model.uri.path.endsWith('operation.graphql') && model.getValue() === text)",
            arg=document,
        )
        await self.is_ready()

    async def write_headers(self, headers: str) -> None:
        await self.page.get_by_role("button", name="Headers", exact=True).click()
        await self.page.get_by_label("Headers").locator(".monaco-editor:visible").click()
        await self.page.keyboard.insert_text(headers)
        await self._settle()

    async def press(self, *, operation: str | None = None) -> None:
        """Press the button, and choose from its menu where it asks which."""
        await self.page.get_by_role("button", name="Execute query").click()
        if operation is not None:
            await self.page.get_by_role("menuitem", name=operation).click()

    async def run(self, *, operation: str | None = None) -> Any:
        """The `data` of the answer; it has no errors."""
        await self.press(operation=operation)
        return await self.answer()

    async def answer(self, *, containing: str = '"data"') -> Any:
        """The `data` on the screen, once it contains this text."""
        answer = json.loads(await self.screen(containing))
        assert "errors" not in answer, answer
        return answer["data"]

    async def screen(self, containing: str) -> str:
        """What the answer's pane shows, once it contains this text."""
        await self.page.wait_for_function(
            "text => __MONACO.editor.getModels().some("
            "model => model.uri.path.endsWith('response.json') && model.getValue().includes(text))",
            arg=containing,
        )
        return await self._value("response.json")

    async def address_containing(self, text: str) -> str:
        """The address, once it has followed what was typed."""
        await self.page.wait_for_function(
            "text => decodeURIComponent(location.href.replaceAll('+', ' ')).includes(text)",
            arg=text,
        )
        return self.page.url

    @property
    def _editor(self) -> Locator:
        return self.page.get_by_label("Operation Editor").locator(".monaco-editor").first

    async def _settle(self) -> None:
        """GraphiQL looks for operations 0.1 s after a change; the timers of a page go in their order."""
        await self.page.evaluate("new Promise(done => setTimeout(done, 150))")

    @property
    def _tabs(self) -> Locator:
        return self.page.get_by_label("Select active operation")

    async def _value(self, file: str) -> str:
        text: str = await self.page.evaluate(
            "file => __MONACO.editor.getModels().find(model => model.uri.path.endsWith(file)).getValue()",
            file,
        )
        return text


def address(query: str, *, mark: str = "#", **more: str) -> str:
    """Where GraphiQL shows this document; `mark` is ? for the form in which other tools write it."""
    return f"/graphql{mark}{urlencode({'query': query, **more})}"
