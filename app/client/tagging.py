"""`tag` puts tags on media and takes them off; `tags` lists the tags there are."""

import sys
from collections.abc import Sequence

from app.client import documents
from app.client.endpoint import open_endpoint
from app.client.errors import ClientError, UsageError
from app.client.library_api import PAGE_SIZE, LibraryApi, Retagged
from app.client.media import UserError
from app.client.running import ExitCode
from app.client.selection import distinct_ids, in_chunks
from app.client.streams import complain, put, write
from app.client.text import printable, sendable, tag_slug

Answer = Retagged | str
"""The media with its tags, or why they were not changed."""


async def retag(
    ids: Sequence[str], *, add: Sequence[str], remove: Sequence[str], json: bool, origin: str
) -> ExitCode:
    """Add, then remove; what goes wrong with one media does not hold back the others."""
    if not add and not remove:
        raise UsageError("Say what to do: --add NAME puts a tag on, --remove NAME takes one off.")
    if both := {tag_slug(name) for name in add} & {tag_slug(name) for name in remove}:
        raise UsageError(f"The tag {printable(min(both))} can't be both added and removed.")
    code = ExitCode.SUCCESS
    async with open_endpoint(LibraryApi, origin) as api:
        await api.ping()
        for chunk in in_chunks(distinct_ids(ids), PAGE_SIZE):
            answers = await _retag(
                api, chunk, [sendable(name) for name in add], [sendable(name) for name in remove]
            )
            for media_id, answer in zip(chunk, answers, strict=True):
                if not _tell(media_id, answer, json=json) or isinstance(answer, str):
                    code = ExitCode.FAILURE
    return code


async def _retag(
    api: LibraryApi, ids: Sequence[str], add: Sequence[str], remove: Sequence[str]
) -> list[Answer]:
    answers: dict[str, Answer] = {}
    for change, names in ((api.tag, add), (api.untag, remove)):
        left = [media_id for media_id in ids if not isinstance(answers.get(media_id), str)]
        if not names or not left:
            continue
        try:
            for media_id, answer in zip(left, await change(left, names), strict=True):
                answers[media_id] = answer if isinstance(answer, Retagged) else _sentence(answer)
        except ClientError as error:
            answers |= dict.fromkeys(left, str(error))
    return [answers[media_id] for media_id in ids]


def _sentence(errors: Sequence[UserError]) -> str:
    return " ".join(error.message for error in errors)


def _tell(media_id: str, answer: Answer, *, json: bool) -> bool:
    """False when nobody got it."""
    if isinstance(answer, str):
        complain(f"{printable(media_id)}: {printable(answer)}")
        return not json or write(sys.stdout, documents.line(documents.failed(media_id, answer)))
    names = documents.tag_names(answer.tags)
    if json:
        document = {"id": media_id, "filename": answer.filename, "tags": names, "error": None}
        return write(sys.stdout, documents.line(document))
    return write(sys.stdout, f"{printable(answer.filename)}: {printable(', '.join(names)) or 'no tags'}\n")


async def list_tags(*, search: str | None, json: bool, origin: str) -> ExitCode:
    count, after = 0, None
    prefix = None if search is None else sendable(search)
    async with open_endpoint(LibraryApi, origin) as api:
        await api.ping()
        while True:
            page = await api.tags(search=prefix, first=PAGE_SIZE, after=after)
            count += len(page.tags)
            for tag in page.tags:
                if json:
                    put(documents.line(documents.tag(tag)))
                elif sys.stdout.isatty():
                    put(f"{tag.media_count or 0:>9,}  {printable(tag.name)}\n")
                else:
                    facts = (tag.id, tag.name, tag.slug, str(tag.media_count or 0))
                    put("\t".join(map(printable, facts)) + "\n")
            if page.next is None:
                break
            after = page.next
    if not count:
        complain("There are no tags." if prefix is None else "No tags match.")
    return ExitCode.SUCCESS
