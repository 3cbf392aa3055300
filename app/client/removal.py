"""`rm`: deletes media for good, once somebody has said yes."""

from collections.abc import Sequence

from app.client import running
from app.client.consent import consent
from app.client.each import Done, change_each
from app.client.endpoint import open_endpoint
from app.client.library_api import PAGE_SIZE, LibraryApi
from app.client.media import UserError
from app.client.running import ExitCode
from app.client.selection import distinct_ids, in_chunks
from app.client.showing import NOT_FOUND
from app.client.streams import complain
from app.client.text import printable


def run(ids: Sequence[str], *, yes: bool, json: bool, origin: str) -> ExitCode:
    """Ask at the terminal, unless `yes`; then delete, whatever goes wrong with one of them."""
    chosen = distinct_ids(ids)
    if not yes:
        code = consent(lambda origin: _look_up(chosen, origin), _question, origin)
        if code is not ExitCode.SUCCESS:
            return code
    return running.run(
        lambda origin: _delete_all(chosen, json=json, origin=origin),
        origin,
        interrupted="Interrupted: what was not told as deleted may still be there.",
    )


async def _look_up(ids: Sequence[str], origin: str) -> list[str]:
    """The file names of those that are there."""
    async with open_endpoint(LibraryApi, origin) as api:
        await api.ping()
        found = [name for chunk in in_chunks(ids, PAGE_SIZE) for name in await api.filenames(chunk)]
    names = [printable(name) for name in found if name is not None]
    if not names:
        for media_id in ids:
            complain(f"{printable(media_id)}: {NOT_FOUND}")
    return names


def _question(count: int) -> str:
    these = "this media" if count == 1 else f"these {count:,} media"
    return f"Delete {these} with all that was made of them, for good?"


async def _delete_all(ids: Sequence[str], *, json: bool, origin: str) -> ExitCode:
    async with open_endpoint(LibraryApi, origin) as api:
        await api.ping()

        async def delete(media_id: str) -> Done | list[UserError]:
            return await api.delete(media_id) or Done(word="deleted")

        return await change_each(ids, delete, json=json)
