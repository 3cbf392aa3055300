"""Finding anything by its global id, and the viewer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated
from uuid import UUID

import strawberry

from resolvers.errors import bad_user_input
from resolvers.info import Info
from schema.ids import InvalidIdError, parse_id
from schema.types import Media, Node, Rendition, Tag, Upload, User

MAX_NODES = 100


async def node(
    info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Its global id.")]
) -> Node | None:
    return (await nodes(info, [id]))[0]


async def nodes(
    info: Info,
    ids: Annotated[list[strawberry.ID], strawberry.argument(description="Their global ids, 100 at most.")],
) -> list[Node | None]:
    if len(ids) > MAX_NODES:
        raise bad_user_input(f"ids must be at most {MAX_NODES}, not {len(ids)}.")
    wanted: dict[str, list[UUID]] = {}
    parsed = [_parse(id) for id in ids]
    for type_name, row_id in filter(None, parsed):
        wanted.setdefault(type_name, []).append(row_id)
    finders = _finders(info)
    found = {
        (type_name, row_id): node
        for type_name, row_ids in wanted.items()
        if type_name in finders
        for row_id, node in (await finders[type_name](row_ids)).items()
    }
    return [None if key is None else found.get(key) for key in parsed]


async def viewer(info: Info) -> User | None:
    return User.of(info.context.viewer)


def _parse(id: str) -> tuple[str, UUID] | None:
    try:
        return parse_id(id)
    except InvalidIdError:
        return None


Finder = Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, Node]]]


def _finders(info: Info) -> dict[str, Finder]:
    lookups, owner = info.context.services.lookups, info.context.viewer

    async def media(ids: Sequence[UUID]) -> Mapping[UUID, Node]:
        return {id: Media.of(row) for id, row in (await lookups.media(owner, ids)).items()}

    async def uploads(ids: Sequence[UUID]) -> Mapping[UUID, Node]:
        return {id: Upload.of(*rows) for id, rows in (await lookups.uploads(owner, ids)).items()}

    async def renditions(ids: Sequence[UUID]) -> Mapping[UUID, Node]:
        return {id: Rendition.of(*rows) for id, rows in (await lookups.renditions(owner, ids)).items()}

    async def tags(ids: Sequence[UUID]) -> Mapping[UUID, Node]:
        return {id: Tag.of(row) for id, row in (await lookups.tags(owner, ids)).items()}

    async def users(ids: Sequence[UUID]) -> Mapping[UUID, Node]:
        return {owner.id: User.of(owner)} if owner.id in ids else {}

    return {"Media": media, "Upload": uploads, "Rendition": renditions, "Tag": tags, "User": users}
