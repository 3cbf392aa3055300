"""A bucket of a test's server: the settings of a service that uses it, and a gate before it that refuses."""

import asyncio
from collections.abc import Callable

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.ministack import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY


def bucket_settings(endpoint: str, bucket: str, **others: str) -> dict[str, str]:
    return {
        "DARKROOM_STORAGE_URL": f"s3://{bucket}",
        "DARKROOM_S3_ENDPOINT_URL": endpoint,
        "DARKROOM_S3_REGION": REGION,
        "DARKROOM_S3_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "DARKROOM_S3_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        **others,
    }


class Gate:
    """Passes on to `target` all requests but those that `refuses` picks, without the headers of `drops`.

    A refusal takes `seconds`.
    """

    def __init__(
        self,
        target: str,
        refuses: Callable[[Request], bool],
        *,
        drops: frozenset[bytes] = frozenset(),
        seconds: float = 0,
    ) -> None:
        self._target = target
        self._refuses = refuses
        self._drops = drops
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if self._refuses(request):
            await asyncio.sleep(self._seconds)
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, media_type="application/xml")
        path = request.scope["raw_path"].decode()
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.request(
                request.method,
                f"{self._target}{path}?{request.url.query}",
                content=await request.body(),
                headers=[pair for pair in request.headers.raw if pair[0] not in self._drops],
            )
        kept = {
            "content-type",
            "content-disposition",
            "date",
            "etag",
            "last-modified",
            "x-amz-checksum-sha256",
        }
        headers = {name: text for name, text in answer.headers.items() if name in kept}
        if request.method == "HEAD":
            headers["content-length"] = answer.headers.get("content-length", "0")
        return Response(answer.content, answer.status_code, headers)
