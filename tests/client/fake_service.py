"""A service and a store in one process, for uploads that go as each test wants: parts, proofs, refusals."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.serving import serve

PART_BYTES = 64 * 1024

Json = dict[str, Any]

#: May answer a request for part `number` in the store's stead, before its body is read.
Behaviour = Callable[[int, Request], Awaitable[Response | None]]


async def behave(number: int, request: Request) -> Response | None:
    return None


@dataclass
class FakeUpload:
    number: int
    input: Json
    parts: dict[int, bytes] = field(default_factory=dict)
    status: str = "PENDING"
    challenged: bool = False

    @property
    def id(self) -> str:
        return f"upload-{self.number}"

    @property
    def missing(self) -> list[int]:
        return [number for number in range(1, self.part_count + 1) if number not in self.parts]

    @property
    def part_count(self) -> int:
        return -(-int(self.input["size"]) // PART_BYTES)

    @property
    def content(self) -> bytes:
        return b"".join(self.parts[number] for number in sorted(self.parts))


class FakeService:
    """`target` is how files are wanted: parts, stored or proof. `received` are the parts that came whole."""

    def __init__(self) -> None:
        self.origin = ""
        self.target = "parts"
        self.proof: str | None = None
        self.answers: list[str] = []
        self.behave: Behaviour = behave
        self.uploads: list[FakeUpload] = []
        self.signed: list[list[int]] = []
        self.received: list[tuple[str, int]] = []
        self.aborted: list[str] = []
        #: Parts that vanish at the next finalizations, a list for each.
        self.losses: list[list[int]] = []
        #: Numbers of parts that a new upload has from the beginning.
        self.stored: Sequence[int] = ()
        #: So many finalizations find the store away.
        self.unavailable = 0
        self._signatures = 0

    async def graphql(self, request: Request) -> Response:
        body = await request.json()
        variables = body.get("variables") or {}
        operation = body["query"].split("(")[0].split()[-1]
        answer = getattr(self, f"_on_{operation}", self._on_anything)(**variables)
        return JSONResponse({"data": answer})

    async def put(self, request: Request) -> Response:
        upload = self.uploads[int(request.path_params["upload"])]
        number = int(request.path_params["number"])
        if answer := await self.behave(number, request):
            return answer
        try:
            body = await request.body()
        except ClientDisconnect:
            return Response(status_code=400)
        self.received.append((upload.id, number))
        upload.parts[number] = body
        return Response()

    def _on_anything(self) -> Json:
        return {"__typename": "Query"}

    def _on_RequestUploads(self, inputs: Sequence[Json]) -> Json:
        uploads = [FakeUpload(len(self.uploads) + place, each) for place, each in enumerate(inputs)]
        for upload in uploads:
            upload.parts |= dict.fromkeys(self.stored, b"stored")
        self.uploads += uploads
        status = "READY" if self.target == "stored" else "UPLOADING"
        return {
            "requestUploads": [
                {
                    "media": {"id": f"media-{upload.number}", "status": status},
                    "upload": {"id": upload.id, "target": self._target(upload)},
                    "userErrors": [],
                }
                for upload in uploads
            ]
        }

    def _on_Upload(self, id: str) -> Json:
        upload = self._find(id)
        if upload is None:
            return {"node": None}
        target = self._target(upload) if upload.status == "PENDING" else None
        return {"node": {"status": upload.status, "target": target}}

    def _on_SignParts(self, id: str, numbers: list[int]) -> Json:
        upload = self._find(id)
        assert upload is not None
        self.signed.append(numbers)
        self._signatures += 1
        parts = [
            {
                "number": number,
                "method": "PUT",
                "url": f"{self.origin}/parts/{upload.number}/{number}?signature={self._signatures}",
                "headers": [{"name": "X-Part", "value": str(number)}],
            }
            for number in numbers
        ]
        return {"signUploadParts": {"parts": parts, "userErrors": []}}

    def _on_AnswerChallenge(self, id: str, digest: str) -> Json:
        upload = self._find(id)
        assert upload is not None
        self.answers.append(digest)
        upload.challenged = True
        if digest == self.proof:
            payload: Json = {"media": {"status": "READY"}, "userErrors": []}
        else:
            payload = {"media": None, "userErrors": [_error("CHALLENGE_FAILED")]}
        return {"answerPossessionChallenge": payload}

    def _on_Finalize(self, id: str) -> Json:
        upload = self._find(id)
        if upload is None:
            return {"finalizeUpload": {"media": None, "userErrors": [_error("NOT_FOUND")]}}
        if self.unavailable:
            self.unavailable -= 1
            return {"finalizeUpload": {"media": None, "userErrors": [_error("STORAGE_UNAVAILABLE")]}}
        for number in self.losses.pop(0) if self.losses else ():
            upload.parts.pop(number, None)
        if upload.missing:
            error = {**_error("PARTS_MISSING"), "missing": upload.missing}
            return {"finalizeUpload": {"media": None, "userErrors": [error]}}
        upload.status = "COMPLETED"
        return {"finalizeUpload": {"media": {"status": "PROCESSING"}, "userErrors": []}}

    def _on_Abort(self, id: str) -> Json:
        self.aborted.append(id)
        upload = self._find(id)
        assert upload is not None
        upload.status = "ABORTED"
        return {"abortUpload": {"upload": {"status": "ABORTED"}}}

    def _on_Media(self, id: str) -> Json:
        return {"media": {"status": "READY", "failure": None, "details": None, "renditions": []}}

    def _find(self, upload_id: str) -> FakeUpload | None:
        return next((upload for upload in self.uploads if upload.id == upload_id), None)

    def _target(self, upload: FakeUpload) -> Json:
        match self.target:
            case "stored":
                return {"__typename": "StoredUploadTarget", "mediaId": f"media-{upload.number}"}
            case "proof" if not upload.challenged:
                ranges = [{"offset": 10, "length": 100}, {"offset": 0, "length": 3}]
                return {"__typename": "PossessionChallenge", "nonce": "bm9uY2U", "ranges": ranges}
        return {
            "__typename": "MultipartUploadTarget",
            "partSize": PART_BYTES,
            "partCount": upload.part_count,
            "missing": upload.missing,
        }


@asynccontextmanager
async def fake_service() -> AsyncIterator[FakeService]:
    service = FakeService()
    app = Starlette(
        routes=[
            Route("/graphql", service.graphql, methods=["POST"]),
            Route("/parts/{upload:int}/{number:int}", service.put, methods=["PUT"]),
        ]
    )
    async with serve(lambda origin: app) as service.origin:
        yield service


def s3_error(status: int, code: str) -> Response:
    message = f"<Error><Code>{code}</Code><Message>It is {code} &amp; so on.</Message></Error>"
    return Response(f'<?xml version="1.0"?>\n{message}', status, media_type="application/xml")


def json_documents(text: str) -> list[Json]:
    return [json.loads(line) for line in text.splitlines()]


def _error(code: str) -> Json:
    return {"code": code, "message": f"It is {code}.", "path": None}
