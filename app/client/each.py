"""Something that is done with each of several media: a few at once, told in the order they were named."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.client import documents
from app.client.errors import ClientError
from app.client.media import UserError
from app.client.running import ExitCode
from app.client.streams import complain, write
from app.client.text import printable

_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """`word` for people; `facts` is what scripts are told besides the id."""

    word: str
    facts: Mapping[str, Any] = field(default_factory=dict)


Change = Callable[[str], Awaitable[Done | list[UserError]]]


async def change_each(ids: Sequence[str], change: Change, *, json: bool) -> ExitCode:
    """FAILURE when one was not done, or nobody got to know; one does not hold back the others."""
    room = asyncio.Semaphore(_AT_ONCE)
    code = ExitCode.SUCCESS
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_change(change, media_id, room)) for media_id in ids]
        for media_id, task in zip(ids, tasks, strict=True):
            answer = await task
            if not _tell(media_id, answer, json=json) or isinstance(answer, str):
                code = ExitCode.FAILURE
    return code


async def _change(change: Change, media_id: str, room: asyncio.Semaphore) -> Done | str:
    """What was done, or why it was not."""
    async with room:
        try:
            answer = await change(media_id)
        except ClientError as error:
            return str(error)
    return answer if isinstance(answer, Done) else " ".join(error.message for error in answer)


def _tell(media_id: str, answer: Done | str, *, json: bool) -> bool:
    """False when nobody got it."""
    if isinstance(answer, str):
        complain(f"{printable(media_id)}: {printable(answer)}")
        return not json or write(sys.stdout, documents.line(documents.failed(media_id, answer)))
    if json:
        return write(sys.stdout, documents.line({"id": media_id, **answer.facts, "error": None}))
    return write(sys.stdout, f"{printable(media_id)}: {printable(answer.word)}\n")
