"""`tags`: lists the tags, renames one, or deletes some."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.client import running
from app.client.errors import UsageError
from app.client.running import ExitCode
from app.client.tag_changes import delete_tags, rename_tag
from app.client.tagging import list_tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`rename`: the old name and the new one."""

    search: str | None
    rename: tuple[str, str] | None
    delete: Sequence[str]
    yes: bool
    json: bool


def run(options: Options, origin: str) -> ExitCode:
    if sum((options.search is not None, options.rename is not None, bool(options.delete))) > 1:
        return running.run(_refuse, origin)
    if options.delete:
        return delete_tags(options.delete, yes=options.yes, json=options.json, origin=origin)
    return running.run(lambda origin: _list_or_rename(options, origin), origin)


async def _list_or_rename(options: Options, origin: str) -> ExitCode:
    if options.rename:
        return await rename_tag(*options.rename, json=options.json, origin=origin)
    return await list_tags(search=options.search, json=options.json, origin=origin)


async def _refuse(origin: str) -> ExitCode:
    raise UsageError("--search, --rename and --delete are three things: say one of them.")
