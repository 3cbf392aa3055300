"""Requesting, finalizing and aborting uploads."""

from typing import Annotated
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from resolvers.context import http_headers
from resolvers.errors import bad_user_input, user_errors
from resolvers.info import Info
from schema.enums import Visibility
from schema.ids import id_of
from schema.inputs import RequestUploadInput, SignUploadRequestInput
from schema.payloads import (
    MediaPayload,
    PresignedRequest,
    RequestUploadPayload,
    SignUploadPartsPayload,
    UploadPayload,
)
from schema.scalars import URL
from schema.types import Media, Upload, UploadPart
from services.client_requests import ClientRequest
from services.errors import NotFound, Refusal, Rejected
from services.repeated_requests import RequestedUpload
from services.upload_requests import Blocks, UploadRequest

UploadId = Annotated[strawberry.ID, strawberry.argument(description="The upload's id.")]


async def request_upload(
    info: Info,
    input: Annotated[RequestUploadInput, strawberry.argument(description="The file.")],
) -> RequestUploadPayload:
    [answer] = await info.context.services.uploads.request(info.context.viewer, [_request(input)])
    return _payload(input, answer)


async def request_uploads(
    info: Info,
    inputs: Annotated[list[RequestUploadInput], strawberry.argument(description="The files, 100 at most.")],
) -> list[RequestUploadPayload]:
    try:
        answers = await info.context.services.uploads.request(
            info.context.viewer, [_request(input) for input in inputs]
        )
    except Rejected as rejected:
        raise bad_user_input(str(rejected)) from rejected
    return [_payload(input, answer) for input, answer in zip(inputs, answers, strict=True)]


async def sign_upload_parts(
    info: Info,
    upload_id: UploadId,
    numbers: Annotated[list[int], strawberry.argument(description="Which parts, 100 at most.")],
) -> SignUploadPartsPayload:
    try:
        signed = await info.context.services.parts.sign(info.context.viewer, _row_id(upload_id), numbers)
    except Refusal as refusal:
        return SignUploadPartsPayload(user_errors=user_errors(refusal))
    return SignUploadPartsPayload(
        parts=[
            UploadPart(
                number=part.number,
                method="PUT",
                url=URL(part.put.url),
                headers=http_headers(part.put.headers),
                expires_at=part.put.expires_at,
            )
            for part in signed
        ]
    )


async def sign_upload_request(
    info: Info,
    input: Annotated[SignUploadRequestInput, strawberry.argument(description="The request.")],
) -> PresignedRequest:
    signed = await info.context.services.client_signing.sign(
        info.context.viewer,
        ClientRequest(
            method=input.method,
            key=input.key,
            multipart_id=input.upload_id,
            part_number=input.part_number,
            content_type=input.content_type,
            expires_in=input.expires_in,
        ),
    )
    return PresignedRequest(url=URL(signed.url), key=input.key, headers=JSON(signed.headers))


async def finalize_upload(info: Info, upload_id: UploadId) -> MediaPayload:
    try:
        row = await info.context.services.finalizing.finalize(info.context.viewer, _row_id(upload_id))
    except Refusal as refusal:
        return MediaPayload(user_errors=user_errors(refusal))
    return MediaPayload(media=Media.of(row))


async def answer_possession_challenge(
    info: Info,
    upload_id: UploadId,
    digest: Annotated[str, strawberry.argument(description="The HMAC-SHA-256 of the ranges' bytes, in hex.")],
) -> MediaPayload:
    possession = info.context.services.possession
    try:
        row = await possession.answer(info.context.viewer, _row_id(upload_id), digest)
    except Refusal as refusal:
        return MediaPayload(user_errors=user_errors(refusal))
    return MediaPayload(media=Media.of(row))


async def abort_upload(info: Info, upload_id: UploadId) -> UploadPayload:
    endings = info.context.services.upload_endings
    try:
        media, upload = await endings.abort(info.context.viewer, _row_id(upload_id))
    except Refusal as refusal:
        return UploadPayload(user_errors=user_errors(refusal))
    return UploadPayload(upload=Upload.of(upload, media))


def _row_id(upload_id: str) -> UUID:
    id = id_of(upload_id, "Upload")
    if id is None:
        raise NotFound("There is no such upload.", "uploadId")
    return id


def _request(input: RequestUploadInput) -> UploadRequest:
    return UploadRequest(
        filename=input.filename,
        mime_type=input.mime_type,
        size=input.size,
        sha256=input.sha256,
        md5=input.md5,
        title=input.title,
        description=input.description,
        tags=input.tags or (),
        metadata=input.metadata,
        visibility=input.visibility or Visibility.PRIVATE,
        blocks=None if input.blocks is None else Blocks(size=input.blocks.size, sha256s=input.blocks.sha256s),
        idempotency_key=input.client_mutation_id,
    )


def _payload(input: RequestUploadInput, answer: RequestedUpload | Rejected) -> RequestUploadPayload:
    name = input.client_mutation_id
    if isinstance(answer, Rejected):
        return RequestUploadPayload(client_mutation_id=name, user_errors=user_errors(answer))
    return RequestUploadPayload(
        client_mutation_id=name,
        media=Media.of(answer.media),
        upload=Upload.of(answer.upload, answer.media),
    )
