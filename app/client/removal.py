"""`rm`: deletes media for good, once somebody has said yes."""

import asyncio
import sys
from collections.abc import Sequence

from app.client import documents, running
from app.client.endpoint import open_endpoint
from app.client.errors import ClientError, UsageError
from app.client.library_api import PAGE_SIZE, LibraryApi
from app.client.running import ExitCode
from app.client.selection import distinct_ids, in_chunks
from app.client.showing import NOT_FOUND
from app.client.streams import complain, write
from app.client.text import printable

_DELETED_AT_ONCE = 4

#: So many names are read before one answers.
_NAMED = 10


def run(ids: Sequence[str], *, yes: bool, json: bool, origin: str) -> ExitCode:
    """Ask at the terminal, unless `yes`; then delete, whatever goes wrong with one of them."""
    chosen = distinct_ids(ids)
    if not yes:
        names: list[str] = []
        code = running.run(lambda origin: _look_up(chosen, names, origin), origin)
        if code is not ExitCode.SUCCESS:
            return code
        try:
            agreed = _ask(names)
        except KeyboardInterrupt:
            complain("\nInterrupted: nothing was deleted.")
            return ExitCode.INTERRUPTED
        if not agreed:
            complain("Nothing was deleted.")
            return ExitCode.FAILURE
    return running.run(
        lambda origin: _delete_all(chosen, json=json, origin=origin),
        origin,
        interrupted="Interrupted: what was not told as deleted may still be there.",
    )


async def _look_up(ids: Sequence[str], names: list[str], origin: str) -> ExitCode:
    """The file names of those that are there; FAILURE when none is."""
    if not sys.stdin.isatty():
        raise UsageError("Nobody can be asked here whether to delete: say --yes.")
    async with open_endpoint(LibraryApi, origin) as api:
        await api.ping()
        found = [name for chunk in in_chunks(ids, PAGE_SIZE) for name in await api.filenames(chunk)]
    names += [printable(name) for name in found if name is not None]
    if not names:
        for media_id in ids:
            complain(f"{printable(media_id)}: {NOT_FOUND}")
    return ExitCode.SUCCESS if names else ExitCode.FAILURE


def _ask(names: Sequence[str]) -> bool:
    """Not inside a loop: its handling of Ctrl-C would wait for Enter."""
    for name in names[:_NAMED]:
        complain(f"  {name}")
    if len(names) > _NAMED:
        complain(f"  and {len(names) - _NAMED:,} more")
    these = "this media" if len(names) == 1 else f"these {len(names):,} media"
    write(sys.stderr, f"Delete {these} with all that was made of them, for good? [y/N] ")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


async def _delete_all(ids: Sequence[str], *, json: bool, origin: str) -> ExitCode:
    """A few at once, told in the order of `ids`."""
    room = asyncio.Semaphore(_DELETED_AT_ONCE)
    code = ExitCode.SUCCESS
    async with open_endpoint(LibraryApi, origin) as api:
        await api.ping()
        async with asyncio.TaskGroup() as group:
            deletions = [group.create_task(_delete(api, media_id, room)) for media_id in ids]
            for media_id, deletion in zip(ids, deletions, strict=True):
                problem = await deletion
                if not _tell(media_id, problem, json=json) or problem:
                    code = ExitCode.FAILURE
    return code


async def _delete(api: LibraryApi, media_id: str, room: asyncio.Semaphore) -> str | None:
    """Why it was not deleted; None when it was."""
    async with room:
        try:
            return " ".join(error.message for error in await api.delete(media_id)) or None
        except ClientError as error:
            return str(error)


def _tell(media_id: str, problem: str | None, *, json: bool) -> bool:
    """False when nobody got it."""
    if problem:
        complain(f"{printable(media_id)}: {printable(problem)}")
    if json:
        return write(sys.stdout, documents.line({"id": media_id, "error": problem}))
    return problem is not None or write(sys.stdout, f"{media_id}: deleted\n")
