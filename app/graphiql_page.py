"""GraphiQL: the page at /graphql for those who ask for HTML, and the files it consists of.

All of it was built from `web/graphiql` and lies there in `dist`; no address outside the origin is needed.
"""

import os
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from app.operations.errors import OperationError
from app.settings import CHECKOUT

BUILT = CHECKOUT / "web" / "graphiql" / "dist"
ASSETS = "graphiql-assets"

# Workers obey the policy that comes with their own file. `'self'` covers the WebSocket of the own origin.
# Monaco places every line by a style attribute, so inline styles are allowed; scripts are files of ours.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: The page names its files, so it is asked for anew; they have their names from their contents.
_PAGE_HEADERS = {**_HEADERS, "Cache-Control": "no-cache", "Vary": "Accept"}
_ASSET_HEADERS = {**_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}


_NAMED = re.compile(rf'"/({ASSETS}/[^"]+)"')


def missing_files() -> list[Path]:
    """The page, or what it names, where that is not there."""
    page = BUILT / "index.html"
    if not page.is_file():
        return [page]
    named = (BUILT / name for name in _NAMED.findall(page.read_text(encoding="utf-8")))
    return [file for file in named if not file.is_file()]


def require_files() -> None:
    """Raises OperationError where the page could not be shown."""
    for file in missing_files():
        raise OperationError(
            f"GraphiQL's file {file} is missing: restore the checkout, or set DARKROOM_GRAPHIQL=0 to do "
            "without the page."
        )


class GraphiQLPage:
    """Shows the page to a browser that opens the address, and passes everything else on to the API.

    A document in the query string is shown and not run: only who presses the button means it.
    """

    def __init__(self, api: ASGIApp) -> None:
        self._api = api
        self._page = (BUILT / "index.html").read_bytes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _asks_for_page(Request(scope)):
            response = Response(self._page, headers=_PAGE_HEADERS, media_type="text/html")
            await response(scope, receive, send)
        else:
            await self._api(scope, receive, send)


def graphiql_assets() -> Mount:
    """The files that the page loads, all named after their contents."""
    return Mount(f"/{ASSETS}", _Assets(directory=BUILT / ASSETS))


class _Assets(StaticFiles):
    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_ASSET_HEADERS)
        return response


def _asks_for_page(request: Request) -> bool:
    return request.method in {"GET", "HEAD"} and "text/html" in request.headers.get("accept", "")
