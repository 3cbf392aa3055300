"""`tags --rename` and `tags --delete`: what becomes of a tag itself, found by its name."""

import sys
from collections.abc import Sequence

from app.client import documents, running
from app.client.answers import USER_ERRORS, tag, user_errors
from app.client.consent import consent
from app.client.endpoint import Endpoint, open_endpoint
from app.client.errors import ClientError, NotConnectedError
from app.client.media import Tag, UserError
from app.client.running import ExitCode
from app.client.streams import complain, write
from app.client.text import printable, sendable, tag_slug

_FIND = "query Find($slug: String!) { tag(slug: $slug) { id name slug mediaCount } }"
_RENAME = f"""
  mutation Rename($id: ID!, $name: String!) {{
    renameTag(id: $id, name: $name) {{ tag {{ id name slug mediaCount }} {USER_ERRORS} }}
  }}"""
_DELETE = f"mutation DeleteTag($id: ID!) {{ deleteTag(id: $id) {{ deletedId {USER_ERRORS} }} }}"


class TagApi(Endpoint):
    async def find(self, name: str) -> Tag | None:
        """The tag that is the same as `name`, however that is written."""
        node = (await self._repeat(_FIND, {"slug": tag_slug(name)}))["tag"]
        return tag(node) if node else None

    async def rename(self, tag_id: str, name: str) -> Tag | list[UserError]:
        payload = (await self._repeat(_RENAME, {"id": tag_id, "name": name}))["renameTag"]
        return user_errors(payload) or tag(payload["tag"])

    async def delete(self, tag_id: str) -> list[UserError]:
        """Why it was not deleted; empty when it was. Said again only if it can't have been heard."""
        answer = await self._repeat(_DELETE, {"id": tag_id}, on=NotConnectedError)
        return user_errors(answer["deleteTag"])


async def rename_tag(old: str, new: str, *, json: bool, origin: str) -> ExitCode:
    async with open_endpoint(TagApi, origin) as api:
        await api.ping()
        found = await api.find(sendable(old))
        answer = await api.rename(found.id, sendable(new)) if found else None
    if isinstance(answer, Tag):
        text = documents.line(documents.tag(answer)) if json else f"{printable(answer.name)}\n"
        return ExitCode.SUCCESS if write(sys.stdout, text) else ExitCode.FAILURE
    complain(printable(_sentence(answer) if answer else no_such_tag(old)))
    return ExitCode.FAILURE


def delete_tags(names: Sequence[str], *, yes: bool, json: bool, origin: str) -> ExitCode:
    """Ask at the terminal, unless `yes`; then delete, whatever goes wrong with one of them."""
    chosen = list(dict.fromkeys(map(sendable, names)))
    if not yes:
        code = consent(lambda origin: _look_up(chosen, origin), _question, origin)
        if code is not ExitCode.SUCCESS:
            return code
    return running.run(lambda origin: _delete_all(chosen, json=json, origin=origin), origin)


def no_such_tag(name: str) -> str:
    return f"There is no tag {sendable(name)}."


async def _look_up(names: Sequence[str], origin: str) -> list[str]:
    """Those that are there, with how many media carry them."""
    async with open_endpoint(TagApi, origin) as api:
        await api.ping()
        found = [await api.find(name) for name in names]
    if not any(found):
        for name in names:
            complain(printable(no_such_tag(name)))
    return [f"{printable(each.name)}  ({each.media_count or 0:,} media)" for each in found if each]


def _question(count: int) -> str:
    if count == 1:
        return "Delete this tag, and take it off all media?"
    return f"Delete these {count:,} tags, and take them off all media?"


async def _delete_all(names: Sequence[str], *, json: bool, origin: str) -> ExitCode:
    code = ExitCode.SUCCESS
    async with open_endpoint(TagApi, origin) as api:
        await api.ping()
        for name in names:
            problem = await _delete(api, name)
            if not _tell(name, problem, json=json) or problem:
                code = ExitCode.FAILURE
    return code


async def _delete(api: TagApi, name: str) -> str | None:
    """Why it was not deleted; None when it was."""
    try:
        found = await api.find(name)
        return _sentence(await api.delete(found.id)) or None if found else no_such_tag(name)
    except ClientError as error:
        return str(error)


def _sentence(errors: Sequence[UserError]) -> str:
    return " ".join(error.message for error in errors)


def _tell(name: str, problem: str | None, *, json: bool) -> bool:
    """False when nobody got it."""
    if problem:
        complain(printable(problem))
    if json:
        return write(sys.stdout, documents.line({"name": name, "error": problem}))
    return problem is not None or write(sys.stdout, f"{printable(name)}: deleted\n")
