"""One announced upload from its first byte to its finalization, however the service wants the bytes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from app.client.announcing import Announced
from app.client.errors import ChangedFileError, ClientError, FileProblemError, ServiceError
from app.client.files import LocalFile
from app.client.items import Item
from app.client.kept_uploads import Claim, KeptUpload, KeptUploads
from app.client.media import Status, UserError
from app.client.outcomes import Outcome
from app.client.possession import possession_digest
from app.client.progress import Progress
from app.client.putting import Progress as Sent
from app.client.targets import AnyTarget, Challenge, MultipartTarget, StoredTarget, Target
from app.client.transfer import Transfers
from app.client.upload_api import MissingParts, UploadApi
from app.launcher import launcher

#: How often an upload may turn out to lack parts that were sent: a store does not lose them all the time.
_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class _Sending:
    """One upload on its way; `outcome` is what is known of its end so far."""

    number: int
    item: Item
    announced: Announced
    outcome: Outcome


class Sender:
    """`unfinished`: what ends with the command. `resumable`: what another command can go on with."""

    def __init__(self, api: UploadApi, transfers: Transfers, kept: KeptUploads, progress: Progress) -> None:
        self._api = api
        self._transfers = transfers
        self._kept = kept
        self._progress = progress
        self.unfinished: set[str] = set()
        self.resumable: dict[str, Claim] = {}

    def expect(self, announced: Announced) -> None:
        """It is to be sent: from now on it counts among those that the command has begun."""
        upload_id = announced.upload.upload_id
        if announced.claim:
            self.resumable[upload_id] = announced.claim
        else:
            self.unfinished.add(upload_id)

    async def send(self, number: int, item: Item, announced: Announced) -> Outcome:
        """The outcome as far as it is known when the upload is finalized."""
        upload_id = announced.upload.upload_id
        outcome = Outcome(path=item.path, media_id=announced.upload.media_id)
        try:
            outcome = await self._send(_Sending(number, item, announced, outcome))
        except ClientError as error:
            return await self._fail(outcome, upload_id, error)
        self._forget(upload_id)
        if outcome.status and not outcome.status.ended:
            self._progress.status(number, outcome.status)
        if outcome.status is not Status.FAILED:
            await self._give_up_older(announced.file)
        return outcome

    async def give_up(self, *upload_ids: str) -> None:
        """Best effort: what is not given up expires."""
        for upload_id in upload_ids:
            self._forget(upload_id)
        await asyncio.gather(
            *[self._api.abort(upload_id) for upload_id in upload_ids], return_exceptions=True
        )

    def give_back_all(self) -> int:
        """Let another command go on with what is noted; how many uploads that are."""
        for claim in self.resumable.values():
            claim.give_back()
        count = len(self.resumable)
        self.resumable.clear()
        return count

    async def _fail(self, outcome: Outcome, upload_id: str, error: ClientError) -> Outcome:
        """What is noted can wait for better times, unless its bytes are no more."""
        if upload_id in self.resumable and not isinstance(error, ChangedFileError):
            self.resumable.pop(upload_id).give_back()
            said = f"{error} `{launcher()} upload --resume` goes on with it."
            return replace(outcome, status=Status.UPLOADING, error=said)
        await self.give_up(upload_id)
        return replace(outcome, status=Status.FAILED, error=str(error))

    async def _send(self, sending: _Sending) -> Outcome:
        target = sending.announced.upload.target
        if isinstance(target, Challenge):
            answer = await self._prove(sending, target)
            if isinstance(answer, Status):
                return self._already_stored(sending, answer)
            target = answer
        if isinstance(target, StoredTarget):
            return self._already_stored(sending, sending.announced.upload.status)
        if isinstance(target, MultipartTarget):
            return await self._send_parts(sending, target)
        self._progress.sending(sending.number, sending.announced.file.byte_size)
        if isinstance(target, Target):
            await self._transfers.send(
                sending.announced.file,
                sending.announced.upload.upload_id,
                target,
                self._sent(sending.number, sending.announced.file.byte_size),
            )
        return await self._finalize(sending)

    async def _prove(self, sending: _Sending, challenge: Challenge) -> Status | AnyTarget | None:
        """The media's status if the proof was taken, else how the service wants the bytes instead."""
        announced = sending.announced
        digest = await possession_digest(announced.file, challenge)
        answer = await self._api.answer_challenge(announced.upload.upload_id, digest)
        if isinstance(answer, Status):
            return answer
        target = await self._api.target(announced.upload.upload_id)
        if isinstance(target, Challenge):
            raise ServiceError("The service asks for the same proof again.")
        return target

    def _already_stored(self, sending: _Sending, status: Status) -> Outcome:
        self._progress.note(sending.number, "already stored")
        return replace(sending.outcome, status=status, already_stored=True)

    async def _send_parts(self, sending: _Sending, target: MultipartTarget) -> Outcome:
        announced = sending.announced
        target.check(announced.file.byte_size)
        self._keep(sending, target)
        if announced.claim is None and (stored := target.part_count - len(target.missing)):
            self._progress.note(
                sending.number, f"{stored:,} of {target.part_count:,} parts are stored already"
            )
        for _ in range(_ROUNDS):
            byte_size = target.missing_bytes(announced.file.byte_size)
            self._progress.sending(sending.number, byte_size)
            await self._transfers.send_parts(
                announced.file, announced.upload.upload_id, target, self._sent(sending.number, byte_size)
            )
            self._progress.finalizing(sending.number)
            answer = await self._api.finalize(announced.upload.upload_id)
            if not isinstance(answer, MissingParts):
                return _finalized(sending, answer)
            target = replace(target, missing=answer.numbers)
            target.check(announced.file.byte_size)
        count = len(target.missing)
        raise ServiceError(
            f"The service still misses {count:,} part{'s' * (count != 1)}, sent {_ROUNDS} times by now."
        )

    async def _finalize(self, sending: _Sending) -> Outcome:
        answer = await self._api.finalize(sending.announced.upload.upload_id)
        if isinstance(answer, MissingParts):
            raise ServiceError(
                "The service misses parts of an upload that it did not ask to be sent in parts."
            )
        return _finalized(sending, answer)

    def _keep(self, sending: _Sending, target: MultipartTarget) -> None:
        """From here on the upload outlives the command; where that can't be, it is said and goes on."""
        file, upload = sending.announced.file, sending.announced.upload
        if upload.upload_id in self.resumable:
            return
        kept = KeptUpload(
            origin=self._api.origin,
            upload_id=upload.upload_id,
            media_id=upload.media_id,
            path=str(file.path.resolve()),
            byte_size=file.byte_size,
            modified_ns=file.modified_ns,
            sha256=file.sha256,
            part_size=target.part_size,
            tags=tuple(sending.item.wishes.tags),
            title=sending.item.wishes.title,
        )
        try:
            self.resumable[upload.upload_id] = self._kept.keep(kept)
        except FileProblemError as error:
            self._progress.note(sending.number, f"can't be resumed later. {error}")
            return
        self.unfinished.discard(upload.upload_id)

    async def _give_up_older(self, file: LocalFile) -> None:
        """What was interrupted of the same file has been done by this upload."""
        for older in self._kept.of_file(self._api.origin, file.path, file.sha256):
            with suppress(FileProblemError):  # another command is sending it, and may do so
                if claim := self._kept.claim(older):
                    claim.discard()
                    await self.give_up(older.upload_id)

    def _forget(self, upload_id: str) -> None:
        self.unfinished.discard(upload_id)
        if claim := self.resumable.pop(upload_id, None):
            claim.discard()

    def _sent(self, number: int, byte_size: int) -> Sent:
        """`byte_size` is what there is to send."""
        return lambda done: self._progress.sent(number, done, byte_size)


def _finalized(sending: _Sending, answer: Status | Sequence[UserError]) -> Outcome:
    if isinstance(answer, Status):
        return replace(sending.outcome, status=answer)
    return replace(sending.outcome, status=Status.FAILED, user_errors=answer)
