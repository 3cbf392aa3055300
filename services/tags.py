"""Tags: made, listed, put on media and taken off again; a change of a media's tags is one of the media."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from db.media import TagChange, lock_media, retag_media
from db.models import Media, Tag, User
from db.sessions import Sessions
from db.tags import (
    count_tags,
    ensure_tags,
    hold_tags,
    link_tags,
    page_tags,
    rename_tag,
    reserve_tags,
    slugs_by_media,
    tag_by_id,
    tags_by_slug,
    unlink_tags,
)
from pubsub.doorbell import Doorbell
from services.errors import InvalidInput, NotFound, Refusal, Taken, no_such_media
from services.page_cursors import PageCursors
from services.pages import PageRequest
from services.validation import MAX_TAGS, clean_slug_prefix, clean_tags

MAX_MEDIA = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TagPage:
    search: str | None
    tags: Sequence[Tag]
    cursors: Sequence[str]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    sessions: Sessions
    doorbell: Doorbell
    page_cursors: PageCursors

    async def create(self, owner: User, name: str) -> Tag:
        """The owner's tag of that name, made where there is none of its slug. Raises InvalidInput."""
        [(slug, clean)] = clean_tags([name], "name").items()
        async with self.sessions.begin() as session:
            await hold_tags(session, owner.id)
            return (await ensure_tags(session, owner.id, {slug: clean}))[slug]

    async def rename(self, owner: User, tag_id: UUID, name: str) -> Tag:
        """Give the tag another name, and the slug of it. No media changes by that, so no stream tells of it.

        Raises InvalidInput, NotFound, and Taken where another of the owner's tags has that slug.
        """
        [(slug, clean)] = clean_tags([name], "name").items()
        async with self.sessions.begin() as session:
            await reserve_tags(session, owner.id)
            tag = await tag_by_id(session, owner.id, tag_id)
            if tag is None:
                raise no_such_tag()
            if not await rename_tag(session, tag, name=clean, slug=slug):
                raise Taken(f"You have another tag with the slug {slug} already.", "name")
        return tag

    async def page(self, owner: User, *, search: str | None, request: PageRequest) -> TagPage:
        """By slug; `search` keeps the tags whose slug starts with it."""
        prefix = clean_slug_prefix(search, "search")
        scope = f"tags {owner.id} {prefix}"
        start = None
        if request.after is not None:
            start = self.page_cursors.decode(scope, request.after).decode()
        async with self.sessions() as session:
            rows = await page_tags(session, owner.id, search=prefix, after=start, limit=request.size + 1)
        tags, has_next, has_previous = request.cut(rows)
        return TagPage(
            search=prefix,
            tags=tags,
            cursors=[self.page_cursors.encode(scope, tag.slug.encode()) for tag in tags],
            has_next=has_next,
            has_previous=has_previous,
        )

    async def find(self, owner: User, slug: str) -> Tag | None:
        async with self.sessions() as session:
            return next(iter(await tags_by_slug(session, owner.id, [slug])), None)

    async def count(self, owner: User, *, search: str | None) -> int:
        async with self.sessions() as session:
            return await count_tags(session, owner.id, search=search)

    async def tag(
        self, owner: User, media_ids: Sequence[UUID], names: Sequence[str]
    ) -> list[Media | Refusal]:
        """Put the tags on each media, creating those that are new.

        One transaction for all; an answer per id in the order given, a Refusal for media that are not the
        owner's or would carry too many. Raises InvalidInput for more than 100 media or an unfit name.
        """
        return await self._retag(owner, media_ids, names, create=True)

    async def untag(
        self, owner: User, media_ids: Sequence[UUID], names: Sequence[str]
    ) -> list[Media | Refusal]:
        """Take the tags off each media; those it does not carry are ignored. Answers and raises as `tag`."""
        return await self._retag(owner, media_ids, names, create=False)

    async def _retag(
        self, owner: User, media_ids: Sequence[UUID], names: Sequence[str], *, create: bool
    ) -> list[Media | Refusal]:
        wanted = _checked(media_ids, names)
        answers: dict[UUID, Media | Refusal] = {}
        async with self.sessions.begin() as session:
            locked = await lock_media(session, owner.id, media_ids)
            await hold_tags(session, owner.id)
            slugs = await slugs_by_media(session, locked)
            changes: list[TagChange] = []
            for media in locked.values():
                before = slugs.get(media.id, set())
                after = before | wanted.keys() if create else before - wanted.keys()
                answers[media.id] = (_too_many(after) if create else None) or media
                if answers[media.id] is media and after != before:
                    changes.append(TagChange(media=media, before=before, after=after))
            # Only now: tags that no media gets are not created.
            if create and changes:
                tags = await ensure_tags(session, owner.id, wanted)
            else:
                tags = {tag.slug: tag for tag in await tags_by_slug(session, owner.id, wanted)}
            await _apply(session, changes, tags)
        await self.doorbell.ring()
        return [answers.get(media_id) or no_such_media("mediaIds") for media_id in media_ids]


def no_such_tag() -> NotFound:
    return NotFound("There is no such tag.", "id")


def _too_many(slugs: AbstractSet[str]) -> Refusal | None:
    if len(slugs) <= MAX_TAGS:
        return None
    return InvalidInput(f"A media carries at most {MAX_TAGS} tags; this one would have {len(slugs)}.", "tags")


async def _apply(session: AsyncSession, changes: Sequence[TagChange], tags: Mapping[str, Tag]) -> None:
    """All changes put tags on, or all take them off."""
    await link_tags(
        session, [(each.media.id, tags[slug].id) for each in changes for slug in each.after - each.before]
    )
    await unlink_tags(
        session, [(each.media.id, tags[slug].id) for each in changes for slug in each.before - each.after]
    )
    await retag_media(session, changes)


def _checked(media_ids: Sequence[UUID], names: Sequence[str]) -> dict[str, str]:
    if len(media_ids) > MAX_MEDIA:
        raise InvalidInput(f"mediaIds must be at most {MAX_MEDIA}, not {len(media_ids)}.", "mediaIds")
    return clean_tags(names)
