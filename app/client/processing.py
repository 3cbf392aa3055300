"""`retry` processes again what failed; `cancel` ends the processing."""

from collections.abc import Sequence

from app.client.answers import USER_ERRORS, user_errors
from app.client.each import Done, change_each
from app.client.endpoint import Endpoint, open_endpoint
from app.client.media import Status, UserError
from app.client.running import ExitCode
from app.client.selection import distinct_ids

_ANSWER = f"media {{ status }} {USER_ERRORS}"
_RETRY = f"mutation Retry($id: ID!) {{ answer: retryProcessing(mediaId: $id) {{ {_ANSWER} }} }}"
_CANCEL = f"mutation Cancel($id: ID!) {{ answer: cancelProcessing(mediaId: $id) {{ {_ANSWER} }} }}"


class ProcessingApi(Endpoint):
    """Both may be said again: what goes on goes on, and what is cancelled stays so."""

    async def retry(self, media_id: str) -> Status | list[UserError]:
        return await self._change(_RETRY, media_id)

    async def cancel(self, media_id: str) -> Status | list[UserError]:
        return await self._change(_CANCEL, media_id)

    async def _change(self, document: str, media_id: str) -> Status | list[UserError]:
        """How the media stands now, or why nothing was done."""
        answer = (await self._repeat(document, {"id": media_id}))["answer"]
        return user_errors(answer) or Status(answer["media"]["status"])


async def retry(ids: Sequence[str], *, json: bool, origin: str) -> ExitCode:
    async with open_endpoint(ProcessingApi, origin) as api:
        await api.ping()

        async def change(media_id: str) -> Done | list[UserError]:
            return _done(await api.retry(media_id))

        return await change_each(distinct_ids(ids), change, json=json)


async def cancel(ids: Sequence[str], *, json: bool, origin: str) -> ExitCode:
    async with open_endpoint(ProcessingApi, origin) as api:
        await api.ping()

        async def change(media_id: str) -> Done | list[UserError]:
            return _done(await api.cancel(media_id), word="cancelled")

        return await change_each(distinct_ids(ids), change, json=json)


def _done(answer: Status | list[UserError], *, word: str | None = None) -> Done | list[UserError]:
    return Done(word=word or answer, facts={"status": answer}) if isinstance(answer, Status) else answer
